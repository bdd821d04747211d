"""Where the people are in a frame: given boxes, a detector, or the whole frame.

Boxes are (P, 4) x1 y1 x2 y2 in pixels of the frame.
"""

import contextlib
import os
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch

from ..errors import PosekitError
from ..weights import load_weights
from .coco_boxes import CocoBoxes
from .media import Frame

# torchvision's person detectors, the best one first; their files are in its download folder.
DETECTORS = (
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "ssdlite320_mobilenet_v3_large",
)
_MIN_SCORE, _PERSON = 0.5, 1  # of a detection; COCO's label
_HOG_SIDE, _HOG_BODY = 960, 0.8  # longer side that HOG sees, pixels; share of its window, a person


class BoxSource(Protocol):
    """A source of boxes.

    Attributes:
        about: one sentence for the reader.
        every: frames of a video between two calls of `find` where boxes follow the poses, 0 for
            the first frame alone.
    """

    about: str
    every: int

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (P, 4) and their scores (P,)."""
        ...


class HogDetector:
    """OpenCV's people detector, which needs no weights: upright people alone, and many mistakes.

    Raises:
        PosekitError: the installed OpenCV has none.
    """

    about = "boxes proposed by OpenCV's HOG detector, which is rough: of 261 people in 65 images "
    about += "of COCO it found 20, and 44 of its 64 boxes were wrong (IoU 0.5)"
    every = 10

    def __init__(self) -> None:
        if not has_hog():
            raise PosekitError(
                f"boxes=hog: OpenCV {cv2.__version__} has no people detector: pip install "
                "opencv-contrib-python in place of opencv-python, write boxes as x1 y1 x2 y2, or "
                "set boxes to whole"
            )
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `BoxSource`; scores are distances to the border between people and the rest."""
        h, w = frame.size
        size = np.maximum(1, np.rint(np.array([w, h]) * _HOG_SIDE / max(h, w))).astype(int)
        windows, scores = np.empty((0, 4)), np.empty(0)
        if (size >= self._hog.winSize).all():
            image = cv2.resize(frame.image, size.tolist(), interpolation=cv2.INTER_LINEAR)
            found, weights = self._hog.detectMultiScale(image, winStride=(8, 8), padding=(8, 8))
            windows, scores = np.reshape(found, (-1, 4)), np.reshape(weights, -1).astype(float)
        size = windows[:, 2:]
        half, centre = _HOG_BODY / 2 * size, windows[:, :2] + size / 2
        boxes = np.concatenate([centre - half, centre + half], 1) * max(h, w) / _HOG_SIDE
        return boxes.clip(0, [w, h, w, h]), scores


def has_hog() -> bool:
    """Whether the installed OpenCV has it: from 5.0 on only opencv-contrib-python."""
    return hasattr(cv2, "HOGDescriptor")


class WholeFrame:
    """One person, somewhere in the frame.

    Args:
        proposals: where to search, too.
    """

    every = 0

    def __init__(self, proposals: HogDetector | None = None) -> None:
        self._proposals = proposals
        searched = ", searched also where OpenCV's HOG detector proposes" * bool(proposals)
        self.about = "one person in the whole frame" + searched

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `BoxSource`."""
        h, w = frame.size
        return np.array([[0.0, 0.0, w, h]]), np.ones(1)

    def windows(self, frame: Frame) -> np.ndarray:
        """Boxes (4 or more, 4) x1 y1 x2 y2 to search.

        The frame, three upright parts along its longer side, and what is proposed.
        """
        h, w = frame.size
        width, height = min(w, 0.75 * h), min(h, w / 0.75)
        shift = np.array([[0.0], [0.5], [1.0]]) * [w - width, h - height]
        parts = np.concatenate([shift, shift + [width, height]], -1)
        proposed = [self._proposals.find(frame)[0]] if self._proposals else []
        return np.concatenate([[[0.0, 0.0, w, h]], parts, *proposed])


class GivenBoxes:
    """The same boxes (P, 4) in every image; in a video, those of its first frame."""

    every = 0

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes = boxes
        self.about = f"{len(boxes)} given box{'es' * (len(boxes) > 1)}"

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `BoxSource`.

        Raises:
            PosekitError: a box is empty or reaches out of the frame.
        """
        h, w = frame.size
        for x1, y1, x2, y2 in self.boxes.tolist():
            if not (0 <= x1 < x2 <= w and 0 <= y1 < y2 <= h):
                text = f"{x1:g} {y1:g} {x2:g} {y2:g}"
                raise PosekitError(
                    f"boxes: {text} does not lie inside {frame.name}, which is {w} x {h} pixels; "
                    "write x1 y1 x2 y2, the left upper and the right lower corner"
                )
        return self.boxes, np.ones(len(self.boxes))


class Detector:
    """A person detector of torchvision, with weights that are on this machine.

    Raises:
        PosekitError: there is no file of weights, or it cannot be read.
    """

    every = 10

    def __init__(self, device: torch.device) -> None:
        found = local_detector()
        if found is None:
            raise PosekitError(
                f"boxes=detector: no weights of a person detector in {_download_folder()}. Put one "
                f"of torchvision's there ({', '.join(f'{n}*.pth' for n in DETECTORS[:3])}, ...), "
                "write boxes as x1 y1 x2 y2, or set boxes to whole"
            )
        from torchvision.models import get_model

        name, path = found
        self.about = f"people detected by {name}"
        self._model = get_model(name, weights=None, weights_backbone=None).eval()
        try:
            load_weights(self._model, path)
        except PosekitError as error:
            text = f"{path} holds no weights of {name}, get it again: {error}"
            raise PosekitError(text) from error
        self._device = device
        self._model.to(device)

    @torch.inference_mode()
    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `BoxSource`."""
        image = torch.from_numpy(frame.image).to(self._device).permute(2, 0, 1).float() / 255
        found = {key: value.cpu().numpy() for key, value in self._model([image])[0].items()}
        people = (found["labels"] == _PERSON) & (found["scores"] >= _MIN_SCORE)
        return found["boxes"][people].astype(float), found["scores"][people].astype(float)


def local_detector() -> tuple[str, Path] | None:
    """Name and file of the best detector whose weights are here; None if there is none."""
    for name in DETECTORS:
        if files := sorted(_download_folder().glob(f"{name}*.pth")):
            return name, files[-1]
    return None


def _download_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def open_box_source(text: str, device: torch.device, people: bool = True) -> BoxSource:
    """The source of boxes that the parameter `boxes` names.

    Args:
        text: auto (a detector where its weights are, else one person in the whole frame, which is
            searched), detector, hog, whole, numbers x1 y1 x2 y2 of every person, or a json file.
        device: of the detector.
        people: False for a network of something else, which no detector of people helps.

    Raises:
        PosekitError: it names nothing that can be used.
    """
    name = text.strip().lower()
    if name == "detector" or (name == "auto" and people and local_detector()):
        return Detector(device)
    if name == "hog":
        return HogDetector()
    if name in ("auto", "whole"):
        return WholeFrame(HogDetector() if name == "auto" and people and has_hog() else None)
    if name.endswith(".json"):
        return CocoBoxes(Path(os.path.expanduser(text.strip())))
    with contextlib.suppress(ValueError):
        if len(numbers := np.array(name.strip("[]()").replace(",", " ").split(), float)):
            return GivenBoxes(numbers.reshape(-1, 4))
    raise PosekitError(
        f"boxes={text!r}: write auto, detector, hog, whole, four numbers x1 y1 x2 y2 for every "
        "person, or the name of a COCO json file"
    )
