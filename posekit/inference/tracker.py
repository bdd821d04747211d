"""People from frame to frame: who is who, and boxes that move with the poses."""

from dataclasses import replace

import numpy as np

from ..geometry.crops import keypoint_box
from .people import Boxes, People
from .video import Frame

_SAME_PERSON = 0.3  # overlap of a box with that of the frame before
_MARGIN = 1.2  # of a box about the joints, which lie inside the body
_MOVE, _SHRINK = 0.8, 0.1  # share of the way to its new place and size that a box goes in a frame
_FEWEST = 5  # sure joints that tell where a person is
_LEAST = 8.0  # side of the smallest box, pixels: all joints may be found in one place


class Tracker:
    """Boxes from frame to frame: looked for, or moved along with the poses.

    Args:
        source: of the boxes.
        follow: move boxes with the poses, and look for people only every so many frames.
    """

    def __init__(self, source: Boxes, follow: bool) -> None:
        self.source = source
        self.follow = follow
        self.people = People(np.empty((0, 4)), np.empty(0), np.empty(0, int))
        self._found = self.people.boxes
        self._frames = self._last_number = 0

    def place(self, frame: Frame) -> People:
        """The people of the next frame."""
        every = self.source.every if self.follow else 1
        if self._frames == 0 or (every and self._frames % every == 0):
            boxes, scores = self.source.find(frame)
            numbers = self._recognise(boxes)
            order = np.argsort(numbers)
            self.people = People(boxes[order], scores[order], numbers[order])
            self._found = self.people.boxes
        self._frames += 1
        return self.people

    def _recognise(self, boxes: np.ndarray) -> np.ndarray:
        """Numbers (P,) of new boxes: those of the old ones that they overlap most, or new ones."""
        overlap = box_overlap(boxes, self.people.boxes)
        numbers = np.zeros(len(boxes), int)
        for flat in np.argsort(-overlap, axis=None):
            new, old = np.unravel_index(flat, overlap.shape)
            if overlap[new, old] < _SAME_PERSON:
                break
            if numbers[new] == 0 and self.people.numbers[old] not in numbers:
                numbers[new] = self.people.numbers[old]
        fresh = numbers == 0
        numbers[fresh] = self._last_number + 1 + np.arange(fresh.sum())
        self._last_number += int(fresh.sum())
        return numbers

    def moved(
        self, people: People, keypoints: np.ndarray, sure: np.ndarray, at_once: bool = False
    ) -> People:
        """People of the frame with their boxes moved towards the poses.

        A box keeps up with its person and grows at once but shrinks slowly, so that a joint that is
        not found in one frame is still inside in the next. The box of a person who is lost goes
        back to where the person was found.

        Args:
            people: those whom `place` has found, in boxes that may be others.
            keypoints: (P, K, 2) pixels of the frame.
            sure: (P, K) bool.
            at_once: put the boxes about the poses, however far that is.
        """
        known = enough(sure)[:, None]
        middle, size = _middle_and_size(keypoint_box(keypoints, sure))
        size = np.maximum(_MARGIN * size, _LEAST)
        start_middle, start_size = _middle_and_size(self._found)
        middle, size = np.where(known, middle, start_middle), np.where(known, size, start_size)
        old_middle, old_size = _middle_and_size(people.boxes)
        pace = np.where(size < old_size, _SHRINK, _MOVE)
        middle = middle if at_once else old_middle + _MOVE * (middle - old_middle)
        size = size if at_once else old_size + pace * (size - old_size)
        return replace(people, boxes=np.concatenate([middle - size / 2, middle + size / 2], -1))


def _middle_and_size(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def enough(sure: np.ndarray) -> np.ndarray:
    """(P,) bool, whether the sure joints (P, K) tell where a person is."""
    return sure.sum(-1) >= _FEWEST


def box_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)
