"""lp_net, an independent re-implementation of LPN (Zhang et al. 2019) with weights of its own.

After github.com/sailyung/human-pose-estimation. It reads like `lpn` and differs in three
places, so the weights of one are not those of the other:

- the context of a bottleneck is a plain average over the cells, at a 32nd of the channels, and
  both multiplies and adds (published with and without it);
- in the upsampling nothing stands between the transposed and the 1x1 convolution;
- weights start at PyTorch's defaults.
"""

from collections import OrderedDict
from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from .blocks_top_down import conv, conv_bn, conv_bn_relu
from .lpn import PAPER, STRIDES
from .registry import Description, Width, register
from .simplebaseline import BLOCKS, ResNetFrame

ContextBlocks = Annotated[bool, Field(description="whether bottlenecks have a context block")]


class ContextBlock(nn.Module):
    """Scales and shifts each channel by the average of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_add_conv = _squeeze(channels)
        self.channel_mul_conv = _squeeze(channels)

    def forward(self, x: Tensor) -> Tensor:
        context = x.mean((2, 3), keepdim=True)
        return x * self.channel_mul_conv(context).sigmoid() + self.channel_add_conv(context)


def _squeeze(channels: int) -> nn.Sequential:
    """Two 1x1 convolutions, the last starting at 0: at first the block halves its input."""
    hidden = max(1, channels // 32)
    last = nn.Conv2d(hidden, channels, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(inplace=True), last
    )


class LightBottleneck(nn.Module):
    """1x1, depthwise 3x3, 1x1, all of one width, context, and the identity."""

    def __init__(self, in_channels: int, channels: int, stride: int, gcb: bool) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        depthwise = conv(channels, channels, 3, stride, groups=channels)
        self.conv2 = nn.Sequential(OrderedDict(depthwise_conv=depthwise))
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, channels, 1)
        self.bn3 = nn.BatchNorm2d(channels)
        self.gcb4 = ContextBlock(channels) if gcb else nn.Identity()
        changes = stride != 1 or in_channels != channels
        self.downsample = conv_bn(in_channels, channels, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.gcb4(self.bn3(self.conv3(y)))
        return (y + self.downsample(x)).relu_()


class LPNet(ResNetFrame):
    """Lightweight pose network; 2.9, 5.3 and 7.4 M parameters at width 1 with context.

    Args:
        depth: 50, 101 or 152 layers.
        num_keypoints: K.
        width: multiplier of all channels.
        gcb: whether the bottlenecks have a context block.
    """

    def __init__(
        self, depth: int, num_keypoints: int, width: Width = 1.0, gcb: ContextBlocks = True
    ) -> None:
        super().__init__()
        block = partial(LightBottleneck, gcb=gcb)
        self.add_layers(depth, num_keypoints, width, STRIDES, block, _upsampling)


def _upsampling(in_channels: int, out_channels: int) -> nn.Sequential:
    """Twice the resolution, channel by channel, then across the channels."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, groups=out_channels, bias=False),
        *conv_bn_relu(out_channels, out_channels, 1),
    )


IDEA = ContextBlock, LightBottleneck  # what the notebook shows of this file
for _depth in BLOCKS:
    _about = Description(f"lp_net_{_depth}", PAPER, stem="lpn", recipe="lpn/lp_net", colour="BGR")
    register(_about)(partial(LPNet, _depth))
