"""Pieces that the top-down networks share: residual blocks and the frame of parallel resolutions.

Sub-modules are named and ordered as in the published checkpoints, which load strictly.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import PosekitError
from ._blocks import scaled as _scaled
from ._registry import Description

# Of ImageNet's pixels 0..255 in the order R, G, B. Networks fed with BGR images were trained
# with the same numbers in the same order, so their blue is normalised as red; keep it so.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
Down = Callable[[int, int, bool], nn.Module]


def top_down(name: str, paper: str, colour: str = "RGB") -> Description:
    """Describe a network that sees one person and returns K heat maps, by default COCO's 17."""
    return Description(
        name, paper, num_keypoints=17, colour=colour, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )


def scaled(channels: int, width: float) -> int:
    """Channels at a width multiplier: the nearest multiple of 8, so that groups divide them."""
    return max(8, 8 * round(_scaled(channels, width) / 8)) if width != 1 else channels


def check_images(images: Tensor, stride: int) -> None:
    """Refuse images that the coarsest features cannot divide into cells.

    Raises:
        PosekitError: if the shape is not (B, 3, h, w), or h or w no multiple of `stride`.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise PosekitError(f"expected images (B, 3, h, w), got shape {tuple(images.shape)}.")
    height, width = images.shape[-2:]
    if height % stride or width % stride:
        raise PosekitError(
            f"input size {height}x{width}: height and width must be multiples of {stride}; "
            "resize or pad the input."
        )


def conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias, for a batch norm follows; stride 1 keeps the size."""
    padding = kernel // 2
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, 1, groups, bias=False)


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution and batch norm."""
    return nn.Sequential(
        conv(in_channels, out_channels, kernel, stride, groups), nn.BatchNorm2d(out_channels)
    )


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return conv_bn(in_channels, out_channels, kernel, stride).append(nn.ReLU(inplace=True))


def init_normal(model: nn.Module) -> None:
    """Draw all convolution weights from N(0, 0.001); biases are 0, batch norms the identity."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y))
        return (y + x).relu_()


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the channels, and the identity."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        changes = stride != 1 or in_channels != out_channels
        self.downsample = conv_bn(in_channels, out_channels, 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu_()


class Exchange(nn.Module):
    """Parallel branches, then every resolution receives all others (HRNet section 3).

    Args:
        channels: of each branch, finest first; each has half the resolution of the one before.
        branch: builds what a branch does, from its number of channels.
        rows: how many of the finest resolutions to return; None for all.
        down: one step of half the resolution, `down(in_channels, out_channels, last)`.
        activation: of the sums.
    """

    def __init__(
        self,
        channels: Sequence[int],
        branch: Callable[[int], nn.Module],
        rows: int | None = None,
        down: Down | None = None,
        activation: Callable[[Tensor], Tensor] = torch.relu_,
    ) -> None:
        super().__init__()
        down = down or _dense_down
        self.branches = nn.ModuleList(branch(c) for c in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(channels, j, i, down) for j in range(len(channels)))
            for i in range(rows or len(channels))
        )
        self.activation = activation

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Both ways: a list of (B, C_i, H/2^i, W/2^i)."""
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        return [self.activation(_gather(row, features)) for row in self.fuse_layers]


def _path(channels: Sequence[int], source: int, target: int, down: Down) -> nn.Module | None:
    """The way from one resolution to another; None from a resolution to itself."""
    c, out = channels[source], channels[target]
    if source == target:
        return None
    if source > target:
        return conv_bn(c, out, 1).append(nn.Upsample(scale_factor=2 ** (source - target)))
    steps = [down(c, c, False) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, down(c, out, True))


def _gather(row: nn.ModuleList, features: list[Tensor]) -> Tensor:
    """Sum of all features, each brought to one resolution."""
    paths = zip(row, features, strict=True)
    return reduce(torch.add, (x if path is None else path(x) for path, x in paths))


def _dense_down(in_channels: int, out_channels: int, last: bool) -> nn.Module:
    return (conv_bn if last else conv_bn_relu)(in_channels, out_channels, 3, 2)


class HighResolutionFrame(nn.Module):
    """What HRNet, LDCRN and LSDNet have in common.

    A stem at a quarter of the size, then stages 2 to 4, each with one more, coarser branch.
    """

    def add_stem(self, width: float) -> int:
        """Two strided convolutions; returns their number of channels."""
        channels = scaled(64, width)
        self.conv1 = conv(3, channels, 3, 2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, 2)
        self.bn2 = nn.BatchNorm2d(channels)
        return channels

    def add_stages(
        self,
        in_channels: int,
        channels: Sequence[int],
        modules: Sequence[int],
        exchange: Callable[[int, int, Sequence[int]], nn.Module],
    ) -> None:
        """Stages 2, 3 and 4 and the transitions before them.

        Args:
            in_channels: of the features that enter stage 2.
            channels: of the four branches.
            modules: number of exchange modules in each stage.
            exchange: builds module m of stage s, `exchange(s, m, channels)`.
        """
        before = [in_channels]
        for stage, count in zip((2, 3, 4), modules, strict=True):
            after = channels[:stage]
            self.add_module(f"transition{stage - 1}", _transition(before, after))
            parts = [exchange(stage, module, after) for module in range(count)]
            self.add_module(f"stage{stage}", nn.Sequential(*parts))
            before = after

    def stem(self, images: Tensor) -> Tensor:
        """(B, C, h/4, w/4) features of images (B, 3, h, w), h and w multiples of 32."""
        check_images(images, 32)
        x = self.bn1(self.conv1(images)).relu_()
        return self.bn2(self.conv2(x)).relu_()

    def stages(self, x: Tensor) -> list[list[Tensor]]:
        """What stages 2, 3 and 4 return, each a list of features, finest first."""
        outputs = [[x]]
        for stage in (2, 3, 4):
            before = [*outputs[-1], outputs[-1][-1]]  # the new branch starts from the coarsest
            layers = self.get_submodule(f"transition{stage - 1}")
            features = [
                x if layer is None else layer(x) for layer, x in zip(layers, before, strict=True)
            ]
            outputs.append(self.get_submodule(f"stage{stage}")(features))
        return outputs[1:]


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Adapt the branches; the new one starts from the coarsest. None lets a branch pass."""
    layers = nn.ModuleList()
    for i, channels in enumerate(after):
        if i >= len(before):
            layers.append(nn.Sequential(conv_bn_relu(before[-1], channels, stride=2)))
        else:
            same = before[i] == channels
            layers.append(None if same else conv_bn_relu(before[i], channels))
    return layers


def upsample(x: Tensor) -> Tensor:
    """Double the resolution by repeating cells."""
    return F.interpolate(x, scale_factor=2)
