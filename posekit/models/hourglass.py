"""Stacked Hourglass Networks (Newell, Yang, Deng, ECCV 2016, arXiv 1603.06937).

An hourglass folds the features down to a few cells, so that each sees the whole person, and
back up, adding at every resolution what it had on the way down (section 3.1). Stacked, each
one starts from the features and the heat maps of the one before, and a loss at every stack
keeps the gradient alive (section 3.3).

Names and order are those of the PyTorch port with pre-activated residuals, whose convolutions
have biases and whose skips have no batch norm.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from .blocks_top_down import check_images, scaled, upsample
from .registry import Description, Width, register

STACKS = (1, 2, 4, 8)
DEPTH = 4  # times that an hourglass halves the resolution
STRIDE = 4 << DEPTH
PAPER = "Stacked Hourglass, Newell et al., ECCV 2016, arXiv 1603.06937"


class Residual(nn.Module):
    """BN-ReLU-convolution three times (1x1, 3x3, 1x1) beside a skip (section 3.2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        planes = out_channels // 2
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, planes, 1)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1)
        skip = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1))
        self.downsample = nn.Identity() if in_channels == out_channels else skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.bn1(x).relu_())
        y = self.conv2(self.bn2(y).relu_())
        y = self.conv3(self.bn3(y).relu_())
        return y + self.downsample(x)


def residual(in_channels: int, out_channels: int) -> nn.Sequential:
    """One residual in a list of one, as the checkpoints name it."""
    return nn.Sequential(Residual(in_channels, out_channels))


class Hourglass(nn.Module):
    """One hourglass: the same size in and out, (B, C, H, W) with H and W multiples of 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Level 0 is the innermost; it has one more residual at the coarsest resolution.
        self.hg = nn.ModuleList(
            nn.ModuleList(residual(channels, channels) for _ in range(3 if level else 4))
            for level in range(DEPTH)
        )

    def forward(self, x: Tensor, level: int = DEPTH - 1) -> Tensor:
        skip, down, up, *bottom = self.hg[level]
        low = down(F.max_pool2d(x, 2))
        low = self(low, level - 1) if level else bottom[0](low)
        return skip(x) + upsample(up(low))


class StackedHourglass(nn.Module):
    """Stacked hourglasses; 3.6, 6.7, 13.0 and 25.6 M parameters at width 1.

    Args:
        stacks: how many hourglasses.
        num_keypoints: K.
        width: multiplier of all channels.
    """

    def __init__(self, stacks: int, num_keypoints: int, width: Width = 1.0) -> None:
        super().__init__()
        c = scaled(256, width)
        self.conv1 = nn.Conv2d(3, c // 4, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(c // 4)
        self.layer1 = residual(c // 4, c // 2)
        self.layer2 = residual(c // 2, c)
        self.layer3 = residual(c, c)
        self.hg = nn.ModuleList(Hourglass(c) for _ in range(stacks))
        self.res = nn.ModuleList(residual(c, c) for _ in range(stacks))
        self.fc = nn.ModuleList(_linear(c) for _ in range(stacks))
        self.score = nn.ModuleList(nn.Conv2d(c, num_keypoints, 1) for _ in range(stacks))
        self.fc_ = nn.ModuleList(nn.Conv2d(c, c, 1) for _ in range(stacks - 1))
        self.score_ = nn.ModuleList(nn.Conv2d(num_keypoints, c, 1) for _ in range(stacks - 1))

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Predict heat maps of images (B, 3, h, w).

        Returns:
            In training the heat maps of all stacks, each (B, K, h/4, w/4); in evaluation those
            of the last.

        Raises:
            PosekitError: if h or w is no multiple of 64.
        """
        check_images(images, STRIDE)
        x = self.layer1(self.bn1(self.conv1(images)).relu_())
        x = self.layer3(self.layer2(F.max_pool2d(x, 2)))
        heatmaps = []
        for i, hourglass in enumerate(self.hg):
            y = self.fc[i](self.res[i](hourglass(x)))
            heatmaps.append(self.score[i](y))
            if i < len(self.fc_):
                x = x + self.fc_[i](y) + self.score_[i](heatmaps[-1])
        return heatmaps if self.training else heatmaps[-1]


def _linear(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    )


IDEA = Hourglass.forward, StackedHourglass.forward  # what the notebook shows of this file
for _stacks in STACKS:
    _about = Description(f"hourglass_{_stacks}", PAPER, colour="BGR", fast_bf16=True)
    register(_about)(partial(StackedHourglass, _stacks))
