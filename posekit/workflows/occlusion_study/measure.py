"""Scores of everybody under every covering."""

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
from .setup import CLEAN, Cover, Study

if TYPE_CHECKING:
    import pandas as pd


def measure(study: Study) -> "pd.DataFrame":
    """Score everybody, as they are and under every covering; one line a network is printed.

    Returns:
        The scores without any covering.
    """
    import pandas as pd

    covers = _all_covers(study)
    rows = []
    for estimator, clips in zip(study.estimators, study.clips, strict=True):
        found, touched = _look(study, estimator, clips, covers)
        study.found.append(found)
        points = {c: _points(study.people, clips.to_image(p), clips) for c, p in found.items()}
        study.points.append(points)
        for cover, some in touched.items():
            study.touched[cover] = some & study.touched.get(cover, True)
        print(f"{estimator.name}: {len(covers)} coverings of {len(study.people)} people")
    compare_same_joints(study)
    for estimator, points in zip(study.estimators, study.points, strict=True):
        clean = np.nanmean(points[CLEAN])
        rows.append({"network": estimator.name, study.metric: clean, "what it is": estimator.about})
    table = pd.DataFrame(rows).round(2)
    study.tables[f"Nothing covered, {study.run.label}"] = table
    return table


def compare_same_joints(study: Study) -> None:
    """Leave out joints that a network does not know from the points of all networks."""
    known = [~np.isnan(points[CLEAN]) for points in study.points]
    shared = np.logical_and.reduce(known)
    if lost := int((np.logical_or.reduce(known) & ~shared).any(0).sum()):
        note = f"{lost} joints that not every network knows are not scored for any"
        study.run.update(notes=[*study.run.record.notes, note])
    for points in study.points:
        for cover, values in points.items():
            points[cover] = np.where(shared, values, np.nan)


def _all_covers(study: Study) -> list[Cover]:
    recipe = study.recipe
    parts = [Cover(p, e, s) for s in recipe.sizes for e in recipe.effects for p in PARTS]
    joints = study.covers(True) if recipe.joints else []
    return [*parts, *joints]


@torch.inference_mode()
def _look(
    study: Study, estimator: Estimator, clips: Clips, covers: list[Cover]
) -> tuple[dict[Cover, np.ndarray], dict[Cover, np.ndarray]]:
    """Predicted joints (N, K', 2) in crop pixels under every covering, and who was covered."""
    estimator.task.model.eval()
    truth = clips.to_crop(study.people.keypoints)
    found = {cover: np.empty(clips.keypoints.shape) for cover in [CLEAN, *covers]}
    touched = {cover: np.zeros(len(clips.people), bool) for cover in covers}
    for batch in _batches(clips, study.recipe.batch_size):
        images = np.stack([sample["images"] for sample in batch])
        rows = np.stack([sample["rows"] for sample in batch])
        scored = np.stack([sample["scored"] for sample in batch])
        pictures = images.transpose(0, 1, 3, 4, 2).reshape(-1, *images.shape[3:], 3)
        for cover in found:
            covered = pictures
            if cover is not CLEAN:
                here = truth[rows.ravel()], clips.people.visible[rows.ravel()]
                covered, some = occlude(pictures, *here, cover, study.people.skeleton)
                touched[cover][rows[scored]] = some.reshape(rows.shape)[scored]
            with study.machine.autocast():
                beliefs = heatmaps_of(estimator, covered.reshape(*rows.shape, *covered.shape[1:]))
            joints = estimator.task.decode(beliefs, clips.image_size)[0]
            found[cover][rows[scored]] = joints.cpu().numpy()[scored]
    return found, touched


def _batches(clips: Clips, size: int) -> Iterator[list[dict[str, np.ndarray]]]:
    for first in range(0, len(clips), size):
        yield [clips[0, clip] for clip in range(first, min(first + size, len(clips)))]


def occlude(
    pictures: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    cover: Cover,
    skeleton: Skeleton,
) -> tuple[np.ndarray, np.ndarray]:
    """`occlude_target` by the names of a `Cover`; joints are those of the data set."""
    kind, _, joint = cover.target.partition(" ")
    target = skeleton.joints.index(joint) if joint else kind
    return occlude_target(
        pictures,
        keypoints,
        visible,
        target=target,
        effect=cover.effect,
        skeleton=skeleton,
        scale=cover.size,
    )


def heatmaps_of(estimator: Estimator, pictures: np.ndarray) -> torch.Tensor:
    """Heat maps (B, T, K, H, W) of pictures (B, T, h, w, 3) uint8."""
    images = torch.from_numpy(np.ascontiguousarray(pictures)).to(estimator.device)
    images = images.permute(0, 1, 4, 2, 3).contiguous()
    return average_heatmaps(estimator.task, images, estimator.flip_test)


def _points(people: Annotations, found: np.ndarray, clips: Clips) -> np.ndarray:
    """(N, K) points of predicted joints (N, K', 2), image pixels; NaN where none are due."""
    all_there = np.ones(found.shape[:2], bool)
    ours, known = convert(found, all_there, clips.skeleton, people.skeleton)
    points = dataset(people.dataset).scorer.points(people, ours)
    return np.where(people.visible & known, points, np.nan)
