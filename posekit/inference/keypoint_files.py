"""Files of keypoints, written frame by frame."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..files.writing import whole_file
from ..geometry.skeletons import COCO, Skeleton, convert
from ..metrics import oks
from ..metrics.coco_ap import results_from_arrays
from .estimator import PoseEstimate
from .media import Frame
from .tracker import Tracks


class KeypointWriter:
    """Keypoints of frame after frame, as COCO results (json) and as one line a joint (csv).

    The json holds COCO's 17 joints in its order, also of networks with others: joints they lack are
    zero, and so are those that are not finite, which json cannot hold. The csv holds the network's
    own joints.

    Attributes:
        not_finite: how many joints were not finite.

    Args:
        results: file of the json.
        table: file of the csv.
        skeleton: the network's joints.
    """

    def __init__(self, results: IO[str], table: IO[str], skeleton: Skeleton) -> None:
        self._results, self._table, self._skeleton = results, table, skeleton
        self._between, self.not_finite = "[", 0
        table.write("frame,image,person,joint,x,y,score\n")

    def add(self, frame: Frame, tracks: Tracks, estimate: PoseEstimate) -> None:
        """Append the people of a frame; its number is the image_id of the json."""
        if not len(tracks.ids):
            return
        scores = estimate.scores
        finite = np.isfinite(estimate.keypoints).all(-1) & np.isfinite(scores)
        self.not_finite += int((~finite).sum())
        points, known = convert(estimate.keypoints, finite, self._skeleton, COCO)
        pairs, _ = convert(np.stack([scores, scores], -1), finite, self._skeleton, COCO)
        coco_scores = np.where(known, pairs[..., 0], 0)
        records = results_from_arrays(
            image_ids=np.full(len(tracks.ids), frame.number),
            keypoints=np.where(known[..., None], points, 0),
            keypoint_scores=coco_scores,
            scores=oks.rescore(coco_scores, tracks.scores),
        )
        for record in records:
            self._results.write(f"{self._between}\n{json.dumps(record, allow_nan=False)}")
            self._between = ","
        image = f'"{frame.name.replace(chr(34), chr(34) * 2)}"'
        for person, points, values in zip(tracks.ids, estimate.keypoints, scores, strict=True):
            for joint, (x, y), score in zip(self._skeleton.joints, points, values, strict=True):
                row = f"{frame.number},{image},{person},{joint},{x:.2f},{y:.2f},{score:.4f}\n"
                self._table.write(row)

    def end(self) -> None:
        """Close the json's list."""
        self._results.write("[]\n" if self._between == "[" else "\n]\n")


@contextlib.contextmanager
def write_keypoints(folder: Path, name: str, skeleton: Skeleton) -> Iterator[KeypointWriter]:
    """Write FOLDER/NAME.json and .csv; they appear when they are whole, not after an error."""
    with (
        whole_file(folder / f"{name}.json") as results,
        whole_file(folder / f"{name}.csv") as table,
    ):
        writer = KeypointWriter(results, table, skeleton)
        yield writer
        writer.end()
