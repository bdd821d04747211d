"""Deep High-Resolution Representation Learning (Sun, Xiao, Liu, Wang, CVPR 2019, 1902.09212).

The features never leave a quarter of the image's resolution. Coarser branches are added one
at a time, run in parallel, and after every few blocks each branch receives the features of all
others (section 3). The heat maps come from the finest branch alone.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce

import torch
from torch import Tensor, nn

from .blocks_top_down import (
    BasicBlock,
    Bottleneck,
    check_images,
    conv,
    conv_bn,
    conv_bn_relu,
    init_normal,
    scaled,
)
from .registry import Description, Width, register

MODULES = (1, 4, 3)  # exchanges in stages 2, 3 and 4
BLOCKS = 4  # residual blocks of a branch between two exchanges
PAPER = "HRNet, Sun et al., CVPR 2019, arXiv 1902.09212"

Down = Callable[[int, int, bool], nn.Module]


class HighResolutionFrame(nn.Module):
    """A stem at a quarter of the size, then stages 2 to 4, each with one more, coarser branch.

    Section 3, parallel multi-resolution subnetworks. LDCRN and LSDNet fill this frame with
    branches of their own.
    """

    def add_stem(self, width: float) -> int:
        """Two strided convolutions; returns their number of channels."""
        channels = scaled(64, width)
        self.conv1 = conv(3, channels, 3, 2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, 2)
        self.bn2 = nn.BatchNorm2d(channels)
        return channels

    def add_layer1(self, block: type[nn.Module], channels: int) -> int:
        """Four residual blocks after the stem; returns their number of channels."""
        wide = block.expansion * channels
        self.layer1 = nn.Sequential(*(block(c, channels) for c in (channels, wide, wide, wide)))
        return wide

    def add_stages(
        self,
        in_channels: int,
        base: int,
        modules: Sequence[int],
        exchange: Callable[[int, int, Sequence[int]], nn.Module],
    ) -> list[int]:
        """Stages 2, 3 and 4 and the transitions before them.

        Args:
            in_channels: of the features that enter stage 2.
            base: channels of the finest branch; each coarser one has twice as many.
            modules: number of exchange modules in each stage.
            exchange: builds module m of stage s, `exchange(s, m, channels)`.

        Returns:
            The channels of the four branches.
        """
        before, channels = [in_channels], [base << i for i in range(4)]
        for stage, count in zip((2, 3, 4), modules, strict=True):
            after = channels[:stage]
            self.add_module(f"transition{stage - 1}", _transition(before, after))
            parts = [exchange(stage, module, after) for module in range(count)]
            self.add_module(f"stage{stage}", nn.Sequential(*parts))
            before = after
        return channels

    def stem(self, images: Tensor) -> Tensor:
        """(B, C, h/4, w/4) features of images (B, 3, h, w), h and w multiples of 32."""
        check_images(images, 32)
        x = self.bn1(self.conv1(images)).relu_()
        return self.bn2(self.conv2(x)).relu_()

    def stages(self, x: Tensor) -> list[list[Tensor]]:
        """What stages 2, 3 and 4 return, each a list of features, finest first."""
        outputs = [[x]]
        for stage in (2, 3, 4):
            before = [*outputs[-1], outputs[-1][-1]]  # the new branch starts from the coarsest
            layers = self.get_submodule(f"transition{stage - 1}")
            features = [layer(x) for layer, x in zip(layers, before, strict=True)]
            outputs.append(self.get_submodule(f"stage{stage}")(features))
        return outputs[1:]


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Adapt the branches; the new one starts from the coarsest."""
    layers = nn.ModuleList()
    for i, channels in enumerate(after):
        if i >= len(before):
            layers.append(nn.Sequential(conv_bn_relu(before[-1], channels, stride=2)))
        else:
            same = before[i] == channels
            layers.append(nn.Identity() if same else conv_bn_relu(before[i], channels))
    return layers


def dense_down(in_channels: int, out_channels: int, last: bool) -> nn.Module:
    """One step of half the resolution by a strided 3x3 convolution, with a ReLU but at the end."""
    return (conv_bn if last else conv_bn_relu)(in_channels, out_channels, 3, 2)


class Exchange(nn.Module):
    """Parallel branches, then every resolution receives all others.

    Section 3, repeated multi-scale fusion: Y_k is the sum over i of a(X_i, k), where a brings the
    features X_i to resolution k by strided 3x3 convolutions or by upsampling.

    Args:
        channels: of each branch, finest first; each has half the resolution of the one before.
        branch: builds what a branch does, from its number of channels.
        rows: how many of the finest resolutions to return; None for all.
        down: one step of half the resolution, `down(in_channels, out_channels, last)`.
        activation: of the sums.
    """

    def __init__(
        self,
        channels: Sequence[int],
        branch: Callable[[int], nn.Module],
        rows: int | None = None,
        down: Down = dense_down,
        activation: Callable[[Tensor], Tensor] = torch.relu_,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branch(c) for c in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(channels, j, i, down) for j in range(len(channels)))
            for i in range(rows or len(channels))
        )
        self.activation = activation

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Takes and returns a list of (B, C_i, H/2^i, W/2^i)."""
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        fused = []
        for row in self.fuse_layers:
            here = [path(x) for path, x in zip(row, features, strict=True)]
            fused.append(self.activation(reduce(torch.add, here)))
        return fused


def _path(channels: Sequence[int], source: int, target: int, down: Down) -> nn.Module:
    """The way from one resolution to another."""
    c, out = channels[source], channels[target]
    if source == target:
        return nn.Identity()
    if source > target:
        return conv_bn(c, out, 1).append(nn.Upsample(scale_factor=2 ** (source - target)))
    steps = [down(c, c, False) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, down(c, out, True))


class HRNet(HighResolutionFrame):
    """High-resolution network; 28.5 (W32) and 63.6 (W48) M parameters at width 1.

    Args:
        base: channels of the finest branch, 32 or 48; each coarser one has twice as many.
        num_keypoints: K.
        width: multiplier of all channels.
    """

    def __init__(self, base: int, num_keypoints: int, width: Width = 1.0) -> None:
        super().__init__()
        channels = self.add_layer1(Bottleneck, self.add_stem(width))
        base = scaled(base, width)
        self.add_stages(channels, base, MODULES, _exchange)
        self.final_layer = nn.Conv2d(base, num_keypoints, 1)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Predict heat maps (B, K, h/4, w/4) of images (B, 3, h, w).

        Raises:
            PosekitError: if h or w is no multiple of 32.
        """
        x = self.layer1(self.stem(images))
        finest = self.stages(x)[-1][0]
        return self.final_layer(finest)


def _exchange(stage: int, module: int, channels: Sequence[int]) -> Exchange:
    """The very last exchange makes only the resolution that the heat maps use."""
    last = stage == 4 and module == MODULES[-1] - 1
    return Exchange(channels, _branch, rows=1 if last else None)


def _branch(channels: int) -> nn.Sequential:
    return nn.Sequential(*(BasicBlock(channels) for _ in range(BLOCKS)))


IDEA = HighResolutionFrame.stages, Exchange.forward, _path  # what the notebook shows of this file
for _base in (32, 48):
    register(Description(f"hrnet_w{_base}", PAPER, fast_bf16=True))(partial(HRNet, _base))
