"""Predict a split: a network's heatmaps, the keypoints of every row, and the mean pose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..config.families import TestingSettings
from ..config.machine import Machine
from ..data.clips import Clips
from ..data.predictions import Predictions
from ..errors import loading
from ..files.progress import bar
from ..geometry.heatmaps import resampled
from ..models.families.task import Task

# A batch -> its images (B, T, 3, h, w) uint8, (B, T, S, 3, h, w) where it has several sizes.
View = Callable[[dict[str, Tensor]], Tensor]
_AS_IT_IS: View = itemgetter("images")


@torch.no_grad()
def average_heatmaps(task: Task, images: Tensor, flip_test: bool = False) -> Tensor:
    """The network's belief about each frame, with `flip_test` averaged with the mirror image's.

    Args:
        task: the network.
        images: (B, T, 3, h, w) uint8.
        flip_test: also look at the mirror image.

    Returns:
        (B, T, K, H, W) float32.
    """
    views = [images, images.flip(-1)] if flip_test else [images]
    if images.is_cuda:  # one large batch has fewer launches
        maps = task.heatmaps(torch.cat(views)).float().chunk(len(views))
    else:
        maps = [task.heatmaps(view).float() for view in views]
    if not flip_test:
        return maps[0]
    people = len(images) if images.is_cuda else 2  # so few stay in a processor's cache
    mean = torch.empty_like(maps[0])
    parts = (view.split(people) for view in (*maps, mean))
    for ours, other, part in zip(*parts, strict=True):
        torch.add(ours, task.flip_back(other), out=part).mul_(0.5)
    return mean


@dataclass
class _Recurrence:
    """A recurrent network that watches one video after another, and what it remembers.

    Attributes:
        task: the network.
        flip_test: also look at the mirror images; all sizes and mirror images are one batch.
        sequence: the video that the state is about.
        state: after the last frame.
    """

    task: Task
    flip_test: bool
    sequence: int | None = None
    state: Any = None

    def heatmaps(self, frames: Tensor, sequences: np.ndarray) -> Tensor:
        """Beliefs (N, S, K, H, W) about the next N frames (N, S, 3, h, w) of some videos (N,)."""
        maps = []
        for views, sequence in zip(frames, sequences, strict=True):
            if sequence != self.sequence:
                self.sequence, self.state = sequence, None
            views = torch.cat([views, views.flip(-1)]) if self.flip_test else views
            found, self.state = self.task.step(views, self.state)
            maps.append(found.float())
        maps = torch.stack(maps)
        if not self.flip_test:
            return maps
        straight, mirrored = maps.chunk(2, 1)
        return (straight + self.task.flip_back(mirrored)).div_(2)


def predict(task: Task, batches: DataLoader, machine: Machine, *how: Any) -> Predictions:
    """Predict every row of a split once, see `predict_views`."""
    return predict_views(task, batches, machine, [_AS_IT_IS], *how)[0]


def predict_tested(
    task: Task, batches: DataLoader, machine: Machine, settings: TestingSettings, *views: View
) -> list[Predictions]:
    """Predict every row under each view, or as it is, by the settings; see `predict_views`.

    The clips of the batches have the settings' scales.
    """
    found = predict_views(task, batches, machine, views or [_AS_IT_IS], settings.flip_test, bar)
    moved, ranking = settings.test_bias, settings.ranking
    return [replace(one, keypoints=one.keypoints - moved, ranking=ranking) for one in found]


@loading()
@torch.inference_mode()
def predict_views(
    task: Task,
    batches: DataLoader,
    machine: Machine,
    views: Sequence[View],
    flip_test: bool = False,
    shown: Callable[[DataLoader, str], Any] = lambda batches, title: batches,
) -> list[Predictions]:
    """Predict every row of a split once under each view; rows that no batch scores stay zero.

    Maps of several sizes of a person are averaged on the cells of the crop at size 1.

    Args:
        task: the network; it is put in evaluation mode.
        batches: from `posekit.data.loader`, unshuffled, without augmentation.
        machine: device and precision.
        views: each makes the images of a batch, which is read once for all of them.
        flip_test: average with the mirror image.
        shown: wraps the batches in a progress bar.
    """
    task.model.eval()
    clips: Clips = batches.dataset
    zooms = [clips.framing.zoom(scale) for scale in clips.scales or (1.0,)]
    half_pixel = task.model.description.half_pixel
    videos = [_Recurrence(task, flip_test) if clips.frames == "all" else None for _ in views]
    keypoints = np.zeros((len(views), *clips.keypoints.shape))
    scores = np.zeros(keypoints.shape[:-1])
    for batch in shown(batches, "predicting"):
        rows, scored = batch["rows"].numpy(), batch["scored"].numpy()
        for number, (view, video) in enumerate(zip(views, videos, strict=True)):
            images = view(batch).to(machine.device, non_blocking=True)
            images = images if clips.scales else images[:, :, None]
            with machine.autocast():
                if video:
                    maps = video.heatmaps(images[:, 0], clips.people.sequence[rows[:, 0]])[:, None]
                    sizes = maps.unbind(2)
                else:
                    sizes = [average_heatmaps(task, one, flip_test) for one in images.unbind(2)]
            pairs = zip(sizes, zooms, strict=True)
            maps, *more = [resampled(m, zoom, clips.image_size, half_pixel) for m, zoom in pairs]
            maps = sum(more, maps) / len(zooms) if more else maps
            found, heights = task.decode(maps, clips.image_size)
            keypoints[number, rows[scored]] = found.cpu().numpy()[scored]
            scores[number, rows[scored]] = heights.cpu().numpy()[scored]
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
