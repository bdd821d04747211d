"""What is kept of frames that are gone: files of keypoints, how sure, how much the joints shake."""

import json
from collections.abc import Sequence
from functools import reduce
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from ..geometry.skeletons import COCO, Skeleton, convert
from ..metrics import oks
from ..metrics.coco_ap import results_from_arrays

if TYPE_CHECKING:
    import pandas as pd


class KeypointFiles:
    """Keypoints of frame after frame, as COCO results (json) and as one line a joint (csv).

    The json holds COCO's 17 joints in its order, also of networks with others: joints they lack are
    zero, and so are those that are no finite numbers, which json cannot hold. The csv holds the
    network's own joints.

    Attributes:
        lost: joints that were no finite numbers.

    Args:
        results: file of the json.
        table: file of the csv.
        joints: the network's.
    """

    def __init__(self, results: IO[str], table: IO[str], joints: Skeleton) -> None:
        self._results, self._table, self._joints = results, table, joints
        self._between, self.lost = "[", 0
        table.write("frame,image,person,joint,x,y,score\n")

    def add(
        self,
        frame: int,
        image: str,
        numbers: np.ndarray,
        keypoints: np.ndarray,
        scores: np.ndarray,
        people: np.ndarray,
    ) -> None:
        """Append the people of a frame.

        Args:
            frame: its number, the image_id of the json.
            image: its name.
            numbers: (P,) of the people.
            keypoints: (P, K, 2) image pixels.
            scores: (P, K).
            people: (P,) how sure it is that somebody is there.
        """
        if not len(numbers):
            return
        finite = np.isfinite(keypoints).all(-1) & np.isfinite(scores)
        self.lost += int((~finite).sum())
        points, known = convert(keypoints, finite, self._joints, COCO)
        values = convert(np.repeat(scores[..., None], 2, -1), finite, self._joints, COCO)[0]
        heights = np.where(known, values[..., 0], 0)
        records = results_from_arrays(
            np.full(len(numbers), frame),
            np.where(known[..., None], points, 0),
            heights,
            oks.rescore(heights, people),
        )
        for record in records:
            self._results.write(f"{self._between}\n{json.dumps(record, allow_nan=False)}")
            self._between = ","
        title = f'"{image.replace(chr(34), chr(34) * 2)}"'
        for number, points, heights in zip(numbers, keypoints, scores, strict=True):
            for joint, (x, y), score in zip(self._joints.joints, points, heights, strict=True):
                row = f"{frame},{title},{number},{joint},{x:.2f},{y:.2f},{score:.4f}\n"
                self._table.write(row)

    def end(self) -> None:
        """Close the json's list."""
        self._results.write("[]\n" if self._between == "[" else "\n]\n")


class Confidence:
    """How sure a network is of each joint, over all people and frames."""

    def __init__(self, joints: Skeleton, threshold: float) -> None:
        self.joints = joints
        self.threshold = threshold
        self.count = 0
        self._sum, self._sure = np.zeros(len(joints)), np.zeros(len(joints), int)
        self._least = np.full(len(joints), np.inf)

    def add(self, scores: np.ndarray) -> None:
        """Scores (P, K) of a frame."""
        self.count += len(scores)
        self._sum += scores.sum(0)
        self._sure += (scores >= self.threshold).sum(0)
        self._least = np.minimum(self._least, scores.min(0, initial=np.inf))

    @property
    def mean(self) -> np.ndarray:
        """Mean score (K,) of each joint, NaN without people."""
        return self._sum / self.count if self.count else np.full(len(self.joints), np.nan)

    def table(self) -> "pd.DataFrame":
        """One row a joint: mean score, smallest score, share of people it was drawn in."""
        import pandas as pd

        share = 100 * self._sure / max(1, self.count)
        return pd.DataFrame(
            {
                "joint": [joint.replace("_", " ") for joint in self.joints.joints],
                "mean score": self.mean.round(3),
                "smallest": self._least.round(3),
                f"at least {self.threshold:g}, %": share.round(1),
            }
        )


class _Poses(NamedTuple):
    """Poses of one frame for `Jitter`: (P,) numbers, (N, P, K, 2), (P, K) sure, (P,) sizes."""

    numbers: np.ndarray
    keypoints: np.ndarray
    sure: np.ndarray
    sizes: np.ndarray


class Jitter:
    """Mean acceleration of joints, |x(t+1) - 2 x(t) + x(t-1)|, of some networks side by side.

    Only joints that all of the networks are sure of in all three frames count, so that none gains
    by leaving out what is hard; of networks with different joints, the joints that COCO names. A
    person that really moves accelerates too: compare networks over the same frames, and do not
    expect zero.

    Args:
        skeletons: of each network.
    """

    def __init__(self, skeletons: Sequence[Skeleton]) -> None:
        self.joints, networks = 0, len(skeletons)
        self._skeletons = skeletons
        self._common = skeletons[0] if len({s.name for s in skeletons}) == 1 else COCO
        self._pixels, self._shares = np.zeros(networks), np.zeros(networks)
        self._window: list[_Poses] = []

    def add(
        self,
        numbers: np.ndarray,
        keypoints: Sequence[np.ndarray],
        sure: Sequence[np.ndarray],
        sizes: np.ndarray,
    ) -> None:
        """Take the next frame; three are held at a time.

        Args:
            numbers: (P,) rising, of the people.
            keypoints: of each network (P, K, 2), frame pixels.
            sure: of each network (P, K) bool.
            sizes: (P,) longer side of each person's box, pixels.
        """
        alike = [
            convert(points, seen, skeleton, self._common)
            for points, seen, skeleton in zip(keypoints, sure, self._skeletons, strict=True)
        ]
        points, seen = (np.stack(parts) for parts in zip(*alike, strict=True))
        poses = _Poses(numbers, points, seen.all(0), sizes)
        self._window = [*self._window[-2:], poses]
        if len(self._window) < 3:
            return
        common = reduce(np.intersect1d, [poses.numbers for poses in self._window])
        rows = [np.searchsorted(poses.numbers, common) for poses in self._window]
        before, now, after = (
            poses.keypoints[:, own] for poses, own in zip(self._window, rows, strict=True)
        )
        counted = np.logical_and.reduce(
            [poses.sure[own] for poses, own in zip(self._window, rows, strict=True)]
        )
        size = self._window[1].sizes[rows[1], None]
        length = np.where(counted, np.linalg.norm(after - 2 * now + before, axis=-1), 0)
        self._pixels += length.sum((-2, -1))
        self._shares += (length / size).sum((-2, -1))
        self.joints += int(counted.sum())

    def table(self, names: Sequence[str]) -> "pd.DataFrame":
        """One row a network: pixels / frame^2, and percent of the person's size / frame^2."""
        import pandas as pd

        count = self.joints or np.nan
        return pd.DataFrame(
            {
                "network": names,
                "jitter, px/frame²": (self._pixels / count).round(3),
                "% of the person/frame²": (100 * self._shares / count).round(3),
                "joints counted": self.joints,
            }
        )
