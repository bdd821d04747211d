"""Predict a split: a network's heatmaps, the keypoints of every row, and the mean pose."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..config.families import TestingSettings
from ..config.machine import Machine
from ..data.clips import Clips
from ..data.predictions import Predictions
from ..files.progress import bar
from ..models.families.task import Task

View = Callable[[dict[str, Tensor]], Tensor]  # a batch -> its images (B, T, 3, h, w) uint8
_AS_IT_IS: View = itemgetter("images")


def average_heatmaps(
    task: Task,
    images: Tensor,
    flip_test: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Tensor:
    """The network's belief about each frame, averaged over mirror images and sizes.

    Args:
        task: the network.
        images: (B, T, 3, h, w) uint8.
        flip_test: also look at the mirror image.
        scales: sizes of the person to look at; each enlarges or shrinks the crop about its middle.

    Returns:
        (B, T, K, H, W) float32.
    """
    total: Tensor | int = 0
    for scale in scales:
        scaled = _zoom(images, scale)
        maps = task.heatmaps(scaled).float()
        if flip_test:
            maps = (maps + task.flip_back(task.heatmaps(scaled.flip(-1)).float())) / 2
        total = total + _zoom(maps, 1 / scale)
    return total / len(scales)


def _zoom(images: Tensor, scale: float) -> Tensor:
    """Enlarge (..., C, h, w) about its middle by a factor, same size out; zeros come in as grey."""
    if scale == 1:
        return images
    flat = images.flatten(0, -4)
    empty = 128.0 if images.dtype == torch.uint8 else 0.0
    theta = images.new_tensor([[1 / scale, 0, 0], [0, 1 / scale, 0]], dtype=torch.float32)
    grid = F.affine_grid(theta.expand(len(flat), 2, 3), list(flat.shape), align_corners=False)
    out = F.grid_sample(flat.float() - empty, grid, align_corners=False) + empty
    if images.dtype == torch.uint8:
        out = out.round().clamp(0, 255).to(torch.uint8)
    return out.reshape(images.shape)


def predict(task: Task, batches: DataLoader, machine: Machine, *how: Any) -> Predictions:
    """Predict every row of a split once, see `predict_views`."""
    return predict_views(task, batches, machine, [_AS_IT_IS], *how)[0]


def predict_tested(
    task: Task, batches: DataLoader, machine: Machine, settings: TestingSettings, *views: View
) -> list[Predictions]:
    """Predict every row under each view, or as it is, by the settings; see `predict_views`."""
    how = views or [_AS_IT_IS], settings.flip_test, settings.test_scales, bar
    return [
        replace(one, keypoints=one.keypoints - settings.test_bias, soft_nms=settings.soft_nms)
        for one in predict_views(task, batches, machine, *how)
    ]


@torch.inference_mode()
def predict_views(
    task: Task,
    batches: DataLoader,
    machine: Machine,
    views: Sequence[View],
    flip_test: bool = False,
    scales: Sequence[float] = (1.0,),
    shown: Callable[[DataLoader, str], Any] = lambda batches, title: batches,
) -> list[Predictions]:
    """Predict every row of a split once under each view; rows that no batch scores stay zero.

    Args:
        task: the network; it is put in evaluation mode.
        batches: from `posekit.data.loader`, unshuffled, without augmentation.
        machine: device and precision.
        views: each makes the images of a batch, which is read once for all of them.
        flip_test: average with the mirror image.
        scales: sizes to add up.
        shown: wraps the batches in a progress bar.
    """
    task.model.eval()
    clips: Clips = batches.dataset
    keypoints = np.zeros((len(views), *clips.keypoints.shape))
    scores = np.zeros(keypoints.shape[:-1])
    for batch in shown(batches, "predicting"):
        scored = batch["scored"].numpy()
        rows = batch["rows"].numpy()[scored]
        for number, view in enumerate(views):
            images = view(batch).to(machine.device, non_blocking=True)
            with machine.autocast():
                maps = average_heatmaps(task, images, flip_test, scales)
            found, heights = task.decode(maps, clips.image_size)
            keypoints[number, rows] = found.cpu().numpy()[scored]
            scores[number, rows] = heights.cpu().numpy()[scored]
    for found in keypoints:
        found[:] = clips.to_image(found)
    return [Predictions(*found) for found in zip(keypoints, scores, strict=True)]


def mean_pose(train: Clips, test: Clips) -> np.ndarray:
    """The baseline that never looks: the mean training pose inside each test crop.

    Returns:
        (N, K, 2) image pixels for the rows of `test`.
    """
    visible = train.visible[..., None]
    crops = np.where(visible, train.to_crop(train.keypoints), 0)
    mean = crops.sum(0) / visible.sum(0).clip(1)
    return test.to_image(np.broadcast_to(mean, test.keypoints.shape))
