"""People from frame to frame: which boxes are of one person, and boxes that follow the poses."""

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.crops import box_iou, keypoint_box
from .box_sources import BoxSource
from .media import Frame

_MIN_IOU = 0.3  # of a person's boxes in two frames in a row
_MARGIN = 1.2  # of a box around the joints, which lie inside the body
# Share of the way to its new position and size that a box goes in a frame.
_MOVE, _SHRINK = 0.8, 0.1
_MIN_JOINTS = 5  # confident joints that locate a person
_MIN_SIDE = 8.0  # of a box, pixels: all joints may be found at one point


@dataclass(frozen=True)
class Tracks:
    """The people of one frame.

    Attributes:
        boxes: (P, 4) x1 y1 x2 y2, pixels of the frame.
        scores: (P,) of the detector; 1 for boxes that were given.
        ids: (P,) rising, the same for the same person in all frames of a video.
    """

    boxes: np.ndarray
    scores: np.ndarray
    ids: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Longer sides (P,) of the boxes, pixels."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).max(-1, initial=0)


class Tracker:
    """Boxes from frame to frame: detected, or moved along with the poses.

    Args:
        source: of the boxes.
        follow: move boxes with the poses, and ask the source only every so many frames.
    """

    def __init__(self, source: BoxSource, follow: bool) -> None:
        self.source, self.follow = source, follow
        self.tracks = Tracks(np.empty((0, 4)), np.empty(0), np.empty(0, int))
        self._detected = self.tracks.boxes
        self._frames = self._last_id = 0

    def update(self, frame: Frame) -> Tracks:
        """The people of the next frame."""
        every = self.source.every if self.follow else 1
        if self._frames == 0 or (every and self._frames % every == 0):
            boxes, scores = self.source.find(frame)
            ids = self._match(boxes)
            order = np.argsort(ids)
            self.tracks = Tracks(boxes[order], scores[order], ids[order])
            self._detected = self.tracks.boxes
        self._frames += 1
        return self.tracks

    def _match(self, boxes: np.ndarray) -> np.ndarray:
        """Ids (P,) of new boxes: those of the old ones that they overlap most, or new ones."""
        overlap = box_iou(boxes, self.tracks.boxes)
        ids = np.zeros(len(boxes), int)
        for flat in np.argsort(-overlap, axis=None):
            new, old = np.unravel_index(flat, overlap.shape)
            if overlap[new, old] < _MIN_IOU:
                break
            if ids[new] == 0 and self.tracks.ids[old] not in ids:
                ids[new] = self.tracks.ids[old]
        unmatched = ids == 0
        ids[unmatched] = self._last_id + 1 + np.arange(unmatched.sum())
        self._last_id += int(unmatched.sum())
        return ids

    def follow_poses(
        self, tracks: Tracks, keypoints: np.ndarray, confident: np.ndarray, at_once: bool = False
    ) -> Tracks:
        """The people of the frame with their boxes moved towards the poses.

        A box keeps up with its person and grows at once but shrinks slowly, so that a joint that is
        not found in one frame is still inside in the next. The box of a person who is lost goes
        back to where the person was detected.

        Args:
            tracks: those of `update`, in boxes that may be others.
            keypoints: (P, K, 2) pixels of the frame.
            confident: (P, K) bool, joints to go by.
            at_once: put the boxes around the poses, however far that is.
        """
        located = has_enough_joints(confident)[:, None]
        centre, size = _centre_and_size(keypoint_box(keypoints, confident))
        size = np.maximum(_MARGIN * size, _MIN_SIDE)
        first_centre, first_size = _centre_and_size(self._detected)
        centre, size = np.where(located, centre, first_centre), np.where(located, size, first_size)
        if not at_once:
            old_centre, old_size = _centre_and_size(tracks.boxes)
            centre = old_centre + _MOVE * (centre - old_centre)
            size = old_size + np.where(size < old_size, _SHRINK, _MOVE) * (size - old_size)
        return replace(tracks, boxes=np.concatenate([centre - size / 2, centre + size / 2], -1))


def _centre_and_size(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def has_enough_joints(confident: np.ndarray) -> np.ndarray:
    """(P,) bool, whether the confident joints (P, K) locate a person."""
    return confident.sum(-1) >= _MIN_JOINTS
