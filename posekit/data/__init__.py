"""Data sets as columns: `load` reads them, `check` says what is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..files.words import few
from . import lsp, mpii, penn_action
from .annotations import Annotations, Folder, ImageSource
from .coco import spec as coco
from .dataset import (
    DATASETS,
    SPLITS,
    DataSet,
    EmptySplit,
    Sample,
    Scorer,
    dataset,
    dataset_name,
    find,
    register,
)
from .scoring import PckScorer

__all__ = [
    "DATASETS",
    "Annotations",
    "DataSet",
    "EmptySplit",
    "Folder",
    "ImageSource",
    "PckScorer",
    "Sample",
    "Scorer",
    "check",
    "dataset",
    "dataset_name",
    "find",
    "load",
    "register",
]

for _spec in (lsp.SPEC, mpii.SPEC, penn_action.SPEC, coco.SPEC):
    register(_spec)


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
        name: of the data set, as `dataset` takes it.
        split: train or test; a part of train held out for validation is the caller's affair.
        root: the data root, the folder that holds coco, LSP, mpii, PennAction.
        source: real or sample, the label that the table carries.
        allow_partial: drop the rows whose image or whole frame folder is absent, and say so in
            the notes, instead of refusing an incomplete folder.
        require_images: False reads the labels alone, for scoring predictions made elsewhere; the
            boxes of LSP, which are its images' frames, are NaN then. Adding 1 to coordinates
            gives those of the data set's own files, except for COCO, whose files are 0-based.
        boxes: ground_truth, or detections: the people of COCO's test split as a detector found
            them, with its scores and without annotated joints.

    Raises:
        PosekitError: what is missing or damaged and where to get it, or the split has no row.
    """
    spec = dataset(name)
    split = spec.split(split)
    if boxes not in ("ground_truth", "detections"):
        raise PosekitError(f"boxes is {boxes!r}: choose ground_truth or detections")
    if boxes == "detections":
        if spec.detections is None:
            raise PosekitError(f"{spec.name} has no detections: boxes has to be ground_truth")
        spec = spec.detections
    folder = spec.need(root)
    table = spec.read(folder, split, source)
    total = _units(table)
    if require_images:
        table = _with_images(spec, table, folder, allow_partial)
    if not len(table):
        why = f"none of its {total} labelled {spec.unit} has an image file" if total else "no label"
        raise EmptySplit(
            f"{spec.name} in {folder} has no row for the split {split}: {why}. "
            f"{spec.remedy(folder)}"
        )
    if require_images and spec.image_boxes:
        table = replace(table, boxes=spec.image_boxes(table))
    return replace(table, notes=table.notes + _shortfall(spec, table, total))


def check(name: str, root: Path) -> list[str]:
    """What is missing, a sentence each; an empty list is a complete data set."""
    spec = dataset(name)
    folder = spec.find(root)
    if folder is None:
        return [f"no folder {spec.folder} below {root}"]
    problems = []
    for split in SPLITS:
        try:
            table = spec.read(folder, split, "real")
            there = table.images.present(table.image)
            found = _missing(spec, table, there) + _missing_frames(table, there)
            problems += [f"{split}: {problem}" for problem in found]
            if not len(table):
                problems.append(f"{split}: no labelled {spec.unit}")
        except PosekitError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _with_images(
    spec: DataSet, table: Annotations, folder: Path, allow_partial: bool
) -> Annotations:
    """The rows whose images are there; missing ones are an error unless a partial folder is fine.

    Frames that are missing inside a sequence are an error even then.
    """
    there = table.images.present(table.image)
    problems = _missing_frames(table, there) or (
        [] if allow_partial else _missing(spec, table, there)
    )
    if problems:
        raise PosekitError(
            f"{spec.name} in {folder} is incomplete: {'; '.join(problems)}. {spec.remedy(folder)}"
        )
    return table.rows(there)


def _units(table: Annotations) -> int:
    return len(np.unique(table.sequence))


def _missing(spec: DataSet, table: Annotations, there: np.ndarray) -> list[str]:
    """Sequences without any image."""
    absent = ~np.isin(table.sequence, table.sequence[there])
    names = table.image[absent].tolist()
    if not names:
        return []
    if spec.video:
        names = [f"{number:04d}" for number in table.sequence[absent].tolist()]
    count = len(np.unique(table.sequence[absent]))
    kind = "frames" if spec.video else "image file"
    shown = few(list(dict.fromkeys(names)))
    return [f"{count} of {_units(table)} {spec.unit} have no {kind} ({shown})"]


def _missing_frames(table: Annotations, there: np.ndarray) -> list[str]:
    """Frames that are missing inside sequences that have others."""
    names = table.image[~there & np.isin(table.sequence, table.sequence[there])].tolist()
    return [f"missing frames: {len(names)} ({few(names)})"] if names else []


def _shortfall(spec: DataSet, table: Annotations, total: int) -> tuple[str, ...]:
    left, published = _units(table), spec.published.get(table.split, 0)
    if left < total:
        kind = "frames" if spec.video else "image files"
        return (f"partial folder: {left} of {total} {spec.unit} have {kind}",)
    if table.source == "real" and total < published:
        return (f"{total} {spec.unit}; the published {table.split} split has {published}",)
    return ()
