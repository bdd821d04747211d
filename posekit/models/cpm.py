"""Convolutional Pose Machines (Wei, Ramakrishna, Kanade, Sheikh, CVPR 2016, arXiv 1602.00134).

Every stage predicts one belief map per joint and one for the background. The first sees a
small window of the image; each later one sees the image features and the beliefs of the stage
before it, so that sure joints help the doubtful ones. A loss at every stage keeps the gradient
alive (section 3.3).

The network is the released caffe one: poolings round up, the beliefs are linear, dropout acts
in the first stage. Names map one to one to caffe's layers:

    conv1..7_stage1                     stage1.conv1..7
    conv1..3_stage2                     trunk.conv1..3
    conv4_stage2, conv1_stage{3..6}     stage{2..6}.features
    Mconv1..5_stage{2..6}               stage{2..6}.head.conv1..5
"""

import torch
from torch import Tensor, nn

from ._blocks import (
    Head,
    Stage1,
    Trunk,
    check_inputs,
    conv,
    init_weights,
    pool_centre,
    scaled,
    stack,
)
from ._registry import Description, register

LATER_STAGES = range(2, 7)


class Refinement(nn.Module):
    """A stage after the first: looks at the image and at what the stage before it believed."""

    def __init__(self, trunk_channels: int, beliefs: int, width: float) -> None:
        super().__init__()
        channels = scaled(32, width)
        self.features = conv(trunk_channels, channels, 5)
        self.head = Head(channels + beliefs + 1, beliefs, width)

    def forward(self, evidence: Tensor, beliefs: Tensor, centre: Tensor) -> Tensor:
        """Refined beliefs (B, K+1, H, W), section 3.2.2."""
        return self.head(stack(self.features(evidence).relu(), beliefs, centre))


class CPM(nn.Module):
    """The six-stage convolutional pose machine."""

    def __init__(self, num_keypoints: int, width: float = 1.0, init: str = "paper") -> None:
        super().__init__()
        beliefs = num_keypoints + 1
        self.stage1 = Stage1(beliefs, width)
        self.trunk = Trunk(width)  # shared by all stages after the first
        for stage in LATER_STAGES:
            self.add_module(f"stage{stage}", Refinement(self.trunk.channels, beliefs, width))
        init_weights(self, init, width)

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
        beliefs = [self.stage1(images)]  # section 3.2.1
        evidence = self.trunk(images)
        centre = pool_centre(centre)
        for stage in LATER_STAGES:  # section 3.2.2
            refine = self.get_submodule(f"stage{stage}")
            beliefs.append(refine(evidence, beliefs[-1], centre))
        return torch.stack(beliefs, dim=1)


@register(
    Description(
        name="cpm",
        paper="CPM, Wei et al., CVPR 2016, arXiv 1602.00134",
        skeleton="pose_machine",
        kind="image",
        centre_map=True,
        half_pixel=True,
        background=True,
    )
)
def cpm(num_keypoints: int, width: float = 1.0, init: str = "paper") -> CPM:
    """Convolutional pose machine; 31.2 M parameters at width 1."""
    return CPM(num_keypoints, width, init)
