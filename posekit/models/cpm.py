"""Convolutional Pose Machines (Wei, Ramakrishna, Kanade, Sheikh, CVPR 2016, arXiv 1602.00134).

Every stage predicts one belief map per joint and one for the background. The first sees a
small window of the image; each later one sees the image features and the beliefs of the stage
before it, so that sure joints help the doubtful ones. A loss at every stage keeps the gradient
alive (section 3.3; `heatmap_loss` in train/losses.py).

The network is the released caffe one: poolings round up, the beliefs are linear, dropout acts
in the first stage. Names map one to one to caffe's layers:

    conv1..7_stage1                     stage1.conv1..7
    conv1..3_stage2                     trunk.conv1..3
    conv4_stage2, conv1_stage{3..6}     stage{2..6}.features
    Mconv1..5_stage{2..6}               stage{2..6}.head.conv1..5
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks_pose_machine import STRIDE, WeightInit, check_inputs, conv, init_weights, scaled, stack
from .registry import Width, pose_machine, register

PAPER = "CPM, Wei et al., CVPR 2016, arXiv 1602.00134"
LATER_STAGES = range(2, 7)


def pool(features: Tensor) -> Tensor:
    """Halve the map as caffe does: window 3, stride 2, the last one may hang over the edge."""
    return F.max_pool2d(features, 3, 2, ceil_mode=True)


def pool_centre(centre: Tensor) -> Tensor:
    """Bring the centre map (B, 1, h, w) to the grid of the heat maps (B, 1, h/8, w/8)."""
    return F.avg_pool2d(centre, 9, STRIDE, ceil_mode=True)


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

    Section 3.2.1. Its own trunk, not shared with any later stage.
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
        super().__init__()
        hidden = scaled(128, width)
        for n, kernel in enumerate((11, 11, 11, 1), 1):
            self.add_module(f"conv{n}", conv(in_channels if n == 1 else hidden, hidden, kernel))
            self.add_module(f"relu{n}", nn.ReLU())
        self.conv5 = conv(hidden, beliefs, 1)


class Refinement(nn.Module):
    """A stage after the first: looks at the image and at what the stage before it believed.

    Section 3.2.2: the predictor g_t (`head`) makes the beliefs b_t from the image
    features x' (`features`) and from context in b_t-1, which is all that its windows cover.
    """

    def __init__(self, trunk_channels: int, beliefs: int, width: float) -> None:
        super().__init__()
        channels = scaled(32, width)
        self.features = conv(trunk_channels, channels, 5)
        self.head = Head(channels + beliefs + 1, beliefs, width)

    def forward(self, evidence: Tensor, beliefs: Tensor, centre: Tensor) -> Tensor:
        """Refined beliefs (B, K+1, H, W)."""
        return self.head(stack(self.features(evidence).relu(), beliefs, centre))


@register(pose_machine(name="cpm", paper=PAPER))
class CPM(nn.Module):
    """The six-stage convolutional pose machine; 31.2 M parameters at width 1."""

    def __init__(
        self, num_keypoints: int, width: Width = 1.0, weight_init: WeightInit = "paper"
    ) -> None:
        super().__init__()
        beliefs = num_keypoints + 1
        self.stage1 = Stage1(beliefs, width)
        self.trunk = Trunk(width)  # shared by all stages after the first
        for stage in LATER_STAGES:
            self.add_module(f"stage{stage}", Refinement(self.trunk.channels, beliefs, width))
        init_weights(self, weight_init, width)

    def forward(self, images: Tensor, centre: Tensor) -> Tensor:
        """Predict the beliefs of all stages.

        Args:
            images: (B, 3, h, w) normalised RGB, h and w multiples of 8.
            centre: (B, 1, h, w), a Gaussian at the person's centre.

        Returns:
            (B, 6, K+1, h/8, w/8), stages 1 to 6; the last is the answer.

        Raises:
            PosekitError: if the shapes do not fit.
        """
        check_inputs(images, centre, frames=False)
        beliefs = [self.stage1(images)]
        evidence = self.trunk(images)
        centre = pool_centre(centre)
        for stage in LATER_STAGES:
            refine = self.get_submodule(f"stage{stage}")
            beliefs.append(refine(evidence, beliefs[-1], centre))
        return torch.stack(beliefs, dim=1)


IDEA = Refinement, CPM.forward  # what the notebook shows of this file
