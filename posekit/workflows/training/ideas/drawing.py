"""What the pictures share: looking into a network, and rows of images and maps."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from ....inference.sampling import spread_rows
from ..building import batch_of
from ..experiment import Experiment

Cell = tuple[str, np.ndarray]  # a label and an image (h, w, 3) or a map (H, W)
Drawn = tuple[Figure, str, str]  # a figure, its title and what to see in it


@contextmanager
def outputs_of(modules: Iterable[nn.Module]) -> Iterator[list[Any]]:
    """A list that fills with what modules return, call by call."""
    found: list[Any] = []
    hooks = [m.register_forward_hook(lambda _, __, output: found.append(output)) for m in modules]
    yield found
    for hook in hooks:
        hook.remove()


def crops(exp: Experiment, count: int) -> tuple[Tensor, list[np.ndarray]]:
    """Test clips (B, T, 3, h, w), cut as in training, and their first images.

    Of some that are evenly spread those with the least black border, which features are full of.
    """
    clips = replace(exp.test, frames=exp.settings.clip_length(exp.about))
    images = batch_of(clips, spread_rows(len(clips), 4 * count), exp.machine)["images"]
    black = (images[:, 0].amax(1) == 0).float().mean((-2, -1))
    images = images[black.argsort(stable=True)[:count]]
    return images, pictures(images[:, 0])


def pictures(images: Tensor) -> list[np.ndarray]:
    """Crops (N, 3, h, w) as images (h, w, 3)."""
    return list(images.permute(0, 2, 3, 1).cpu().numpy())


def strength(features: Tensor) -> Cell:
    """How strongly each cell answers: the mean size of its channels (C, H, W), and their shape."""
    return size_of(features), features.abs().mean(0).float().cpu().numpy()


def size_of(features: Tensor) -> str:
    """The resolution of maps (..., H, W)."""
    return "\u00d7".join(map(str, features.shape[-2:]))


def highest(maps: Tensor) -> Cell:
    """The heat maps of all joints (K, H, W) in one."""
    return "heat maps", maps.amax(0).clamp(min=0).float().cpu().numpy()


def sheet(rows: Sequence[Sequence[Cell]], names: Sequence[str] = ()) -> Figure:
    """Images and maps in rows with their labels; maps are shown cell by cell, the lowest black."""
    (h, w), columns = rows[0][0][1].shape[:2], max(map(len, rows))
    height = len(rows) * (11 / columns * h / w + 0.25) + 0.5
    figure = Figure(figsize=(11, height), layout="constrained")
    frame = {"frame_on": False, "xticks": (), "yticks": ()}
    grid = figure.subplots(len(rows), columns, squeeze=False, subplot_kw=frame)
    for axes, row in zip(grid, rows, strict=True):
        for ax, (label, image) in zip(axes, row, strict=False):
            ax.imshow(image, cmap="inferno")
            ax.set_title(label, fontsize=8, parse_math=False)
    for axes, name in zip(grid, names, strict=False):
        axes[0].set_ylabel(name, fontsize=8)
    return figure
