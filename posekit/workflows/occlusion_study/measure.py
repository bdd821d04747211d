"""Scores of everybody under every occlusion."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...data import Annotations, dataset
from ...data.clips import Clips
from ...data.occlusion.occluder import occlude_target
from ...geometry.body_parts import PARTS
from ...geometry.skeletons import Skeleton, convert
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
        predictions, occluded = _predict(study, estimator, clips, occlusions)
        study.predictions.append(predictions)
        points = {
            occlusion: _points(study.people, clips.to_image(keypoints), clips)
            for occlusion, keypoints in predictions.items()
        }
        study.points.append(points)
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
    known = [~np.isnan(points[UNOCCLUDED]) for points in study.points]
    shared = np.logical_and.reduce(known)
    if lost := int((np.logical_or.reduce(known) & ~shared).any(0).sum()):
        note = f"{lost} joints that not every network knows are not scored for any"
        study.run.update(notes=[*study.run.record.notes, note])
    for points in study.points:
        for occlusion, values in points.items():
            points[occlusion] = np.where(shared, values, np.nan)


def _all_occlusions(study: Study) -> list[Occlusion]:
    settings = study.settings
    sizes, effects = settings.sizes, settings.effects
    parts = [Occlusion(part, e, size) for size in sizes for e in effects for part in PARTS]
    return parts + (study.occlusions(joints=True) if settings.joints else [])


@torch.inference_mode()
def _predict(
    study: Study, estimator: Estimator, clips: Clips, occlusions: list[Occlusion]
) -> tuple[dict[Occlusion, np.ndarray], dict[Occlusion, np.ndarray]]:
    """Predicted joints (N, K', 2) in crop pixels under every occlusion, and who was occluded."""
    estimator.task.model.eval()
    truth = clips.to_crop(study.people.keypoints)
    found = {one: np.empty(clips.keypoints.shape) for one in [UNOCCLUDED, *occlusions]}
    occluded = {one: np.zeros(len(clips.people), bool) for one in occlusions}
    for batch in _batches(clips, study.settings.batch_size):
        clip_images, rows, scored = (
            np.stack([sample[name] for sample in batch]) for name in ("images", "rows", "scored")
        )
        images = clip_images.transpose(0, 1, 3, 4, 2).reshape(-1, *clip_images.shape[3:], 3)
        for occlusion in found:
            inputs = images
            if occlusion is not UNOCCLUDED:
                keypoints, visible = truth[rows.ravel()], clips.people.visible[rows.ravel()]
                inputs, hit = occlude(images, keypoints, visible, occlusion, study.people.skeleton)
                occluded[occlusion][rows[scored]] = hit.reshape(rows.shape)[scored]
            with study.machine.autocast():
                heatmaps = heatmaps_of(estimator, inputs.reshape(*rows.shape, *inputs.shape[1:]))
            joints = estimator.task.decode(heatmaps, clips.image_size)[0]
            found[occlusion][rows[scored]] = joints.cpu().numpy()[scored]
    return found, occluded


def _batches(clips: Clips, size: int) -> Iterator[list[dict[str, np.ndarray]]]:
    for first in range(0, len(clips), size):
        yield [clips[0, clip] for clip in range(first, min(first + size, len(clips)))]


def occlude(
    images: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    occlusion: Occlusion,
    skeleton: Skeleton,
) -> tuple[np.ndarray, np.ndarray]:
    """`occlude_target` by the names of an `Occlusion`; joints are those of the data set."""
    kind, _, joint = occlusion.target.partition(" ")
    target = skeleton.joints.index(joint) if joint else kind
    return occlude_target(
        images,
        keypoints,
        visible,
        target=target,
        effect=occlusion.effect,
        skeleton=skeleton,
        scale=occlusion.size,
    )


def heatmaps_of(estimator: Estimator, images: np.ndarray) -> torch.Tensor:
    """Heat maps (B, T, K, H, W) of images (B, T, h, w, 3) uint8."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(estimator.device)
    tensor = tensor.permute(0, 1, 4, 2, 3).contiguous()
    return average_heatmaps(estimator.task, tensor, estimator.flip_test)


def _points(people: Annotations, found: np.ndarray, clips: Clips) -> np.ndarray:
    """(N, K) points of predicted joints (N, K', 2), image pixels; NaN where none are due."""
    all_there = np.ones(found.shape[:2], bool)
    ours, known = convert(found, all_there, clips.skeleton, people.skeleton)
    points = dataset(people.dataset).scorer.points(people, ours)
    return np.where(people.visible & known, points, np.nan)
