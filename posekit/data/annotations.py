"""Annotations as columns: one row is one person in one image."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import PosekitError
from ..files.images import decode
from ..geometry.crops import box_iou
from ..geometry.skeletons import Skeleton


class ImageSource(Protocol):
    """Where the images of a data set lie."""

    def read(self, name: str) -> np.ndarray:
        """Decode one image to (h, w, 3) uint8 RGB."""

    def encoded(self, name: str) -> bytes:
        """The image as the bytes of its file."""

    def present(self, names: np.ndarray) -> np.ndarray:
        """(N,) bool, which of the names can be read; looks at listings, not at every file."""


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
        parts = [name.rpartition("/") for name in names.tolist()]
        paths = {folder: self.root / folder for folder, _, _ in parts}
        listed = {f: set(os.listdir(path)) for f, path in paths.items() if path.is_dir()}
        return np.array([file in listed.get(folder, ()) for folder, _, file in parts], bool)


@dataclass(frozen=True)
class Annotations:
    """People as columns; N rows, K joints, every coordinate in 0-based image pixels.

    Rows of one sequence stand together in frame order; a still image is a sequence of one frame.
    Columns that a reader leaves out get the value that fits annotated people in still images.

    Attributes:
        dataset: name of the data set.
        split: train, val, test or one without ground truth: what the rows are used for.
        source: real or sample.
        skeleton: the data set's own joints.
        keypoints: (N, K, 2) float32.
        visible: (N, K) bool, the joint is annotated.
        boxes: (N, 4) float32 x1 y1 x2 y2, the person as the data set locates it for testing.
        reference: (N,) float32 pixels, the length that the official PCK divides by, for COCO the
            square root of the area that OKS divides by; NaN if unknown.
        sequence: (N,) int32, the number of the sequence, of the image or of the person.
        image: (N,) str, the name under which `images` reads the image.
        images: reads the images.
        occluded: (N, K) bool, annotated but hidden; all False where the data set does not say.
        frame: (N,) int32, the frame number inside the sequence, from 1.
        image_id: (N,) int64, the number of the image in the data set; of a video its sequence.
        annotation_id: (N,) int64, the number of the annotation; -1 for detections, and where the
            data set has none.
        group: (N,), what a hold-out must not split: the image, or the sequence of a video.
        score: (N,) float32, the detector's confidence in the box; 1 for annotated boxes.
        notes: remarks that belong beside every number, such as a partial folder.
        file_split: the split whose files the rows were read from; val is one of train.
    """

    dataset: str
    split: str
    source: str
    skeleton: Skeleton
    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    reference: np.ndarray
    image: np.ndarray
    images: ImageSource
    sequence: np.ndarray | None = None
    occluded: np.ndarray | None = None
    frame: np.ndarray | None = None
    image_id: np.ndarray | None = None
    annotation_id: np.ndarray | None = None
    group: np.ndarray | None = None
    score: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    file_split: str | None = None

    def __post_init__(self) -> None:
        count, joints, number = len(self.keypoints), len(self.skeleton), self.sequence
        if number is None:
            number = np.arange(1, count + 1, dtype=np.int32)
        usual = {
            "sequence": number,
            "occluded": np.zeros(self.visible.shape, bool),
            "frame": np.ones(count, np.int32),
            "image_id": number.astype(np.int64),
            "annotation_id": np.full(count, -1, np.int64),
            "group": self.image,
            "score": np.ones(count, np.float32),
            "file_split": self.split,
        }
        for name, value in usual.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        shapes = {
            "keypoints": (count, joints, 2),
            "visible": (count, joints),
            "boxes": (count, 4),
            **dict.fromkeys(("reference", "sequence", "image"), (count,)),
        }
        for name, shape in shapes.items():
            if (found := getattr(self, name).shape) != shape:
                raise PosekitError(f"{self.dataset}: {name} is {found}, it has to be {shape}")

    def __len__(self) -> int:
        return len(self.keypoints)

    def rows(self, index: np.ndarray, split: str | None = None) -> "Annotations":
        """The rows of an index or mask, as a table of their own."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen = {n: c[index] for n, c in columns.items() if isinstance(c, np.ndarray)}
        return replace(self, split=split or self.split, **chosen)

    def read(self, row: int) -> np.ndarray:
        """The image of a row, (h, w, 3) uint8 RGB."""
        return self.images.read(str(self.image[row]))


def with_joints(found: Annotations, truth: Annotations) -> Annotations:
    """Detected people with the joints of the annotated person whom their box overlaps most.

    Below an intersection over union of 0.5 they have none: nothing of them is occluded.
    """
    best, overlap = np.zeros(len(found), int), np.zeros(len(found))
    for image in np.intersect1d(found.image_id, truth.image_id):
        rows, people = (np.flatnonzero(table.image_id == image) for table in (found, truth))
        shared = box_iou(found.boxes[rows], truth.boxes[people])
        best[rows], overlap[rows] = people[shared.argmax(1)], shared.max(1)
    there = overlap >= 0.5
    note = f"{there.sum():,} of {len(found):,} detected people overlap an annotated one by half"
    return replace(
        found,
        keypoints=truth.keypoints[best],
        visible=truth.visible[best] & there[:, None],
        reference=truth.reference[best],
        notes=(*found.notes, f"{note} (IoU); of the others nothing is occluded"),
    )
