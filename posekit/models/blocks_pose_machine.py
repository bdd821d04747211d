"""Pieces that the pose machines share: convolutions, first weights, the check of the inputs.

`width` scales the hidden channels, 1.0 being the papers' size.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..errors import PosekitError

WeightInit = Annotated[Literal["paper", "he"], Field(description="random weights: paper or he")]
STRIDE = 8  # image pixels per heat-map cell, after three poolings


def scaled(channels: int, width: float) -> int:
    """Number of hidden channels at a width multiplier, never below 8."""
    return max(8, round(width * channels))


def conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size of the map."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)


def stack(*maps: Tensor) -> Tensor:
    """Concatenate along channels: image features, previous beliefs, centre map."""
    return torch.cat(maps, dim=-3)


def init_weights(model: nn.Module, init: str, width: float) -> None:
    """Draw the weights of all convolutions; biases are 0.

    Args:
        model: the network.
        init: "paper" for N(0, 0.01) as the released training files have it, meant for summed
            losses and a long schedule; "he" for a deviation of sqrt(2 / fan-in), which starts
            to learn far sooner from scratch.
        width: the network's multiplier. A narrower net has fewer inputs per unit, so "paper"
            grows with 1/sqrt(width): activations keep the papers' size instead of vanishing.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        nn.init.zeros_(module.bias)
        if init == "he":
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        else:
            nn.init.normal_(module.weight, std=0.01 / min(width, 1.0) ** 0.5)


def check_size(images: Tensor, stride: int) -> None:
    """Refuse images (..., h, w) whose height or width is no multiple of `stride`."""
    height, width = images.shape[-2:]
    if height % stride or width % stride:
        raise PosekitError(
            f"input size {height}x{width}: height and width must be multiples of {stride}; "
            "resize or pad the input."
        )


def check_inputs(images: Tensor, centre: Tensor, frames: bool) -> None:
    """Refuse inputs that the network cannot divide into cells.

    Args:
        images: (B, 3, h, w), or (B, T, 3, h, w) if `frames`.
        centre: (B, 1, h, w).
        frames: whether a time axis is expected.

    Raises:
        PosekitError: if a shape is not the one above, or h or w no multiple of 8.
    """
    names = "frames (B, T, 3, h, w)" if frames else "images (B, 3, h, w)"
    if images.ndim != 4 + frames or images.shape[-3] != 3 or 0 in images.shape:
        raise PosekitError(f"expected {names}, got shape {tuple(images.shape)}.")
    check_size(images, STRIDE)
    expected = (len(images), 1, *images.shape[-2:])
    if centre.shape != expected:
        raise PosekitError(f"centre map has shape {tuple(centre.shape)}, expected {expected}.")
