"""Data sets as columns: `load` reads them, `check` says in words what is missing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..files import places
from ..files.places import dataset_name
from ..files.words import some
from ..geometry.skeletons import COCO, LSP, MPII, PENN_ACTION, Skeleton
from . import coco, lsp, mpii, penn_action
from .annotations import Annotations, Folder, ImageSource
from .folders import EmptySplit, need_folder, remedy

__all__ = [
    "DATASETS",
    "Annotations",
    "EmptySplit",
    "Folder",
    "ImageSource",
    "check",
    "dataset",
    "dataset_name",
    "find",
    "load",
]

SPLITS = ("train", "test")


@dataclass(frozen=True)
class DataSet:
    """How a data set is read; where it lies and comes from is in `posekit.files.places.DATASETS`.

    Attributes:
        name: the canonical name.
        folder: its folder below the data root; letter case is forgiven.
        page: the project page.
        download: what to fetch there.
        skeleton: its own joints.
        unit: what one sequence number stands for.
        published: split -> how many units the published split has.
        read: folder, split, source -> table of labels, images not looked at.
        boxes: makes the boxes of a table that only the pictures tell.
    """

    name: str
    folder: str
    page: str
    download: str
    skeleton: Skeleton
    unit: str
    published: dict[str, int]
    read: Callable[[Path, str, str], Annotations]
    boxes: Callable[[Annotations], np.ndarray] | None = None


def _described(name: str, *how: object) -> DataSet:
    return DataSet(name, *places.DATASETS[name], *how)


_PUBLISHED = {
    "LSP": {"train": 11000, "test": 1000},
    "MPII": {"train": 22246, "test": 2958},
    "PennAction": {"train": 1258, "test": 1068},
    "COCO": {"train": 149813, "test": 6352},
}
DATASETS = {
    d.name: d
    for d in (
        _described("LSP", LSP, "images", _PUBLISHED["LSP"], lsp.read, lsp.picture_boxes),
        _described("MPII", MPII, "people", _PUBLISHED["MPII"], mpii.read),
        _described(
            "PennAction", PENN_ACTION, "sequences", _PUBLISHED["PennAction"], penn_action.read
        ),
        _described("COCO", COCO, "people", _PUBLISHED["COCO"], coco.read),
    )
}
# Data sets whose people a detector has located as well, and how many boxes it published.
DETECTIONS = {
    "COCO": _described("COCO", COCO, "found people", {"test": 104125}, coco.read_detections)
}


def dataset(name: str) -> DataSet:
    """Look a data set up by name; letter case and punctuation are forgiven."""
    try:
        return DATASETS[places.dataset_name(name)]
    except (PosekitError, KeyError):
        known = ", ".join(DATASETS)
        raise PosekitError(f"no reader for data set {name!r}: choose one of {known}") from None


def find(name: str, root: Path) -> Path | None:
    """The data set's folder below the data root, letter case forgiven; None where it is not."""
    return places.find_data(name, Path(root))


def load(
    name: str,
    split: str,
    root: Path,
    *,
    source: str = "real",
    allow_partial: bool = False,
    require_images: bool = True,
    boxes: str = "ground_truth",
) -> Annotations:
    """Read one split of a data set.

    Args:
        name: LSP, MPII, PennAction or COCO.
        split: train or test; a part of train held out for validation is the caller's affair.
        root: the data root, the folder that holds coco, LSP, mpii, PennAction.
        source: real or sample, the label that the table carries.
        allow_partial: drop the rows whose image or whole frame folder is absent, and say so in
            the notes, instead of refusing an incomplete folder.
        require_images: False reads the labels alone, for scoring predictions made elsewhere; the
            boxes of LSP, which are its pictures' frames, are NaN then. Adding 1 to coordinates
            gives those of the data set's own files, except for COCO, whose files are 0-based.
        boxes: ground_truth, or detections: the people of COCO's test split as a detector found
            them, with its scores and without any truth.

    Raises:
        PosekitError: what is missing or damaged and where to get it, or the split has no row.
    """
    info = dataset(name)
    if split not in SPLITS:
        raise PosekitError(
            f"{info.name} has no split {split!r}: choose train or test (validation is held out "
            "from train)"
        )
    if boxes not in ("ground_truth", "detections"):
        raise PosekitError(f"boxes is {boxes!r}: choose ground_truth or detections")
    if boxes == "detections":
        if info.name not in DETECTIONS:
            raise PosekitError(f"{info.name} has no detections: boxes has to be ground_truth")
        info = DETECTIONS[info.name]
    folder = need_folder(root, info.name)
    table = info.read(folder, split, source)
    total = _units(table)
    if require_images:
        there = table.images.present(table.image)
        lost = _missing(info, table, there)
        torn = _torn(table, there)
        if torn or (lost and not allow_partial):
            raise PosekitError(
                f"{info.name} in {folder} is incomplete: {'; '.join(torn or lost)}. "
                f"{remedy(info.name, folder)}"
            )
        table = table.rows(there)
    if not len(table):
        why = f"none of its {total} labelled {info.unit} has a picture" if total else "no label"
        raise EmptySplit(
            f"{info.name} in {folder} has no row for the split {split}: {why}. "
            f"{remedy(info.name, folder)}"
        )
    if require_images and info.boxes:
        table = replace(table, boxes=info.boxes(table))
    return replace(table, notes=table.notes + _shortfall(info, table, total))


def check(name: str, root: Path) -> list[str]:
    """What is missing in words; an empty list is a complete data set."""
    info = dataset(name)
    folder = find(name, root)
    if folder is None:
        return [f"no folder {info.folder} below {root}"]
    problems = []
    for split in SPLITS:
        try:
            table = info.read(folder, split, "real")
            there = table.images.present(table.image)
            found = _missing(info, table, there) + _torn(table, there)
            problems += [f"{split}: {words}" for words in found]
            if not len(table):
                problems.append(f"{split}: no labelled {info.unit}")
        except PosekitError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _units(table: Annotations) -> int:
    return len(np.unique(table.sequence))


def _missing(info: DataSet, table: Annotations, there: np.ndarray) -> list[str]:
    """Sequences without any picture."""
    absent = ~np.isin(table.sequence, table.sequence[there])
    names = list(dict.fromkeys(_unit_names(table, absent)))
    if not names:
        return []
    count = len(np.unique(table.sequence[absent]))
    kind = "frames" if info.unit == "sequences" else "picture"
    return [f"{count} of {_units(table)} {info.unit} have no {kind} ({some(names)})"]


def _torn(table: Annotations, there: np.ndarray) -> list[str]:
    """Frames that are missing inside sequences that have others."""
    names = table.image[~there & np.isin(table.sequence, table.sequence[there])].tolist()
    return [f"missing frames: {len(names)} ({some(names)})"] if names else []


def _unit_names(table: Annotations, rows: np.ndarray) -> list[str]:
    names = table.image[rows].tolist()
    is_video = table.dataset == "PennAction"
    return [name.rpartition("/")[0] for name in names] if is_video else names


def _shortfall(info: DataSet, table: Annotations, total: int) -> tuple[str, ...]:
    left, published = _units(table), info.published[table.split]
    if left < total:
        kind = "frames" if info.unit == "sequences" else "pictures"
        return (f"partial folder: {left} of {total} {info.unit} have {kind}",)
    if table.source == "real" and total < published:
        return (f"{total} {info.unit}; the published {table.split} split has {published}",)
    return ()
