"""Simple Baselines for Human Pose Estimation (Xiao, Wu, Wei, ECCV 2018, arXiv 1804.06208).

A ResNet without its classifier, three transposed convolutions that bring its last features
back to a quarter of the image, and a 1x1 convolution to the heat maps (section 2). Nothing
else: the paper's point is how far that goes.

The stride of a bottleneck sits on its 3x3 convolution, as in the published weights.
"""

from functools import partial

from torch import nn

from ._blocks_topdown import Bottleneck, init_normal, top_down
from ._registry import register
from ._resnet import BLOCKS, ResNetFrame

STRIDES = (1, 2, 2, 2)
PAPER = "Simple Baselines, Xiao et al., ECCV 2018, arXiv 1804.06208"


class PoseResNet(ResNetFrame):
    """ResNet and three deconvolutions; 34.0, 53.0 and 68.6 M parameters at width 1.

    Args:
        depth: 50, 101 or 152 layers.
        num_keypoints: K.
        width: multiplier of all channels.
    """

    def __init__(self, depth: int, num_keypoints: int, width: float = 1.0) -> None:
        super().__init__()
        self.add_layers(
            depth, num_keypoints, width, STRIDES, Bottleneck, _deconv, Bottleneck.expansion
        )
        init_normal(self)


def _deconv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Twice the resolution."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


for _depth in BLOCKS:
    register(top_down(f"pose_resnet_{_depth}", PAPER, "BGR"))(partial(PoseResNet, _depth))
