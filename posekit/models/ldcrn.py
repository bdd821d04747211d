"""Lightweight densely connected residual network (Yang, Qin, Zhang, JRTIP 2020).

HRNet's frame with densely connected blocks of a small growth in place of residual blocks, so
that features are reused instead of recomputed. At the end the four resolutions are added from
coarse to fine, and the finest features of the stem and of every stage join them. It is trained
from scratch.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks_pose_machine import WeightInit
from .blocks_top_down import conv, init_normal, scaled
from .hrnet import Exchange, HighResolutionFrame
from .registry import Description, Width, register

MODULES = (1, 2, 2)  # exchanges in stages 2, 3 and 4
LAYERS = 4  # of a dense block
STEM_BLOCKS = 4


class DenseLayer(nn.Module):
    """What a layer adds to its input of n channels: (B, n, H, W) to (B, growth, H, W).

    A bottleneck of pre-activated convolutions, and a plain 3x3 convolution beside it.
    """

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        hidden = 4 * growth
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, hidden, 1)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv2 = conv(hidden, growth, 3)
        self.conv3 = conv(in_channels, growth, 3)
        self.bn3 = nn.BatchNorm2d(growth)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.bn1(x).relu_())
        y = self.conv2(self.bn2(y).relu_())
        return (y + self.bn3(self.conv3(x))).relu_()


class DenseBlock(nn.Module):
    """Four layers, each on the features of all before it: n to n + 4 growth channels."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        for i in range(LAYERS):
            layer = DenseLayer(in_channels + i * growth, growth)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return x


def transition(in_channels: int, out_channels: int) -> nn.Sequential:
    """BN, ReLU and a 3x3 convolution to another number of channels."""
    normalised = OrderedDict(bn=nn.BatchNorm2d(in_channels), relu=nn.ReLU(inplace=True))
    return nn.Sequential(normalised | {"conv": conv(in_channels, out_channels, 3)})


class LDCRN(HighResolutionFrame):
    """Densely connected high-resolution network; 7.9 M parameters at width 1.

    Args:
        num_keypoints: K.
        width: multiplier of all channels.
        weight_init: "paper" for the authors' N(0, 0.001), "he" for PyTorch's own rule, that of He
            et al. 2015 for a slope of sqrt 5, by which a narrow network learns sooner.
    """

    def __init__(
        self, num_keypoints: int, width: Width = 1.0, weight_init: WeightInit = "paper"
    ) -> None:
        super().__init__()
        base, growth = scaled(32, width), scaled(96, width) // 8
        planes = channels = self.add_stem(width)
        self.layer1 = nn.Sequential()
        for block in range(STEM_BLOCKS):
            if block:
                self.layer1.append(transition(channels, channels))
            self.layer1.append(DenseBlock(channels, growth))
            channels += LAYERS * growth
        self.conv3 = conv(planes, base, 3)
        self.bn3 = nn.BatchNorm2d(base)

        def branch(c: int) -> nn.Module:
            return nn.Sequential(DenseBlock(c, growth), transition(c + LAYERS * growth, c))

        def exchange(stage: int, module: int, widths: Sequence[int]) -> nn.Module:
            return Exchange(widths, branch)

        widths = self.add_stages(channels, base, MODULES, exchange)
        for i, c in enumerate(widths, start=1):
            self.add_module(f"fconv{i}", nn.Conv2d(c, base, 1))
        self.final_layer = nn.Conv2d(base, num_keypoints, 1)
        init_normal(self if weight_init == "paper" else self.final_layer)

    def forward(self, images: Tensor) -> Tensor:
        """Predict heat maps (B, K, h/4, w/4) of images (B, 3, h, w).

        Raises:
            PosekitError: if h or w is no multiple of 32.
        """
        stem = self.stem(images)
        stages = self.stages(self.layer1(stem))
        finest = [self.bn3(self.conv3(stem)), *(features[0] for features in stages)]
        *finer, coarsest = stages[-1]
        fused = self.fconv4(coarsest)
        for fconv, x in zip((self.fconv3, self.fconv2, self.fconv1), finer[::-1], strict=True):
            fused = F.interpolate(fused, scale_factor=2, mode="bilinear") + fconv(x)
        return self.final_layer((fused + sum(finest)).relu())


IDEA = DenseBlock, LDCRN.forward  # what the notebook shows of this file
PAPER = "LDCRN, Yang et al., Journal of Real-Time Image Processing 2020"
register(Description("ldcrn", PAPER))(LDCRN)
