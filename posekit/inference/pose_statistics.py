"""Numbers over all frames of a video, kept while the frames go by."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pandas as pd

from ..geometry.skeletons import COCO, Skeleton, convert
from .estimator import PoseEstimate
from .tracker import Tracks


class ScoreStatistics:
    """The scores of each joint, over all people and frames."""

    def __init__(self, skeleton: Skeleton, threshold: float) -> None:
        self.skeleton = skeleton
        self.threshold = threshold
        self.count = 0
        joints = len(skeleton)
        self._sum, self._above = np.zeros(joints), np.zeros(joints, int)
        self._smallest = np.full(joints, np.inf)

    def add(self, scores: np.ndarray) -> None:
        """Scores (P, K) of a frame."""
        self.count += len(scores)
        self._sum += scores.sum(0)
        self._above += (scores >= self.threshold).sum(0)
        self._smallest = np.minimum(self._smallest, scores.min(0, initial=np.inf))

    @property
    def mean(self) -> np.ndarray:
        """Mean score (K,) of each joint, NaN without people."""
        return self._sum / (self.count or np.nan)

    def table(self) -> pd.DataFrame:
        """One row a joint: mean score, smallest score, share of people it was drawn in."""
        share = 100 * self._above / max(1, self.count)
        columns = {
            "joint": self.skeleton.words,
            "mean score": self.mean.round(3),
            "smallest": self._smallest.round(3),
            f"at least {self.threshold:g}, %": share.round(1),
        }
        return pd.DataFrame(columns)


class Jitter:
    """Mean acceleration of joints, |x(t+1) - 2 x(t) + x(t-1)|, of some networks side by side.

    Only joints of which all networks are confident in all three frames count, so that none gains by
    leaving out what is hard; of networks with different joints, the joints that COCO names. A
    person that really moves accelerates too: compare networks over the same frames, and do not
    expect zero.

    Args:
        skeletons: of each network.
        threshold: smallest score of a confident joint.
    """

    def __init__(self, skeletons: Sequence[Skeleton], threshold: float) -> None:
        self.joints, self.threshold = 0, threshold
        self._skeletons = skeletons
        self._common = skeletons[0] if len({s.name for s in skeletons}) == 1 else COCO
        self._pixels, self._shares = np.zeros(len(skeletons)), np.zeros(len(skeletons))
        self._window: list[tuple[Tracks, np.ndarray]] = []  # three frames, see `add`

    def add(self, tracks: Tracks, estimates: Sequence[PoseEstimate]) -> None:
        """Take the next frame with the estimate of each network; three are held at a time."""
        converted = [
            convert(estimate.keypoints, estimate.scores >= self.threshold, skeleton, self._common)
            for estimate, skeleton in zip(estimates, self._skeletons, strict=True)
        ]
        keypoints, confident = (np.stack(parts) for parts in zip(*converted, strict=True))
        counted = np.where(confident.all(0)[..., None], keypoints, np.nan)  # (N, P, K, 2)
        self._window = [*self._window[-2:], (tracks, counted)]
        if len(self._window) < 3:
            return
        ids = reduce(np.intersect1d, [tracks.ids for tracks, _ in self._window])
        rows = [np.isin(tracks.ids, ids) for tracks, _ in self._window]
        before, now, after = (
            points[:, own] for own, (_, points) in zip(rows, self._window, strict=True)
        )
        size = self._window[1][0].sizes[rows[1], None]
        length = np.linalg.norm(after - 2 * now + before, axis=-1)
        self._pixels += np.nansum(length, (-2, -1))
        self._shares += np.nansum(length / size, (-2, -1))
        self.joints += int(np.isfinite(length[0]).sum())

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """One row a network: pixels / frame^2, and percent of the person's size / frame^2."""
        count = self.joints or np.nan
        columns = {
            "network": names,
            "jitter, px/frame²": (self._pixels / count).round(3),
            "% of the person/frame²": (100 * self._shares / count).round(3),
            "joints counted": self.joints,
        }
        return pd.DataFrame(columns)
