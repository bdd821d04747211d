"""Several networks over the frames of a video, each with its own recurrent states."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .box_sources import BoxSource, WholeFrame
from .estimator import PoseEstimate, PoseEstimator
from .media import Frame
from .tracker import Tracker, Tracks, has_enough_joints


@dataclass
class VideoEstimator:
    """Estimates the poses of an image, or of one frame of a video after another.

    It keeps the people of the last frame only. Where the whole frame is the box, it searches until
    the first network is confident of somebody.

    Attributes:
        estimators: the networks; boxes follow the poses of the first one.
        boxes: where people are.
        follow: boxes move with the poses.
        threshold: smallest score of a confident joint.
        is_video: the frames are those of one video, so that recurrent networks keep their states.
    """

    estimators: Sequence[PoseEstimator]
    boxes: BoxSource
    follow: bool
    threshold: float
    is_video: bool

    def __post_init__(self) -> None:
        self._tracker = Tracker(self.boxes, self.follow)
        self._states: list[dict[int, Any]] = [{} for _ in self.estimators]  # by track id
        self._searching = self.follow and isinstance(self.boxes, WholeFrame)

    def process(self, frame: Frame) -> tuple[Tracks, list[PoseEstimate]]:
        """The people of a frame, and each network's estimate of their poses."""
        tracks = self._tracker.update(frame)
        if self._searching:
            tracks, estimates = self._search(frame, tracks)
        else:
            estimates = self._estimate(frame, tracks)
        ids = tracks.ids.tolist()
        self._states = [dict(zip(ids, estimate.states, strict=False)) for estimate in estimates]
        self._tracker.tracks = self._followed(tracks, estimates[0]) if self.follow else tracks
        return tracks, estimates

    def _search(self, frame: Frame, tracks: Tracks) -> tuple[Tracks, list[PoseEstimate]]:
        """Try windows of the frame, and then a closer box in the best one."""
        self._states = [{} for _ in self.estimators]  # the others belong to another window
        windows = self.boxes.windows(frame)
        scores = self.estimators[0].estimate(frame.image, windows).scores
        tracks = replace(tracks, boxes=windows[[scores.mean(-1).argmax()]])
        estimates = self._estimate(frame, tracks)
        closer = self._followed(tracks, estimates[0], at_once=True)
        again = self._estimate(frame, closer)
        if again[0].scores.mean() > estimates[0].scores.mean():
            tracks, estimates = closer, again
        self._searching = not has_enough_joints(estimates[0].scores >= self.threshold).any()
        return tracks, estimates

    def _estimate(self, frame: Frame, tracks: Tracks) -> list[PoseEstimate]:
        """Each network's estimate."""
        estimates = []
        for estimator, states in zip(self.estimators, self._states, strict=True):
            known = [states.get(i) for i in tracks.ids.tolist()] if self.is_video else None
            estimates.append(estimator.estimate(frame.image, tracks.boxes, known))
        return estimates

    def _followed(self, tracks: Tracks, estimate: PoseEstimate, at_once: bool = False) -> Tracks:
        """The people with their boxes moved towards the poses of the first network."""
        confident = estimate.scores >= self.threshold
        return self._tracker.follow_poses(tracks, estimate.keypoints, confident, at_once)
