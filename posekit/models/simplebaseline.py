"""Simple Baselines for Human Pose Estimation (Xiao, Wu, Wei, ECCV 2018, arXiv 1804.06208).

A ResNet without its classifier, three transposed convolutions that bring its last features
back to a quarter of the image, and a 1x1 convolution to the heat maps (section 2). Nothing
else: the paper's point is how far that goes.

The stride of a bottleneck sits on its 3x3 convolution, as in the published weights.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

from torch import Tensor, nn
from torch.nn import functional as F

from .blocks_top_down import Bottleneck, check_images, conv, init_normal, scaled
from .registry import Description, Width, register

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # of the four layers
STRIDES = (1, 2, 2, 2)  # of the four layers
PAPER = "Simple Baselines, Xiao et al., ECCV 2018, arXiv 1804.06208"


class ResNetFrame(nn.Module):
    """Stem and four layers of a ResNet, upsamplings to a quarter of the image, heat maps.

    LPN and lp_net fill this frame with lighter blocks and upsamplings.
    """

    def add_layers(
        self,
        depth: int,
        num_keypoints: int,
        width: float,
        strides: Sequence[int],
        block: Callable[[int, int, int], nn.Module],
        upsampling: Callable[[int, int], nn.Sequential],
        expansion: int = 1,
    ) -> None:
        """Build all of it.

        Args:
            depth: 50, 101 or 152 layers.
            num_keypoints: K.
            width: multiplier of all channels.
            strides: of the four layers; for each 2 there is one upsampling.
            block: one residual block, `block(in_channels, channels, stride)`.
            upsampling: twice the resolution, `upsampling(in_channels, out_channels)`.
            expansion: channels that a block returns, over those it is given.
        """
        planes = scaled(64, width)
        self.stride = 4 * prod(strides)  # image pixels per cell of the last layer
        self.conv1 = conv(3, planes, 7, 2)
        self.bn1 = nn.BatchNorm2d(planes)
        channels = planes
        for layer, (count, stride) in enumerate(zip(BLOCKS[depth], strides, strict=True)):
            blocks = []
            for number in range(count):
                blocks.append(block(channels, planes << layer, 1 if number else stride))
                channels = expansion * planes << layer
            self.add_module(f"layer{layer + 1}", nn.Sequential(*blocks))
        self.deconv_layers = nn.Sequential()
        for _ in range(strides.count(2)):
            self.deconv_layers.extend(upsampling(channels, 4 * planes))
            channels = 4 * planes
        self.final_layer = nn.Conv2d(channels, num_keypoints, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Predict heat maps (B, K, h/4, w/4) of images (B, 3, h, w).

        Raises:
            PosekitError: if h or w is no multiple of the stride, 32 or 16.
        """
        check_images(images, self.stride)
        x = self.bn1(self.conv1(images)).relu_()
        x = F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.final_layer(self.deconv_layers(x))


class PoseResNet(ResNetFrame):
    """ResNet and three deconvolutions; 34.0, 53.0 and 68.6 M parameters at width 1.

    Args:
        depth: 50, 101 or 152 layers.
        num_keypoints: K.
        width: multiplier of all channels.
    """

    def __init__(self, depth: int, num_keypoints: int, width: Width = 1.0) -> None:
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


IDEA = ResNetFrame.forward, PoseResNet.__init__, _deconv  # what the notebook shows of this file
for _depth in BLOCKS:
    _about = Description(f"pose_resnet_{_depth}", PAPER, colour="BGR", fast_bf16=True)
    register(_about)(partial(PoseResNet, _depth))
