"""Pieces that CPM and LPM share: image trunk, first stage, refinement head, centre map.

Sizes are those of the papers as released in caffe. `width` scales the hidden channels, 1.0
being the papers' size.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import PosekitError

STRIDE = 8  # image pixels per heat-map cell, after three poolings


def scaled(channels: int, width: float) -> int:
    """Number of hidden channels at a width multiplier, never below 8.

    Raises:
        PosekitError: if the width is not a positive number.
    """
    if not isinstance(width, int | float) or not 0 < width <= 8:
        raise PosekitError(f"create_model: width={width!r} must be a number above 0 and up to 8.")
    return max(8, round(width * channels))


def conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size of the map."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)


def pool(features: Tensor) -> Tensor:
    """Halve the map as caffe does: window 3, stride 2, the last one may hang over the edge."""
    return F.max_pool2d(features, 3, 2, ceil_mode=True)


def pool_centre(centre: Tensor) -> Tensor:
    """Bring the centre map (B, 1, h, w) to the grid of the heat maps (B, 1, h/8, w/8)."""
    return F.avg_pool2d(centre, 9, STRIDE, ceil_mode=True)


def init_weights(model: nn.Module, init: str, width: float) -> None:
    """Draw the weights of all convolutions; biases are 0.

    Args:
        model: the network.
        init: "paper" for N(0, 0.01) as the released training files have it, meant for summed
            losses and a long schedule; "he" for a deviation of sqrt(2 / fan-in), which starts
            to learn far sooner from scratch.
        width: the network's multiplier. A narrower net has fewer inputs per unit, so "paper"
            grows with 1/sqrt(width): activations keep the papers' size instead of vanishing.

    Raises:
        PosekitError: for another value of `init`.
    """
    if init not in ("paper", "he"):
        raise PosekitError(f"create_model: init={init!r} must be 'paper' or 'he'.")
    for module in model.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        nn.init.zeros_(module.bias)
        if init == "he":
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        else:
            nn.init.normal_(module.weight, std=0.01 / min(width, 1.0) ** 0.5)


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
    height, width = images.shape[-2:]
    if height % STRIDE or width % STRIDE:
        raise PosekitError(
            f"input size {height}x{width}: height and width must be multiples of {STRIDE}; "
            "resize or pad the input."
        )
    expected = (len(images), 1, height, width)
    if centre.shape != expected:
        raise PosekitError(f"centre map has shape {tuple(centre.shape)}, expected {expected}.")


class Trunk(nn.Module):
    """Three 9x9 convolutions with poolings: images (B, 3, h, w) to (B, 128w, h/8, w/8)."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.channels = scaled(128, width)
        self.conv1 = conv(3, self.channels, 9)
        self.conv2 = conv(self.channels, self.channels, 9)
        self.conv3 = conv(self.channels, self.channels, 9)

    def forward(self, images: Tensor) -> Tensor:
        """Image evidence on the grid of the heat maps."""
        x = pool(self.conv1(images).relu())
        x = pool(self.conv2(x).relu())
        return pool(self.conv3(x).relu())


class Features(Trunk):
    """Trunk and one 5x5 convolution: images (B, 3, h, w) to (B, 32w, h/8, w/8)."""

    def __init__(self, width: float) -> None:
        super().__init__(width)
        trunk, self.channels = self.channels, scaled(32, width)
        self.conv4 = conv(trunk, self.channels, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Compact image features."""
        return self.conv4(super().forward(images)).relu()


class Stage1(Features):
    """First prediction, from local image evidence alone: images to beliefs (B, K+1, h/8, w/8).

    CPM section 3.2.1. Its own trunk, not shared with any later stage.
    """

    def __init__(self, beliefs: int, width: float) -> None:
        super().__init__(width)
        hidden = scaled(512, width)
        self.conv5 = conv(self.channels, hidden, 9)
        self.conv6 = conv(hidden, hidden, 1)
        self.conv7 = conv(hidden, beliefs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Belief maps; linear, no squashing."""
        x = self.conv5(super().forward(images)).relu()
        x = self.conv6(F.dropout(x, 0.5, self.training)).relu()
        return self.conv7(F.dropout(x, 0.5, self.training))


class Head(nn.Sequential):
    """Large-field convolutions from a stacked input (B, C, H, W) to beliefs (B, K+1, H, W)."""

    def __init__(self, in_channels: int, beliefs: int, width: float) -> None:
        hidden = scaled(128, width)
        super().__init__(
            OrderedDict(
                conv1=conv(in_channels, hidden, 11),
                relu1=nn.ReLU(),
                conv2=conv(hidden, hidden, 11),
                relu2=nn.ReLU(),
                conv3=conv(hidden, hidden, 11),
                relu3=nn.ReLU(),
                conv4=conv(hidden, hidden, 1),
                relu4=nn.ReLU(),
                conv5=conv(hidden, beliefs, 1),
            )
        )


def stack(*maps: Tensor) -> Tensor:
    """Concatenate along channels: image features, previous beliefs, centre map."""
    return torch.cat(maps, dim=-3)
