"""Annotations as columns: one row is one person in one image."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import PosekitError
from ..files.reading import MAX_IMAGE, decode, read_file
from ..geometry.crops import box_iou
from ..geometry.skeletons import Skeleton, convert


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
        return read_file(self.root / name, "image", MAX_IMAGE)

    def present(self, names: np.ndarray) -> np.ndarray:
        parts = [name.rpartition("/") for name in names.tolist()]
        paths = {folder: self.root / folder for folder, _, _ in parts}
        listed = {f: set(os.listdir(path)) for f, path in paths.items() if path.is_dir()}
        return np.array([file in listed.get(folder, ()) for folder, _, file in parts], bool)


@dataclass(frozen=True)
class Several:
    """The images of several data sets; a name begins with that of its data set."""

    parts: Mapping[str, ImageSource]

    def read(self, name: str) -> np.ndarray:
        part, _, own = name.partition("/")
        return self.parts[part].read(own)


@dataclass(frozen=True)
class Annotations:
    """People as columns; N rows, K joints, every coordinate in 0-based image pixels.

    Rows of one sequence stand together in frame order; a still image is a sequence of one frame.
    Columns that a reader leaves out get the value that fits people in still images; without
    keypoints, that nobody is annotated.

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
        bystanders: people in the images who have no row, their image (M,) and keypoints (M, K, 2),
            NaN where nobody has annotated.
    """

    dataset: str
    split: str
    source: str
    skeleton: Skeleton
    boxes: np.ndarray
    image: np.ndarray
    images: ImageSource
    keypoints: np.ndarray | None = None
    visible: np.ndarray | None = None
    reference: np.ndarray | None = None
    sequence: np.ndarray | None = None
    occluded: np.ndarray | None = None
    frame: np.ndarray | None = None
    image_id: np.ndarray | None = None
    annotation_id: np.ndarray | None = None
    group: np.ndarray | None = None
    score: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    file_split: str | None = None
    bystanders: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        count, joints = len(self.boxes), len(self.skeleton)
        number = np.arange(1, count + 1, dtype=np.int32)
        usual = {
            "boxes": np.zeros((count, 4)),
            "image": number,
            "sequence": number,
            "keypoints": np.zeros((count, joints, 2), np.float32),
            "visible": np.zeros((count, joints), bool),
            "reference": np.full(count, np.nan, np.float32),
            "occluded": np.zeros((count, joints), bool),
            "frame": np.ones(count, np.int32),
            "image_id": (number if self.sequence is None else self.sequence).astype(np.int64),
            "annotation_id": np.full(count, -1, np.int64),
            "group": self.image,
            "score": np.ones(count, np.float32),
            "file_split": self.split,
            "bystanders": (self.image[:0], np.zeros((0, joints, 2), np.float32)),
        }
        for name, value in usual.items():
            given = getattr(self, name)
            if given is None:
                object.__setattr__(self, name, value)
            elif isinstance(value, np.ndarray) and given.shape != value.shape:
                problem = f"{name} is {given.shape}, it has to be {value.shape}"
                raise PosekitError(f"{self.dataset}: {problem}")

    def __len__(self) -> int:
        return len(self.boxes)

    def rows(self, index: np.ndarray, split: str | None = None) -> "Annotations":
        """The rows of an index or mask, as a table of their own."""
        chosen = {name: column[index] for name, column in self.columns().items()}
        return replace(self, split=split or self.split, **chosen)

    def columns(self) -> dict[str, np.ndarray]:
        """The arrays of the table, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}

    def everybody(self, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
        """Who is in the image of each row, the row's own person included.

        Returns:
            keypoints (M + 1, K, 2) of all people in image pixels, in the joints of the skeleton,
            NaN where nobody has annotated and for the last one, who is nobody; the numbers (N, P)
            of those in each row's image, -1 where it shows fewer than P people.
        """
        images, joints = self.bystanders
        own = np.where(self.visible[..., None], self.keypoints, np.nan)
        nobody = np.full((1, *own.shape[1:]), np.nan)
        image = np.unique(np.concatenate([self.image, images]), return_inverse=True)[1]
        order, counts = np.append(np.argsort(image, kind="stable"), -1), np.bincount(image)
        ends, count = np.cumsum(counts)[image[: len(self)], None], counts[image[: len(self)], None]
        place = np.arange(count.max(initial=0))
        numbers = order[np.where(place < count, ends - count + place, -1)]
        found = np.concatenate([own, joints, nobody]).astype(np.float32)
        return convert(found, ~np.isnan(found[..., 0]), self.skeleton, skeleton)[0], numbers

    def read(self, row: int) -> np.ndarray:
        """The image of a row, (h, w, 3) uint8 RGB."""
        return self.images.read(str(self.image[row]))


def mixed(tables: Sequence[Annotations], skeleton: Skeleton) -> Annotations:
    """People of several data sets as one table of a skeleton's joints, sequences numbered anew.

    Joints that a data set lacks are not annotated, and said in the notes.
    """
    parts = [_part(table, skeleton) for table in tables]
    tables = [part.columns() for part in parts]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    data_set = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    numbers = np.column_stack([data_set, columns["sequence"]])
    columns["sequence"] = np.unique(numbers, axis=0, return_inverse=True)[1].ravel() + 1
    strangers = zip(*(part.bystanders for part in parts), strict=True)
    return replace(
        parts[0],
        **columns,
        dataset="+".join(part.dataset for part in parts),
        images=Several({part.dataset: part.images for part in parts}),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        bystanders=tuple(map(np.concatenate, strangers)),
    )


def _part(table: Annotations, skeleton: Skeleton) -> Annotations:
    """A table as a part of several: in other joints, with the data set's name in other names."""
    place, points = f"{table.dataset}/", table.keypoints
    keypoints, visible = convert(points, table.visible, table.skeleton, skeleton)
    images, joints = table.bystanders
    lacking = [j for j, seen in zip(skeleton.joints, visible.any(0), strict=True) if not seen]
    return replace(
        table,
        skeleton=skeleton,
        keypoints=keypoints,
        visible=visible,
        occluded=convert(points, table.occluded, table.skeleton, skeleton)[1],
        image=np.char.add(place, table.image),
        group=np.char.add(place, table.group.astype(str)),
        notes=table.notes + (f"{table.dataset} lacks {', '.join(lacking)}",) * bool(lacking),
        bystanders=(
            np.char.add(place, images),
            convert(joints, ~np.isnan(joints[..., 0]), table.skeleton, skeleton)[0],
        ),
    )


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
