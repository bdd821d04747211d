"""Annotations as columns: one row is one person in one image."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import PosekitError
from ..files.images import decode
from ..geometry.skeletons import Skeleton


class ImageSource(Protocol):
    """Where the images of a data set lie."""

    def read(self, name: str) -> np.ndarray:
        """Decode one image to (h, w, 3) uint8 RGB."""
        ...

    def encoded(self, name: str) -> bytes:
        """The image as the bytes of its file."""
        ...

    def present(self, names: np.ndarray) -> np.ndarray:
        """(N,) bool, which of the names can be read; looks at listings, not at every file."""
        ...


@dataclass(frozen=True)
class Folder:
    """Images as files below a folder."""

    root: Path

    def read(self, name: str) -> np.ndarray:
        return decode(self.encoded(name), str(self.root / name))

    def encoded(self, name: str) -> bytes:
        path = self.root / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise PosekitError(f"cannot read image {path}: {error.strerror}") from error

    def present(self, names: np.ndarray) -> np.ndarray:
        listed = {}
        for name in names.tolist():
            folder = name.rpartition("/")[0]
            if folder not in listed:
                path = self.root / folder
                listed[folder] = set(os.listdir(path)) if path.is_dir() else set()
        parts = (name.rpartition("/") for name in names.tolist())
        return np.array([file in listed[folder] for folder, _, file in parts], bool)


@dataclass(frozen=True)
class Annotations:
    """People as columns; N rows, K joints, every coordinate in 0-based image pixels.

    Rows of one sequence stand together in frame order; a still image is a sequence of one frame.

    Attributes:
        dataset: LSP, MPII, PennAction, COCO.
        split: train, val or test.
        source: real or sample.
        skeleton: the data set's own joints.
        keypoints: (N, K, 2) float32.
        visible: (N, K) bool, the joint is annotated.
        occluded: (N, K) bool, annotated but hidden; all False where the data set does not say.
        boxes: (N, 4) float32 x1 y1 x2 y2, the person as the data set locates it for testing.
        reference: (N,) float32 pixels, the length that the official PCK divides by, for COCO the
            square root of the area that OKS divides by; NaN if unknown.
        sequence: (N,) int32, the sequence or image number of the data set.
        frame: (N,) int32, the frame number inside the sequence, from 1.
        image: (N,) str, the name under which `images` reads the picture.
        images: reads the pictures.
        notes: remarks that belong beside every number, such as a partial folder.
        score: (N,) float32, how sure a detector is of the box; 1 for boxes of the annotators.
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
    score: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.score is None:
            object.__setattr__(self, "score", np.ones(len(self.keypoints), np.float32))

    def __len__(self) -> int:
        return len(self.keypoints)

    def rows(self, index: np.ndarray, split: str | None = None) -> "Annotations":
        """The rows of an index or mask, as a table of their own."""
        columns = ("keypoints", "visible", "occluded", "boxes", "reference")
        columns += ("sequence", "frame", "image", "score")
        changed = {name: getattr(self, name)[index] for name in columns}
        return replace(self, split=split or self.split, **changed)

    def read(self, row: int) -> np.ndarray:
        """The picture of a row, (h, w, 3) uint8 RGB."""
        return self.images.read(str(self.image[row]))
