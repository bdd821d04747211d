"""One picture for each paper that only its network has: its idea at work in the trained network.

All of them look through forward hooks; the networks are left as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ...inference.sampling import spread_rows
from ...models.blocks_pose_machine import STRIDE
from ...models.cpm import CPM
from ...models.hourglass import StackedHourglass
from ...models.hrnet import HRNet
from ...models.ldcrn import LDCRN, DenseBlock
from ...models.lpm import LPM, lstm_step
from ...models.lpn import LPN, GlobalContext
from ...models.lsdnet import LSDNet, StochasticBlock
from ...models.simplebaseline import PoseResNet
from ...reporting import figures
from .building import batch_of
from .experiment import Experiment

Cell = tuple[str, np.ndarray]  # a label and an image, or a map (H, W)


def idea(exp: Experiment) -> Any:
    """The picture that only this network's paper has, of the network as it is trained.

    Args:
        exp: after `train`.
    """
    picture = PICTURES.get(type(exp.task.model))
    if picture is None:
        print(f"{exp.about.name} has no picture of its own yet: it would be one of {__name__}")
        return None
    exp.task.model.eval()
    figure, caption = picture(exp)
    figure.suptitle(f"{figure.get_suptitle()}: {exp.run.label}", parse_math=False)
    return exp.run.figure("6-idea", figure, caption)


@contextmanager
def outputs_of(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """A list that fills with what modules return, call by call."""
    outputs: list[Any] = []
    hooks = [m.register_forward_hook(lambda _, __, found: outputs.append(found)) for m in modules]
    yield outputs
    for hook in hooks:
        hook.remove()


def crops(exp: Experiment, count: int) -> Tensor:
    """Test clips (B, T, 3, h, w), cut as in training and evenly spread."""
    clips = replace(exp.test, frames=exp.settings.clip_length(exp.about))
    return batch_of(clips, spread_rows(len(clips), count + 2)[1:-1], exp.machine)["images"]


def pictures(images: Tensor) -> list[np.ndarray]:
    """Crops (N, 3, h, w) as images (h, w, 3)."""
    return list(images.permute(0, 2, 3, 1).cpu().numpy())


def strength(features: Tensor) -> np.ndarray:
    """How strongly a cell answers: the mean size of its channels, (C, H, W) to (H, W)."""
    return features.abs().mean(0).float().cpu().numpy()


def sheet(rows: Sequence[Sequence[Cell]], title: str, width: float = 11.0) -> Figure:
    """Images and maps in rows; maps are shown cell by cell, dark where they are lowest."""
    h, w = rows[0][0][1].shape[:2]
    columns = max(map(len, rows))
    height = len(rows) * (width / columns * h / w + 0.2) + 0.5
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for ax in grid.flat:
        ax.axis("off")
    for axes, row in zip(grid, rows, strict=True):
        for ax, (label, image) in zip(axes, row, strict=False):
            ax.imshow(image, cmap="inferno")
            ax.set_title(label, fontsize=8, parse_math=False)
    figure.suptitle(title)
    return figure
