"""Pieces that the top-down networks share: convolutions, residual blocks, first weights.

Sub-modules are named and ordered as in the published checkpoints, which load strictly.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import PosekitError
from .blocks_pose_machine import check_size


def scaled(channels: int, width: float) -> int:
    """Channels at a width multiplier: the nearest multiple of 8, so that groups divide them."""
    return 8 * max(1, round(round(width * channels) / 8))


def check_images(images: Tensor, stride: int) -> None:
    """Refuse images that the coarsest features cannot divide into cells.

    Raises:
        PosekitError: if the shape is not (B, 3, h, w), or h or w no multiple of `stride`.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise PosekitError(f"expected images (B, 3, h, w), got shape {tuple(images.shape)}.")
    check_size(images, stride)


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
    """1x1, 3x3 with the stride, 1x1 to four times the channels, and the identity.

    Attributes:
        expansion: channels that it returns, over those that it is given.
        depthwise: whether the 3x3 convolution filters each channel alone.
    """

    expansion = 4
    depthwise = False

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride, channels if self.depthwise else 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        changes = stride != 1 or in_channels != out_channels
        skip = conv_bn(in_channels, out_channels, 1, stride) if changes else nn.Identity()
        self.downsample = skip
        self.att = nn.Identity()  # lightweight networks put an attention here

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.att(self.bn3(self.conv3(y)))
        return (y + self.downsample(x)).relu_()


def upsample(x: Tensor) -> Tensor:
    """Double the resolution by repeating cells."""
    return F.interpolate(x, scale_factor=2)
