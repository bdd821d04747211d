"""Simple and Lightweight Human Pose Estimation (Zhang, Tang, Wu, 2019, arXiv 1911.10346).

LPN: a Simple Baseline whose every part is made light (section 3). Bottlenecks keep their width
and are depthwise, with an attention at their end; the last stage keeps its resolution, so two
upsamplings suffice; these are grouped transposed convolutions. The paper trains it in several
rounds, each from the best weights of the one before, and decodes by soft-argmax.
"""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from .blocks_top_down import Bottleneck, conv_bn_relu, init_normal
from .registry import Description, Width, register
from .simplebaseline import BLOCKS, ResNetFrame

STRIDES = (1, 2, 2, 1)
Attention = Annotated[
    Literal["gc", "se"] | None, Field(description="at the end of bottlenecks: gc, se, none")
]
PAPER = "LPN, Zhang et al., 2019, arXiv 1911.10346"


def _description(depth: int, colour: str = "BGR") -> Description:
    return Description(f"lpn_{depth}", PAPER, colour=colour)


class GlobalContext(nn.Module):
    """Adds to all cells what an attention over the cells has gathered (Cao et al. 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(16, channels // 16)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )

    def start(self) -> None:
        """Start as the identity."""
        nn.init.kaiming_normal_(self.conv_mask.weight)
        nn.init.zeros_(self.channel_add_conv[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv_mask(x).flatten(2).softmax(-1)  # (B, 1, HW)
        context = x.flatten(2) @ weight.transpose(-1, -2)  # (B, C, 1)
        return x + self.channel_add_conv(context[..., None])


class SqueezeExcite(nn.Module):
    """Scales each channel by what all channels are on average (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(16, channels // 16)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[..., None, None]


ATTENTIONS = {"gc": GlobalContext, "se": SqueezeExcite, None: nn.Identity}


class LightBottleneck(Bottleneck):
    """1x1, depthwise 3x3, 1x1, all of one width, attention, and the identity (section 3.1)."""

    expansion = 1
    depthwise = True

    def __init__(
        self, in_channels: int, channels: int, stride: int, attention: type[nn.Module]
    ) -> None:
        super().__init__(in_channels, channels, stride)
        self.att = attention(channels)


class LPN(ResNetFrame):
    """Lightweight pose network; 2.9, 5.4 and 7.4 M parameters at width 1 with "gc".

    Args:
        depth: 50, 101 or 152 layers.
        num_keypoints: K.
        width: multiplier of all channels.
        attention: at the end of every bottleneck: "gc", "se" or None.
    """

    def __init__(
        self, depth: int, num_keypoints: int, width: Width = 1.0, attention: Attention = "gc"
    ) -> None:
        super().__init__()
        # The published weights for MPII, and they alone, were trained on RGB images.
        colour = "RGB" if num_keypoints == 16 else "BGR"
        self.description = _description(depth, colour)
        block = partial(LightBottleneck, attention=ATTENTIONS[attention])
        self.add_layers(depth, num_keypoints, width, STRIDES, block, _upsampling)
        init_normal(self)
        for module in self.modules():
            if isinstance(module, GlobalContext):
                module.start()


def _upsampling(in_channels: int, out_channels: int) -> nn.Sequential:
    """Twice the resolution, group by group, then across the groups."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, groups=out_channels, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        *conv_bn_relu(out_channels, out_channels, 1),
    )


IDEA = GlobalContext, LightBottleneck  # what the notebook shows of this file
for _depth in BLOCKS:
    register(_description(_depth))(partial(LPN, _depth))
