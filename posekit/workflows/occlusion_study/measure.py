"""Scores of everybody under every occlusion."""

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...data import dataset
from ...data.clips import Clips, loader
from ...data.occlusion.occluder import occlude_target
from ...geometry.skeletons import convert
from ...inference.estimator import Estimator
from ...inference.evaluate import average_heatmaps
from .setup import UNOCCLUDED, Occlusion, Study, nan_mean

if TYPE_CHECKING:
    import pandas as pd


def measure(study: Study) -> "pd.DataFrame":
    """Score everybody, as they are and under every occlusion; one line a network is printed.

    Returns:
        The scores without any occlusion.
    """
    import pandas as pd

    occlusions = _all_occlusions(study)
    for estimator, clips in zip(study.estimators, study.clips, strict=True):
        predictions, occluded = _predict(study, estimator, clips, [UNOCCLUDED, *occlusions])
        study.predictions.append(predictions)
        study.points.append({one: _points(clips, found) for one, found in predictions.items()})
        for occlusion, rows in occluded.items():
            study.occluded[occlusion] = rows & study.occluded.get(occlusion, True)
        print(f"{estimator.name}: {len(occlusions)} occlusions of {len(study.people)} people")
    compare_same_joints(study)
    table = pd.DataFrame(
        {
            "network": study.names,
            study.metric: [float(nan_mean(points[UNOCCLUDED].ravel())) for points in study.points],
            "what it is": [estimator.about for estimator in study.estimators],
        }
    ).round(2)
    study.tables[f"Nothing occluded, {study.run.label}"] = table
    return table


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
    return [*parts, *(study.occlusions(joints=True) if settings.joints else [])]


@torch.inference_mode()
def _predict(
    study: Study, estimator: Estimator, clips: Clips, occlusions: list[Occlusion]
) -> tuple[dict[Occlusion, np.ndarray], dict[Occlusion, np.ndarray]]:
    """Predicted joints (N, K', 2) in crop pixels under every occlusion, and who was occluded."""
    found = {one: np.empty(clips.keypoints.shape) for one in occlusions}
    occluded = {one: np.zeros(len(clips.people), bool) for one in occlusions}
    for batch in loader(clips, study.settings.batch_size, shuffle=False, workers=0, pin=False):
        scored = batch["scored"].numpy()
        rows, images = batch["rows"].numpy(), batch["images"].permute(0, 1, 3, 4, 2)
        crops = images.flatten(0, 1).numpy()
        for occlusion in occlusions:
            inputs, hit = occlude(clips, rows.ravel(), crops, occlusion)
            with study.machine.autocast():
                heatmaps = heatmaps_of(estimator, inputs.reshape(images.shape))
            joints = estimator.task.decode(heatmaps, clips.image_size)[0]
            found[occlusion][rows[scored]] = joints.cpu().numpy()[scored]
            occluded[occlusion][rows[scored]] = hit.reshape(rows.shape)[scored]
    return found, occluded


def occlude(
    clips: Clips, rows: np.ndarray, crops: np.ndarray, occlusion: Occlusion
) -> tuple[np.ndarray, np.ndarray]:
    """Occlude the crops (M, h, w, 3) of some rows (M,), all of them or none where nothing is.

    Returns:
        Occluded crops, and (M,) bool, which of them have what is occluded.
    """
    if occlusion.target == UNOCCLUDED.target:
        return crops, np.ones(len(crops), bool)
    people = clips.people
    part, _, joint = occlusion.target.partition(" ")
    return occlude_target(
        crops,
        clips.to_crop(people.keypoints)[rows],
        people.visible[rows],
        target=people.skeleton.joints.index(joint) if joint else part,
        effect=occlusion.effect,
        skeleton=people.skeleton,
        scale=occlusion.size,
    )


def heatmaps_of(estimator: Estimator, images: np.ndarray) -> torch.Tensor:
    """Heat maps (B, T, K, H, W) of images (B, T, h, w, 3) uint8."""
    tensor = torch.from_numpy(images).to(estimator.device).permute(0, 1, 4, 2, 3).contiguous()
    return average_heatmaps(estimator.task, tensor, estimator.flip_test)


def _points(clips: Clips, found: np.ndarray) -> np.ndarray:
    """(N, K) points of predicted joints (N, K', 2), crop pixels; NaN where none are due."""
    people, everything = clips.people, np.ones(found.shape[:2], bool)
    ours, known = convert(clips.to_image(found), everything, clips.skeleton, people.skeleton)
    points = dataset(people.dataset).scorer.points(people, ours)
    return np.where(people.visible & known, points, np.nan)
