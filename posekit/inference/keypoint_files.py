"""Files of keypoints, written frame by frame."""

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..data.coco.scoring import coco_detections
from ..data.predictions import Predictions
from ..files.writing import whole_file
from ..geometry.skeletons import COCO, convert
from ..metrics.coco_ap import result_texts
from ..metrics.keypoint_ap import Detections
from .estimator import PoseEstimate, PoseEstimator
from .media import Frame
from .tracker import Tracks


class KeypointWriter:
    """Keypoints of frame after frame, as COCO results (json) and as one line a joint (csv).

    The json holds what an evaluation on COCO scores, people rescored and without duplicates, in
    COCO's 17 joints, also of networks with others: joints they lack are zero, and so are those that
    are not finite, which json cannot hold. The csv, and both where the skeleton is the reader's
    own, hold everybody in the network's own joints.

    Attributes:
        not_finite: how many joints were not finite.

    Args:
        results: file of the json.
        table: file of the csv.
        estimator: the network.
    """

    def __init__(self, results: IO[str], table: IO[str], estimator: PoseEstimator) -> None:
        self._estimator, self._results = estimator, results
        self._table = csv.writer(table, lineterminator="\n")
        self._before, self.not_finite = "\n", 0
        self._table.writerow(("frame", "image", "person", "joint", "x", "y", "score"))

    def add(self, frame: Frame, tracks: Tracks, estimate: PoseEstimate) -> None:
        """Append the people of a frame; its number is the image_id of the json."""
        skeleton, framing = self._estimator.skeleton, self._estimator.framing
        keypoints, scores = estimate.keypoints, estimate.scores
        finite = np.isfinite(keypoints).all(-1) & np.isfinite(scores)
        self.not_finite += int((~finite).sum())
        image = np.full(len(scores), frame.number)
        if skeleton.address == skeleton.name:
            points, known = convert(keypoints, finite, skeleton, COCO)
            pairs, _ = convert(np.stack([scores, scores], -1), finite, skeleton, COCO)
            found = Predictions(
                keypoints=np.where(known[..., None], points, np.nan),
                scores=np.where(known, pairs[..., 0], 0),
                areas=framing.areas(framing.place(tracks.boxes)[1]),
            )
            kept = coco_detections(image, tracks.scores, found)
        else:  # joints of the reader's own
            heights = np.where(finite, scores, 0)
            points = np.where(finite[..., None], keypoints, 0)
            kept = Detections(image, points, heights.mean(1), heights)
        for text in result_texts(kept._replace(keypoints=np.nan_to_num(kept.keypoints))):
            self._results.write(self._before + text)
            self._before = ",\n"
        for person, joints, heights in zip(tracks.ids, keypoints, scores, strict=True):
            for joint, (x, y), score in zip(skeleton.joints, joints, heights, strict=True):
                numbers = f"{x:.2f}", f"{y:.2f}", f"{score:.4f}"
                self._table.writerow((frame.number, frame.name, person, joint, *numbers))


@contextlib.contextmanager
def write_keypoints(folder: Path, name: str, estimator: PoseEstimator) -> Iterator[KeypointWriter]:
    """Write FOLDER/NAME.json and .csv; they appear when they are whole, not after an error."""
    with (
        whole_file(folder / f"{name}.json") as results,
        whole_file(folder / f"{name}.csv") as table,
    ):
        results.write("[")
        yield KeypointWriter(results, table, estimator)
        results.write("\n]\n")
