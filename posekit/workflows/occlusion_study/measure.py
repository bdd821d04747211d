"""Predictions and points of everybody under every occlusion."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...data import Annotations, dataset
from ...data.clips import Clips, loader
from ...data.occlusion.occluder import occlude_target
from ...data.predictions import Predictions
from ...geometry.crops import compose, transform
from ...geometry.skeletons import convert
from ...inference.estimator import PoseEstimator
from ...inference.evaluate import predict_tested
from ...metrics.bootstrap import nan_mean
from .setup import UNOCCLUDED, Occlusion, Study


def measure(study: Study) -> pd.DataFrame:
    """Score everybody, as they are and under every occlusion; one line a network is printed.

    Returns:
        The scores without any occlusion.
    """
    occlusions = _all_occlusions(study)
    for estimator, clips in zip(study.estimators, study.clips, strict=True):
        predictions = _predict(study, estimator, clips, [UNOCCLUDED, *occlusions])
        study.predictions.append(predictions)
        study.points.append({one: _points(clips, p.keypoints) for one, p in predictions.items()})
        print(f"{estimator.name}: {len(occlusions)} occlusions of {len(study.people)} people")
    compare_same_joints(study)
    columns = {
        "network": study.names,
        study.metric: [float(nan_mean(points[UNOCCLUDED].ravel())) for points in study.points],
        "parameters": [
            sum(p.numel() for p in estimator.task.model.parameters())
            for estimator in study.estimators
        ],
        "what it is": [estimator.story for estimator in study.estimators],
    }
    table = pd.DataFrame(columns).round(2)
    return study.run.keep("Nothing occluded", table)


def compare_same_joints(study: Study) -> None:
    """Leave out joints that a network does not know from the points of all networks."""
    known = ~np.isnan([points[UNOCCLUDED] for points in study.points])
    shared = known.all(0)
    if lost := (known.any(0) & ~shared).any(0).sum():
        note = f"{lost} joints that not every network knows are not scored for any"
        study.run.update(notes=[*study.run.record.notes, note])
    study.points = [
        {occlusion: np.where(shared, values, np.nan) for occlusion, values in points.items()}
        for points in study.points
    ]


def _all_occlusions(study: Study) -> list[Occlusion]:
    settings = study.settings
    kinds = itertools.product(settings.effects, settings.sizes)
    parts = itertools.chain(*(study.occlusions(effect, size) for effect, size in kinds))
    return [*parts, *study.occlusions(joints=True)]


def _predict(
    study: Study, estimator: PoseEstimator, clips: Clips, occlusions: list[Occlusion]
) -> dict[Occlusion, Predictions]:
    """Predictions under every occlusion; notes who was occluded."""
    hits = {one: np.ones(len(study.people), bool) for one in occlusions}
    clips = replace(clips, scales=estimator.settings.test_scales)
    batches = loader(clips, study.settings.batch_size, False, study.machine.workers, pin=False)
    views = [partial(_view, clips, one, hit) for one, hit in hits.items()]
    found = predict_tested(estimator.task, batches, study.machine, estimator.settings, *views)
    for occlusion, hit in hits.items():
        study.occluded[occlusion] = hit & study.occluded.get(occlusion, True)
    return dict(zip(occlusions, found, strict=True))


def _view(clips: Clips, occlusion: Occlusion, hit: np.ndarray, batch: dict[str, Tensor]) -> Tensor:
    """The images (B, T, S, 3, h, w) of a batch, occluded; `hit` (N,) notes of whom."""
    if occlusion == UNOCCLUDED:
        return batch["images"]
    rows, scored = batch["rows"].numpy(), batch["scored"].numpy()
    images = batch["images"].movedim(3, -1)
    clip = clips.clip_of_row[rows[np.arange(len(rows)), scored.argmax(1)]]
    zooms = np.stack([clips.framing.zoom(scale) for scale in clips.scales])
    matrices = compose(zooms, clips.matrices[clip][:, None, None])
    every = np.broadcast_to(rows[..., None], images.shape[:3]).ravel()
    matrices = np.broadcast_to(matrices, (*images.shape[:3], 2, 3)).reshape(-1, 2, 3)
    crops = images.flatten(0, 2).numpy()
    crops, has = occlude(clips.people, every, crops, matrices, occlusion)
    hit[rows[scored]] = has.reshape(images.shape[:3]).any(-1)[scored]
    return torch.from_numpy(crops).reshape(images.shape).movedim(-1, 3).contiguous()


def occlude(
    people: Annotations,
    rows: np.ndarray,
    crops: np.ndarray,
    matrices: np.ndarray,
    occlusion: Occlusion,
) -> tuple[np.ndarray, np.ndarray]:
    """Occlude one joint or part of some people.

    Args:
        people: with the joints that say where it is.
        rows: (M,) of the people.
        crops: (M, h, w, 3) of these rows.
        matrices: (M, 2, 3) from image to crop pixels.
        occlusion: of a joint or part.

    Returns:
        Occluded crops, and (M,) bool, which of them have what is occluded.
    """
    part, _, joint = occlusion.target.partition(" ")
    return occlude_target(
        crops,
        transform(matrices, people.keypoints[rows]),
        people.visible[rows],
        target=people.skeleton.joints.index(joint) if joint else part,
        effect=occlusion.effect,
        skeleton=people.skeleton,
        scale=occlusion.size,
    )


def _points(clips: Clips, found: np.ndarray) -> np.ndarray:
    """(N, K) points of predicted joints (N, K', 2), image pixels; NaN where none are due."""
    people, everything = clips.people, np.ones(found.shape[:2], bool)
    ours, known = convert(found, everything, clips.skeleton, people.skeleton)
    points = dataset(people.dataset).scorer.points(people, ours)
    due = people.visible & known & (people.reference > 0)[:, None]
    return np.where(due, points, np.nan)
