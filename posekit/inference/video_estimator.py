"""Several networks over the frames of a video, each with its own recurrent states."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .box_sources import BoxSource, WholeFrame
from .estimator import Estimator, PoseEstimate
from .media import Frame
from .tracker import Tracker, Tracks, has_enough_joints


class VideoEstimator:
    """Estimates the poses of an image, or of one frame of a video after another.

    It keeps the people of the last frame only. Where the whole frame is the box, it searches until
    the first network is confident of somebody.

    Args:
        estimators: the networks; boxes follow the poses of the first one.
        boxes: where people are.
        follow: boxes move with the poses.
        threshold: smallest score of a confident joint.
        is_video: the frames are those of one video, so that recurrent networks keep their states.
    """

    def __init__(
        self,
        estimators: Sequence[Estimator],
        boxes: BoxSource,
        follow: bool,
        threshold: float,
        is_video: bool,
    ) -> None:
        self.estimators, self.boxes = estimators, boxes
        self.follow, self.threshold, self.is_video = follow, threshold, is_video
        self._tracker = Tracker(boxes, follow)
        self._states: list[dict[int, Any]] = [{} for _ in estimators]  # by track id
        self._searching = follow and isinstance(boxes, WholeFrame)

    def process(self, frame: Frame) -> tuple[Tracks, list[PoseEstimate], np.ndarray]:
        """The people of a frame, each network's estimate, and the seconds (N,) that it took."""
        tracks = self._tracker.update(frame)
        if self._searching:
            tracks, estimates, seconds = self._search(frame, tracks)
        else:
            estimates, seconds = self._estimate(frame, tracks)
        for states, estimate in zip(self._states, estimates, strict=True):
            states.clear()
            states.update(zip(tracks.ids.tolist(), estimate.states, strict=False))
        self._tracker.tracks = self._followed(tracks, estimates) if self.follow else tracks
        return tracks, estimates, seconds

    def _search(
        self, frame: Frame, tracks: Tracks
    ) -> tuple[Tracks, list[PoseEstimate], np.ndarray]:
        """Try windows of the frame, and then a closer box in the best one."""
        for states in self._states:
            states.clear()  # they belong to another window
        windows = self.boxes.windows(frame)
        scores = self.estimators[0].estimate(frame.image, windows).scores
        tracks = replace(tracks, boxes=windows[[scores.mean(-1).argmax()]])
        estimates, seconds = self._estimate(frame, tracks)
        closer = self._followed(tracks, estimates, at_once=True)
        again, more = self._estimate(frame, closer)
        if again[0].scores.mean() > estimates[0].scores.mean():
            tracks, estimates = closer, again
        self._searching = not has_enough_joints(self._confident(estimates)).any()
        return tracks, estimates, seconds + more

    def _estimate(self, frame: Frame, tracks: Tracks) -> tuple[list[PoseEstimate], np.ndarray]:
        """Each network's estimate, and the seconds (N,) that it took."""
        estimates, seconds = [], []
        for estimator, states in zip(self.estimators, self._states, strict=True):
            started = time.perf_counter()
            known = [states.get(i) for i in tracks.ids.tolist()] if self.is_video else None
            estimates.append(estimator.estimate(frame.image, tracks.boxes, known))
            seconds.append(time.perf_counter() - started)
        return estimates, np.array(seconds)

    def _followed(
        self, tracks: Tracks, estimates: list[PoseEstimate], at_once: bool = False
    ) -> Tracks:
        """The people with their boxes moved towards the poses of the first network."""
        confident = self._confident(estimates)
        return self._tracker.follow_poses(tracks, estimates[0].keypoints, confident, at_once)

    def _confident(self, estimates: list[PoseEstimate]) -> np.ndarray:
        """Joints (P, K) of which the first network is confident."""
        return estimates[0].scores >= self.threshold
