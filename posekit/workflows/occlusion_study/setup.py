"""Start an occlusion study: check the parameters, open the networks, read the people."""

import contextlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import data
from ...config.machine import Machine, choose_machine
from ...config.resolve import Config, resolve_source
from ...config.settings import check
from ...data import Annotations
from ...data.clips import Clips
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...files.places import smoke
from ...inference.estimator import Estimator, number_equal_names
from ...inference.open_network import check_joints, find_network, open_estimator
from ...inference.sampling import spread_rows
from ...inference.tracker import box_iou
from ...reporting.record import read_record, trained_runs
from ..training.opening import open_run
from .study import Study, StudySettings

_PAPER = (
    "Pytel, Kayhan, van Gemert: Tilting at windmills: Data augmentation for deep pose estimation "
    "does not help with occlusions, arXiv 2010.10451"
)
_FRAMES, _NETWORKS, _SMOKE_PEOPLE = 5, 3, 4  # of a video; of newest runs; in a test
_OVERLAP = 0.5  # intersection over union of a detected and an annotated box of one person


def start(namespace: dict[str, Any]) -> Study:
    """Check the parameters, open the networks, read the people and open the run folder.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming what is wrong with the parameters, before any work.
    """
    given = check(StudySettings, namespace, "the occlusion notebook cannot run with this:")
    settings = StudySettings(**given)
    sources = list(settings.networks) or _newest_runs(settings.dataset)
    first = read_record(Path(os.path.expanduser(sources[0]))) if sources else None
    dataset = settings.dataset or (first and first.dataset) or "COCO"
    source = settings.source
    if first and source == "auto" and settings.data_root is None:
        source = first.source
    source, root = resolve_source(dataset, source, settings.data_root)
    machine = choose_machine(settings.device, settings.precision, workers=0)
    estimators = _open_networks(settings, sources, dataset, machine)
    resolved = {"dataset": dataset, "networks": tuple(e.name for e in estimators)}
    origins = dict.fromkeys(StudySettings.model_fields, "default") | dict.fromkeys(given, "you")
    origins |= {name: "the networks" for name in resolved if name not in given}
    if smoke():
        resolved["people"] = min(settings.people, _SMOKE_PEOPLE)
    settings = settings.model_copy(update=resolved)
    config = Config("occlusion", "occlusion study", settings, origins, source, root, smoke())
    run = open_run(config)
    root = root or ensure_sample(dataset, smoke=smoke())
    people = _load_people(settings, source, root)
    notes = [estimator.about for estimator in estimators]
    if not all(estimator.trained for estimator in estimators):
        notes.append("NOT TRAINED: these numbers mean nothing")
    if settings.eval_split == "train":
        notes.append("people of the training split: a network may know them by heart")
    run.update(
        notes=[*notes, *people.notes],
        n_samples=len(people),
        model=f"Occlusion of {', '.join(resolved['networks'])}",
        paper_title=_PAPER,
    )
    clips = [_clips(people, estimator) for estimator in estimators]
    return Study(config, run, root, machine, estimators, people, clips)


def _newest_runs(dataset: str | None) -> list[str]:
    """The newest finished runs of different networks on one data set and source."""
    found, kind = {}, None
    for folder, record in trained_runs():
        here = record.dataset, record.source
        if dataset not in (None, record.dataset) or here != (kind or here):
            continue
        with contextlib.suppress(PosekitError):  # of a run that is damaged or of an older version
            found.setdefault(find_network(str(folder)).name, str(folder))
            kind = here
        if len(found) == _NETWORKS:
            break
    return list(found.values())


def _open_networks(
    settings: StudySettings, sources: list[str], dataset: str, machine: Machine
) -> list[Estimator]:
    """The networks, or an untrained one of the data set's joints where there is none."""
    spec, joints = data.dataset(dataset), settings.skeleton
    if not sources:
        sources, joints = ["lpm" if spec.video else "hrnet_w32"], spec.skeleton.name
    estimators = [
        open_estimator(name, machine.device, joints, settings.image_size) for name in sources
    ]
    for one in estimators:
        usual = settings.people == 0 and one.settings.flip_test
        one.flip_test = usual if settings.flip_test is None else settings.flip_test
        if settings.people == 0:
            check_joints(one.name, one.skeleton, dataset)
    number_equal_names(estimators)
    return estimators


def _load_people(settings: StudySettings, source: str, root: Path) -> Annotations:
    """People of the split: all of them, or some, evenly spread, of videos a few frames each."""
    may_lack, split = settings.source == "real" or bool(settings.data_root), settings.eval_split
    read = partial(data.load, settings.dataset, split, root, source=source, allow_partial=may_lack)
    table = read(boxes=settings.boxes)
    if settings.boxes != "ground_truth":
        table = with_joints(table, read())
    rows = np.flatnonzero(table.visible.any(1) & (table.reference > 0))
    if not len(rows):
        raise PosekitError(f"{settings.dataset}: nobody in the {split} split can be scored")
    if settings.people == 0:
        return table
    frames = _FRAMES if data.dataset(table.dataset).video else 1
    sequences = np.unique(table.sequence[rows])
    chosen = sequences[spread_rows(len(sequences), -(-settings.people // frames))]
    return table.rows(np.concatenate([rows[table.sequence[rows] == s][:frames] for s in chosen]))


def with_joints(found: Annotations, truth: Annotations) -> Annotations:
    """Detected people with the joints of the annotated person whom their box overlaps most.

    Below an intersection over union of 0.5 they have none: nothing of them is occluded.
    """
    best, overlap = np.zeros(len(found), int), np.zeros(len(found))
    for image in np.intersect1d(found.image_id, truth.image_id):
        rows, people = (np.flatnonzero(table.image_id == image) for table in (found, truth))
        shared = box_iou(found.boxes[rows], truth.boxes[people])
        best[rows], overlap[rows] = people[shared.argmax(1)], shared.max(1)
    there = overlap >= _OVERLAP
    note = f"{there.sum():,} of {len(found):,} detected people overlap an annotated one by half"
    return replace(
        found,
        keypoints=truth.keypoints[best],
        visible=truth.visible[best] & there[:, None],
        reference=truth.reference[best],
        notes=(*found.notes, f"{note} (IoU); of the others nothing is occluded"),
    )


def _clips(people: Annotations, estimator: Estimator) -> Clips:
    own, about = estimator.settings, estimator.task.model.description
    framing = own.framing(data.dataset(people.dataset).crop_drop)
    return Clips(people, estimator.skeleton, own.clip_length(about), framing)
