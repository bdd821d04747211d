"""Data sets as columns: `load` reads them, `check` says what is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..files.words import few
from . import lsp, mpii, penn_action
from .annotations import Annotations, Folder
from .coco import spec as coco
from .dataset import SPLITS, DataSet, EmptySplit, Sample
from .registry import DATASETS, dataset, dataset_name, register
from .scoring import PckScorer, Scorer

__all__ = [
    "DATASETS", "Annotations", "DataSet", "EmptySplit", "Folder", "PckScorer", "Sample", "Scorer",
    "check", "dataset", "dataset_name", "load", "register",
]  # fmt: skip

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
    boxes: str | Path = "ground_truth",
) -> Annotations:
    """Read one split of a data set.

    Args:
        name: of the data set, as `dataset` takes it.
        split: train, test or one without ground truth; a part of train held out for validation is
            the caller's affair.
        root: the data root, the folder that holds coco, LSP, mpii, PennAction.
        source: real or sample, the label that the table carries.
        allow_partial: drop the rows whose image or whole frame folder is absent, and say so in
            the notes, instead of refusing an incomplete folder.
        require_images: False reads the labels alone, for scoring predictions made elsewhere; the
            boxes of LSP, which are its images' frames, are NaN then. Adding 1 to coordinates
            gives those of the data set's own files, except for COCO, whose files are 0-based.
        boxes: ground_truth, or detections: the people of COCO's test split as a detector found
            them, with its scores and without annotated joints; or a json file of other detections.

    Raises:
        PosekitError: what is missing or damaged and where to get it, or the split has no row.
    """
    spec = dataset(name)
    split = spec.split(split)
    spec = spec.with_boxes(boxes, split)
    folder = spec.need(root)
    table = spec.annotations(folder, split, source)
    total = _units(table)
    if require_images:
        there = table.images.present(table.image)
        if problems := _missing(spec, table, there, allow_partial):
            problem = f"{spec.name} in {folder} is incomplete: {'; '.join(problems)}"
            raise PosekitError(f"{problem}. {spec.remedy(folder)}")
        table = table.rows(there)
    if not len(table):
        why = f"none of its {total} labelled {spec.unit} has an image file" if total else "no label"
        problem = f"{spec.name} in {folder} has no row for the split {split}: {why}"
        raise EmptySplit(f"{problem}. {spec.remedy(folder)}")
    if require_images and spec.image_boxes:
        table = replace(table, boxes=spec.image_boxes(table))
    notes, left, published = table.notes, _units(table), spec.published.get(split, 0)
    if left < total:
        kind = "frames" if spec.video else "image files"
        notes += (f"partial folder: {left} of {total} {spec.unit} have {kind}",)
    elif source == "real" and total < published:
        notes += (f"{total} {spec.unit}; the published {split} split has {published}",)
    return replace(table, notes=notes)


def check(
    name: str, root: Path, split: str | None = None, boxes: str = "ground_truth"
) -> list[str]:
    """What is missing, a sentence each; an empty list is a complete data set.

    Args:
        name: of the data set.
        root: the data root.
        split: train, test or one without ground truth; None for all that are there.
        boxes: ground_truth or detections, see `load`.
    """
    spec = dataset(name)
    folder = spec.find(root)
    if folder is None:
        return [f"no folder {spec.folder} below {root}"]
    problems, reader = [], spec.detections if boxes == "detections" else spec
    for part in [split] if split else [*SPLITS, *spec.unscored_in(folder)]:
        try:
            table = reader.annotations(folder, part)
            found = _missing(spec, table, table.images.present(table.image))
            found += [] if len(table) else [f"no labelled {spec.unit}"]
            if reader is spec and part in SPLITS and not (table.reference > 0).any():
                found += table.notes
            problems += [f"{part}: {problem}" for problem in found]
        except PosekitError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _units(table: Annotations) -> int:
    return len(np.unique(table.sequence))


def _missing(
    spec: DataSet, table: Annotations, there: np.ndarray, allow_partial: bool = False
) -> list[str]:
    """Sequences without any image, unless a part is enough, and frames missing inside others."""
    problems, begun = [], np.isin(table.sequence, table.sequence[there])
    if not (allow_partial or begun.all()):
        absent = table.rows(~begun)
        numbers = [f"{number:04d}" for number in absent.sequence.tolist()]
        names = dict.fromkeys(numbers if spec.video else absent.image.tolist())
        count = f"{_units(absent)} of {_units(table)} {spec.unit}"
        kind = "frames" if spec.video else "image file"
        problems.append(f"{count} have no {kind} ({few(list(names))})")
    if names := table.image[begun & ~there].tolist():
        problems.append(f"missing frames: {len(names)} ({few(names)})")
    return problems
