"""Where the people are in a frame: given boxes, a detector, the whole frame, or the pose before.

Boxes are (P, 4) x1 y1 x2 y2 in pixels of the frame. A person keeps a number from frame to frame.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from .data._files import load_json
from .errors import PosekitError
from .geometry import clean_boxes, keypoint_box
from .video import Frame

# torchvision's person detectors, the best one first; their files lie where it keeps downloads.
DETECTORS = (
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "ssdlite320_mobilenet_v3_large",
)
DETECT_EVERY = 10  # frames of a video, where the poses are followed in between
_SURE_PERSON, _PERSON = 0.5, 1  # score of a detection, COCO's label
_SAME_PERSON = 0.3  # overlap of a box with that of the frame before
_MARGIN = 1.2  # of a box about the joints, which lie inside the body
_PACE = 0.3  # share of the way to its new place that a box goes in a frame
_FEWEST = 5  # sure joints that tell where a person is


@dataclass(frozen=True)
class People:
    """The people of one frame.

    Attributes:
        boxes: (P, 4).
        scores: (P,) how sure a detector is; 1 for boxes that were given.
        numbers: (P,) rising, the same for the same person in all frames of a video.
    """

    boxes: np.ndarray
    scores: np.ndarray
    numbers: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Longer sides (P,) of the boxes, pixels."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).max(-1, initial=0)


class Boxes(Protocol):
    """A source of boxes.

    Attributes:
        about: one sentence for the reader.
        every: frames of a video between two looks where poses are followed, 0 for the first alone.
    """

    about: str
    every: int

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (P, 4) and their scores (P,)."""
        ...


class WholeFrame:
    """One person, somewhere in the frame."""

    about = "one person in the whole frame"
    every = 0

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `Boxes`."""
        h, w = frame.size
        return np.array([[0.0, 0.0, w - 1.0, h - 1.0]]), np.ones(1)


class GivenBoxes:
    """The same boxes (P, 4) in every picture; in a video, those of its first frame."""

    every = 0

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes = boxes
        self.about = f"{len(boxes)} given box{'es' * (len(boxes) > 1)}"

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `Boxes`.

        Raises:
            PosekitError: a box is empty or reaches out of the frame.
        """
        h, w = frame.size
        for box in self.boxes.tolist():
            x1, y1, x2, y2 = box
            if not (0 <= x1 < x2 <= w and 0 <= y1 < y2 <= h):
                text = " ".join(f"{side:g}" for side in box)
                raise PosekitError(
                    f"boxes: {text} does not lie inside {frame.name}, which is {w} x {h} pixels; "
                    "write x1 y1 x2 y2, the left upper and the right lower corner"
                )
        return self.boxes, np.ones(len(self.boxes))


class BoxFile:
    """Boxes of a json file in one of COCO's formats, annotations or detections."""

    every = 1

    def __init__(self, path: Path) -> None:
        content = load_json(path)
        truth = isinstance(content, dict)
        records = content.get("annotations") if truth else content
        self._of: dict[int, list[dict]] = {}
        try:
            for record in records:
                if record.get("iscrowd") or record.get("num_keypoints") == 0:
                    continue
                if record.get("category_id", _PERSON) == _PERSON and len(record["bbox"]) == 4:
                    self._of.setdefault(int(record["image_id"]), []).append(record)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise PosekitError(
                f"{path}: not COCO annotations or detections with image_id and bbox ({error!r})"
            ) from error
        count = sum(map(len, self._of.values()))
        self.about = f"{count} {'annotated' if truth else 'detected'} boxes of {path.name}"

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `Boxes`; a frame that the file does not know has nobody in it."""
        records = self._of.get(frame.number, [])
        boxes = np.array([r["bbox"] for r in records], float).reshape(-1, 4)
        scores = np.array([r.get("score", 1.0) for r in records], float)
        boxes, kept = clean_boxes(boxes, np.broadcast_to(frame.size, (len(boxes), 2)))
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], -1)
        return boxes[kept], scores[kept]


class Detector:
    """A person detector of torchvision, with weights that are on this machine.

    Raises:
        PosekitError: there is no file of weights, or it cannot be read.
    """

    every = DETECT_EVERY

    def __init__(self, device: torch.device) -> None:
        found = local_detector()
        if found is None:
            raise PosekitError(
                f"boxes=detector: no weights of a person detector in {_folder()}. Put one of "
                f"torchvision's there ({', '.join(f'{n}*.pth' for n in DETECTORS[:3])}, ...), "
                "write boxes as x1 y1 x2 y2, or set boxes to whole"
            )
        from torchvision.models import get_model

        name, path = found
        self.about = f"people found by {name}"
        self._device = device
        try:
            self._model = get_model(name, weights=None, weights_backbone=None)
            state = torch.load(path, weights_only=True, map_location="cpu")
            self._model.load_state_dict(state)
        except Exception as error:  # readers of broken files raise whatever they stumble upon
            first = str(error).strip().partition("\n")[0][:160]
            raise PosekitError(f"{path} holds no weights of {name} ({first}): get it again") from error
        self._model.eval().to(device)

    @torch.inference_mode()
    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `Boxes`."""
        picture = torch.from_numpy(frame.picture).to(self._device).permute(2, 0, 1).float() / 255
        found = {key: value.cpu().numpy() for key, value in self._model([picture])[0].items()}
        sure = (found["labels"] == _PERSON) & (found["scores"] >= _SURE_PERSON)
        return found["boxes"][sure].astype(float), found["scores"][sure].astype(float)


def local_detector() -> tuple[str, Path] | None:
    """Name and file of the best detector whose weights are here; None if there is none."""
    for name in DETECTORS:
        for pattern in (f"{name}_coco-*.pth", f"{name}-*.pth"):
            if files := sorted(_folder().glob(pattern)):
                return name, files[-1]
    return None


def _folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def choose_boxes(wanted: str, device: torch.device) -> Boxes:
    """The source of boxes that a parameter names.

    Args:
        wanted: auto (a detector where there is one, else the whole frame), detector, whole, numbers
            x1 y1 x2 y2 of every person, or a json file.
        device: of the detector.

    Raises:
        PosekitError: it names nothing that can be used.
    """
    word = wanted.strip()
    if word.lower() in ("auto", "detector"):
        wants = word.lower() == "detector" or local_detector()
        return Detector(device) if wants else WholeFrame()
    if word.lower() == "whole":
        return WholeFrame()
    if word.lower().endswith(".json"):
        return BoxFile(Path(word).expanduser())
    try:
        numbers = np.array([float(n) for n in word.strip("[]()").replace(",", " ").split()])
        return GivenBoxes(numbers.reshape(-1, 4)[: len(numbers) or None])
    except ValueError as error:
        raise PosekitError(
            f"boxes={wanted!r}: write auto, detector, whole, four numbers x1 y1 x2 y2 for every "
            "person, or the name of a COCO json file"
        ) from error


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

    def moved(self, keypoints: np.ndarray, sure: np.ndarray, pace: float = _PACE) -> People:
        """The people with their boxes moved towards the poses.

        A box whose person is lost goes back to where the person was found.

        Args:
            keypoints: (P, K, 2) pixels of the frame.
            sure: (P, K) bool.
            pace: share of the way.
        """
        known = sure.sum(-1) >= _FEWEST
        around = keypoint_box(keypoints, sure)
        middle, half = (around[:, :2] + around[:, 2:]) / 2, (around[:, 2:] - around[:, :2]) / 2
        around = np.concatenate([middle - _MARGIN * half, middle + _MARGIN * half], -1)
        target = np.where(known[:, None], around, self._found)
        boxes = self.people.boxes + pace * (target - self.people.boxes)
        return replace(self.people, boxes=boxes)


def box_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)
