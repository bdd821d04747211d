"""Looking at one frame after another with several networks, each with its own memory."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .estimator import Estimator, Look
from .people import Boxes, People, WholeFrame
from .tracker import Tracker, enough
from .video import Frame


class VideoEstimator:
    """Finds the poses in a picture, or in one frame of a video after another, with all networks.

    It remembers the people of the last frame only. Where the whole frame is the box, it searches
    until the first network is sure of somebody.

    Args:
        estimators: the networks; boxes follow what the first one finds.
        boxes: where people are looked for.
        follow: boxes move with the poses.
        threshold: a joint with at least this score is sure.
        moving: the frames are those of one video, so that recurrent networks keep their state.
    """

    def __init__(
        self,
        estimators: Sequence[Estimator],
        boxes: Boxes,
        follow: bool,
        threshold: float,
        moving: bool,
    ) -> None:
        self.estimators, self.boxes = estimators, boxes
        self.follow, self.threshold, self.moving = follow, threshold, moving
        self._tracker = Tracker(boxes, follow)
        self._memories: list[dict[int, Any]] = [{} for _ in estimators]
        self._searching = follow and isinstance(boxes, WholeFrame)

    def find(self, frame: Frame) -> tuple[People, list[Look], np.ndarray]:
        """The people of a frame, what each network finds, and the seconds (N,) that it took."""
        people = self._tracker.place(frame)
        if self._searching:
            people, looks, spent = self._search(frame, people)
        else:
            looks, spent = self._look(frame, people)
        self._remember(people, looks)
        return people, looks, spent

    def _search(self, frame: Frame, people: People) -> tuple[People, list[Look], np.ndarray]:
        """Look at parts of the frame, and then closer at the best one."""
        for memory in self._memories:
            memory.clear()  # it belongs to another window
        windows = self.boxes.windows(frame)
        scores = self.estimators[0].look(frame.picture, windows).scores
        people = replace(people, boxes=windows[[scores.mean(-1).argmax()]])
        looks, spent = self._look(frame, people)
        closer = self._moved(people, looks, at_once=True)
        again, more = self._look(frame, closer)
        if again[0].scores.mean() > looks[0].scores.mean():
            people, looks = closer, again
        self._searching = not enough(self._sure(looks)).any()
        return people, looks, spent + more

    def _look(self, frame: Frame, people: People) -> tuple[list[Look], np.ndarray]:
        """What each network makes of the people, and the seconds (N,) that it took."""
        looks, spent = [], []
        for estimator, memory in zip(self.estimators, self._memories, strict=True):
            began = time.perf_counter()
            known = [memory.get(number) for number in people.numbers.tolist()]
            state = known if estimator.streams and self.moving else None
            looks.append(estimator.look(frame.picture, people.boxes, state))
            spent.append(time.perf_counter() - began)
        return looks, np.array(spent)

    def _remember(self, people: People, looks: list[Look]) -> None:
        """Keep what the next frame starts from."""
        for memory, look in zip(self._memories, looks, strict=True):
            memory.clear()
            memory.update(zip(people.numbers.tolist(), look.memory, strict=False))
        self._tracker.people = self._moved(people, looks) if self.follow else people

    def _moved(self, people: People, looks: list[Look], at_once: bool = False) -> People:
        """The people with their boxes moved towards what the first network found."""
        return self._tracker.moved(people, looks[0].keypoints, self._sure(looks), at_once)

    def _sure(self, looks: list[Look]) -> np.ndarray:
        """Which joints (P, K) the first network is sure of."""
        return looks[0].scores >= self.threshold
