"""Lightweight stochastic depth network (Zhang et al., The Visual Computer 2024).

HRNet's frame with light blocks. In the middle and late stages a Bernoulli draw leaves out
blocks during training, so that none becomes indispensable, and coordinate attention refines
the four resolutions from coarse to fine before the heat maps.

The released code does not train what the paper describes: it draws in evaluation too, freezes
for good the weights of every block it has once left out, normalises twice with one batch norm,
and refines through layers drawn anew in every pass. This is the design with these four put
right: stochastic depth after Huang et al. 2016, a batch norm of its own (`bn3`), and a top-down
path that learns (`Refine.up`). Everything else has the names of the released code, whose
checkpoints `posekit.weights.lsdnet` loads.

Training starts in our way too. Each of the 32 residual blocks in a row of stages 2 to 4 adds a
tenth of its normalised features at first (after Goyal et al. 2017, who start from none). The layers
draw their weights by PyTorch's rule: HRNet's N(0, 0.001), for dense 3x3 convolutions, leaves so
little after a depthwise and a pointwise one that batch normalisation and Adam take it for nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks_top_down import conv, conv_bn, init_normal, scaled, upsample
from .hrnet import Exchange, HighResolutionFrame
from .registry import Description, Width, register

MODULES = (1, 4, 3)  # exchanges in stages 2, 3 and 4
BLOCKS = 4  # blocks of a branch between two exchanges
DEPTH = BLOCKS * (MODULES[1] + MODULES[2])  # stochastic blocks in a row
SPLITS = 4
START = 0.1  # first scale of what a residual block adds
Survival = Annotated[
    Literal["linear", "constant", "off"],
    Field(description="chance to keep a block along the depth: linear, constant or off"),
]
LastChance = Annotated[float, Field(gt=0, le=1, description="chance to keep the last block")]
PAPER = "LSDNet, Zhang et al., The Visual Computer 2024, doi 10.1007/s00371-024-03323-4"


class SplitBlock(nn.Module):
    """Bottleneck whose middle is a cascade of depthwise convolutions (after Gao et al. 2019).

    The channels are split in four; each part but the last is filtered together with the result
    of the one before, so the parts see ever larger windows.
    """

    expansion = 4

    def __init__(self, in_channels: int, planes: int) -> None:
        super().__init__()
        part, out_channels = planes * 26 // 64, self.expansion * planes
        self.conv1 = conv(in_channels, SPLITS * part, 1)
        self.bn1 = nn.BatchNorm2d(SPLITS * part)
        self.convs = nn.ModuleList(conv(part, part, 3, groups=part) for _ in range(SPLITS - 1))
        self.bns = nn.ModuleList(nn.BatchNorm2d(part) for _ in range(SPLITS - 1))
        self.conv3 = conv(SPLITS * part, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = nn.Identity()
        if in_channels != out_channels:
            self.downsample = conv_bn(in_channels, out_channels, 1, groups=in_channels)

    def forward(self, x: Tensor) -> Tensor:
        *parts, last = F.relu6(self.bn1(self.conv1(x))).chunk(SPLITS, dim=1)
        done: list[Tensor] = []
        for part, filtered, bn in zip(parts, self.convs, self.bns, strict=True):
            done.append(bn(filtered(part + done[-1] if done else part)))
        y = self.bn3(self.conv3(torch.cat([*done, last], dim=1)))
        return F.relu6(y + self.downsample(x))


class LightBlock(nn.Module):
    """Two depthwise separable convolutions with a channel shuffle between, and the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dconv1 = _depthwise(channels)
        self.pconv1 = nn.Conv2d(channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.dconv2 = _depthwise(channels)
        self.pconv2 = nn.Conv2d(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        nn.init.constant_(self.bn2.weight, START)

    def forward(self, x: Tensor) -> Tensor:
        y = shuffle(self.bn1(self.pconv1(self.dconv1(x))), groups=4)
        return F.relu6(self.bn2(self.pconv2(self.dconv2(y))) + x)


class StochasticBlock(nn.Module):
    """Inverted residual f that survives a training pass with probability p, sample by sample.

    Huang et al. 2016 with relu6 for relu: in training relu6(b f(x) + x), b = 1 with probability p,
    else 0; in evaluation relu6(p f(x) + x), the expectation of b in its place.
    """

    def __init__(self, channels: int, survival: float) -> None:
        super().__init__()
        self.survival = survival
        self.pconv1 = nn.Conv2d(channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.dconv2 = _depthwise(channels)
        self.pconv2 = nn.Conv2d(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)  # after dconv2; listed here as in the checkpoints
        self.bn3 = nn.BatchNorm2d(channels)
        nn.init.constant_(self.bn3.weight, START)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.pconv1(x)))
        y = self.bn3(self.pconv2(self.bn2(self.dconv2(y))))
        if self.survival < 1:
            y = y * (self.draw(x) if self.training else self.survival)
        return F.relu6(x + y)

    def draw(self, x: Tensor) -> Tensor:
        """Which samples keep the block: (B, 1, 1, 1) of 1 and 0."""
        return torch.rand(len(x), 1, 1, 1, device=x.device).lt(self.survival).to(x.dtype)


class CoordinateAttention(nn.Module):
    """Scales every cell by what its row and its column hold (after Hou et al. 2021)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(8, channels // 32)
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_h = nn.Conv2d(hidden, channels, 1)
        self.conv_w = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(-1, -2)
        both = F.hardswish(self.bn1(self.conv1(torch.cat([rows, columns], dim=2))))
        rows, columns = both.split([x.shape[2], x.shape[3]], dim=2)
        columns = columns.transpose(-1, -2)
        rows, columns = F.hardswish(self.conv_h(rows)), F.hardswish(self.conv_w(columns))
        return F.hardswish(x * rows * columns + x)


class Refinement(nn.Module):
    """Joins the resolutions from coarse to fine: a list of (B, C_i, H/2^i, W/2^i) to the finest."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        coarse_first = channels[::-1]
        self.laterals = nn.ModuleList(
            nn.Sequential(
                conv(c, c, 1), CoordinateAttention(c), nn.BatchNorm2d(c), nn.SiLU(inplace=True)
            )
            for c in coarse_first
        )
        # Before the upsampling: the result is the same and costs a quarter.
        self.up = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c), nn.Conv2d(c, finer, 1), nn.SiLU(inplace=True))
            for c, finer in zip(coarse_first, coarse_first[1:], strict=False)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        coarsest, *finer = features[::-1]
        joined = self.laterals[0](coarsest)
        for lateral, up, x in zip(self.laterals[1:], self.up, finer, strict=True):
            joined = lateral(x) + upsample(up(joined))
        return joined


class LSDNet(HighResolutionFrame):
    """Light stochastic-depth network; 4.3 (W32) and 9.0 (W48) M parameters at width 1.

    Args:
        base: channels of the finest branch, 32 or 48; each coarser one has twice as many.
        num_keypoints: K.
        width: multiplier of all channels.
        survival: how the probability to keep a block goes along the depth of stages 3 and 4:
            "linear" from nearly 1 to `p_last`, "constant" at `p_last`, or "off", always 1.
        p_last: that probability in the last block; 0.2 with "constant" is the released code's.
    """

    def __init__(
        self,
        base: int,
        num_keypoints: int,
        width: Width = 1.0,
        survival: Survival = "linear",
        p_last: LastChance = 0.5,
    ) -> None:
        super().__init__()
        probabilities = survival_probabilities(survival, p_last)
        channels = self.add_layer1(SplitBlock, self.add_stem(width))

        def exchange(stage: int, module: int, widths: Sequence[int]) -> nn.Module:
            first = BLOCKS * (module + (MODULES[1] if stage == 4 else 0))

            def branch(c: int) -> nn.Module:
                if stage == 2:
                    return nn.Sequential(*(LightBlock(c) for _ in range(BLOCKS)))
                kept = probabilities[first : first + BLOCKS]
                return nn.Sequential(*(StochasticBlock(c, p) for p in kept))

            return Exchange(widths, branch, down=_grouped_down, activation=F.relu6)

        base = scaled(base, width)
        self.Refine = Refinement(self.add_stages(channels, base, MODULES, exchange))
        self.final_layer = nn.Conv2d(base, num_keypoints, 1)
        init_normal(self.final_layer)

    def forward(self, images: Tensor) -> Tensor:
        """Predict heat maps (B, K, h/4, w/4) of images (B, 3, h, w).

        Raises:
            PosekitError: if h or w is no multiple of 32.
        """
        x = self.layer1(self.stem(images))
        return self.final_layer(self.Refine(self.stages(x)[-1]))


def survival_probabilities(survival: str, p_last: float) -> list[float]:
    """Probability to keep each of the L blocks in a row.

    "linear" is that of Huang et al. 2016: p_l = 1 - l/L (1 - p_last), l = 1..L.
    """
    if survival == "linear":
        return [1 - block / DEPTH * (1 - p_last) for block in range(1, DEPTH + 1)]
    return [1.0 if survival == "off" else p_last] * DEPTH


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels of each group out to all groups."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


def _grouped_down(in_channels: int, out_channels: int, last: bool) -> nn.Module:
    return conv_bn(in_channels, out_channels, 3, 2, groups=in_channels)


IDEA = StochasticBlock, survival_probabilities  # what the notebook shows of this file
for _base in (32, 48):
    register(Description(f"lsdnet_w{_base}", PAPER))(partial(LSDNet, _base))
