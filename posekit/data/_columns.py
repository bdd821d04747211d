"""Annotations as columns: one row is one person in one image."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ..errors import PosekitError
from ..skeletons import Skeleton


class ImageSource(Protocol):
    """Where the images of a data set lie."""

    def read(self, name: str) -> np.ndarray:
        """Decode one image to (h, w, 3) uint8 RGB."""
        ...


@dataclass(frozen=True)
class Folder:
    """Images as files below a folder."""

    root: Path

    def read(self, name: str) -> np.ndarray:
        path = self.root / name
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            raise PosekitError(f"cannot read image {path}: {error.strerror}") from error
        return decode(data, str(path))


def decode(data: np.ndarray, where: str) -> np.ndarray:
    """Decode an encoded image (bytes as uint8) to (h, w, 3) uint8 RGB, or name what is broken."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise PosekitError(f"{where} is not a readable image: replace the file or remove its record")
    return image


@dataclass(frozen=True)
class Annotations:
    """People as columns; N rows, K joints, every coordinate in 0-based image pixels.

    Rows of one sequence stand together in frame order; a still image is a sequence of one frame.

    Attributes:
        dataset: LSP, MPII, PennAction.
        split: train, val or test.
        source: real or sample.
        skeleton: the data set's own joints.
        keypoints: (N, K, 2) float32.
        visible: (N, K) bool, the joint is annotated.
        occluded: (N, K) bool, annotated but hidden; all False where the data set does not say.
        boxes: (N, 4) float32 x1 y1 x2 y2, the person as the data set locates it for testing.
        reference: (N,) float32 pixels, the length that the official PCK divides by; NaN if unknown.
        sequence: (N,) int32, the sequence or image number of the data set.
        frame: (N,) int32, the frame number inside the sequence, from 1.
        image: (N,) str, the name under which `images` reads the picture.
        images: reads the pictures.
        notes: remarks that belong beside every number, such as a partial folder.
    """

    dataset: str
    split: str
    source: str
    skeleton: Skeleton
    keypoints: np.ndarray
    visible: np.ndarray
    occluded: np.ndarray
    boxes: np.ndarray
    reference: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    image: np.ndarray
    images: ImageSource
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.keypoints)

    def rows(self, index: np.ndarray, split: str | None = None) -> "Annotations":
        """The rows of an index or mask, as a table of their own."""
        columns = ("keypoints", "visible", "occluded", "boxes", "reference")
        columns += ("sequence", "frame", "image")
        changed = {name: getattr(self, name)[index] for name in columns}
        return replace(self, split=split or self.split, **changed)

    def read(self, row: int) -> np.ndarray:
        """The picture of a row, (h, w, 3) uint8 RGB."""
        return self.images.read(str(self.image[row]))
