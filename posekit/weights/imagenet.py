"""Start a network from a backbone trained on ImageNet.

The files are those of the papers: torchvision's ResNets for Simple Baselines, and the HRNets
of the HRNet authors. Nothing is downloaded here; workflows.training.building finds them.
"""

import os
from dataclasses import dataclass

from torch import nn

from ..errors import PosekitError
from ..files.words import few
from .identify import STEP_COUNTS
from .load import check_allocated
from .storage import read_weights

# The sub-modules that the papers fill from the file (PRETRAINED_LAYERS in HRNet's recipes).
RESNET = "conv1 bn1 layer1 layer2 layer3 layer4"
HRNET = "conv1 bn1 conv2 bn2 layer1 transition1 stage2 transition2 stage3 transition3 stage4"
PAGE = "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch"  # leads to all of them
BACKBONES = {
    "pose_resnet_50": ("resnet50-19c8e357.pth", RESNET),
    "pose_resnet_101": ("resnet101-5d3b4d8f.pth", RESNET),
    "pose_resnet_152": ("resnet152-b121ed2d.pth", RESNET),
    "hrnet_w32": ("hrnet_w32-36af842e.pth", HRNET),
    "hrnet_w48": ("hrnet_w48-8ef0771d.pth", HRNET),
}


@dataclass(frozen=True)
class BackboneReport:
    """What `init_backbone` did.

    Attributes:
        source: the file.
        loaded: names of the tensors taken from it.
        fresh: names of the network's tensors that keep their random start, the head's.
        ignored: names in the file that have no place in the network, such as the classifier's.
    """

    source: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        """One sentence."""
        return (
            f"took {len(self.loaded)} tensors of the backbone from {self.source}; "
            f"{len(self.fresh)} start at random ({few(list(self.fresh))}), "
            f"{len(self.ignored)} of the file are not used"
        )


def init_backbone(model: nn.Module, path: str | os.PathLike) -> BackboneReport:
    """Fill the backbone of a network from an ImageNet file; all of it or nothing.

    Args:
        model: `pose_resnet_*` or `hrnet_*` of width 1, made by `create_model`.
        path: the file.

    Raises:
        PosekitError: if the network has no such backbone, or the file is missing or another's.
    """
    name = model.description.name
    if name not in BACKBONES:
        raise PosekitError(
            f"{name} is trained from scratch in its paper; ImageNet files exist for "
            f"{', '.join(BACKBONES)}."
        )
    own, (_, parts) = model.state_dict(), BACKBONES[name]
    given = read_weights(path, own).tensors
    check_allocated(own, name)
    backbone = [key for key in own if key.partition(".")[0] in parts.split()]
    loaded = [key for key in backbone if key in given]
    needed = [key for key in backbone if key in given or not key.endswith(STEP_COUNTS)]
    misfits = [k for k in needed if k not in given or given[k].shape != own[k].shape]
    if misfits:
        raise PosekitError(
            f"{path} and the backbone of {name} differ in {len(misfits)} tensors ({few(misfits)}); "
            "it takes the file of the same depth or width, and a network of width 1."
        )
    model.load_state_dict({key: given[key] for key in loaded}, strict=False)
    fresh = tuple(key for key in own if key not in backbone)
    ignored = tuple(key for key in given if key not in backbone)
    return BackboneReport(source=str(path), loaded=tuple(loaded), fresh=fresh, ignored=ignored)
