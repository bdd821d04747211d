"""Deep High-Resolution Representation Learning (Sun, Xiao, Liu, Wang, CVPR 2019, 1902.09212).

The features never leave a quarter of the image's resolution. Coarser branches are added one
at a time, run in parallel, and after every few blocks each branch receives the features of all
others (section 3). The heat maps come from the finest branch alone.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from ._blocks_topdown import BasicBlock, Bottleneck, init_normal, scaled, top_down
from ._high_resolution import Exchange, HighResolutionFrame
from ._registry import register

MODULES = (1, 4, 3)  # exchanges in stages 2, 3 and 4
BLOCKS = 4  # residual blocks of a branch between two exchanges
PAPER = "HRNet, Sun et al., CVPR 2019, arXiv 1902.09212"


class HRNet(HighResolutionFrame):
    """High-resolution network; 28.5 (W32) and 63.6 (W48) M parameters at width 1.

    Args:
        base: channels of the finest branch, 32 or 48; each coarser one has twice as many.
        num_keypoints: K.
        width: multiplier of all channels.
    """

    def __init__(self, base: int, num_keypoints: int, width: float = 1.0) -> None:
        super().__init__()
        planes = self.add_stem(width)
        blocks, channels = [], planes
        for _ in range(BLOCKS):
            blocks.append(Bottleneck(channels, planes))
            channels = Bottleneck.expansion * planes
        self.layer1 = nn.Sequential(*blocks)
        base = scaled(base, width)
        self.add_stages(channels, [base << i for i in range(4)], MODULES, _exchange)
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


for _base in (32, 48):
    register(top_down(f"hrnet_w{_base}", PAPER))(partial(HRNet, _base))
