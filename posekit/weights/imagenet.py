"""Start a network from a backbone trained on ImageNet.

The files are those of the papers: torchvision's ResNets for Simple Baselines, and the HRNets
of the HRNet authors. Nothing is downloaded here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..errors import PosekitError
from ..files.words import few
from .identify import STEP_COUNTS
from .load import check_allocated
from .storage import read_weights

# The sub-modules that the papers fill from the file (PRETRAINED_LAYERS in HRNet's recipes).
RESNET = "conv1 bn1 layer1 layer2 layer3 layer4".split()
HRNET = "conv1 bn1 conv2 bn2 layer1 transition1 stage2 transition2 stage3 transition3 stage4"
BACKBONES = {
    **{f"pose_resnet_{depth}": (f"resnet{depth}", RESNET) for depth in (50, 101, 152)},
    **{f"hrnet_{width}": (f"hrnet_{width}", HRNET.split()) for width in ("w32", "w48")},
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


def init_backbone(model: nn.Module, path: str | os.PathLike | None = None) -> BackboneReport:
    """Fill the backbone of a network from an ImageNet file; all of it or nothing.

    Args:
        model: `pose_resnet_*` or `hrnet_*` of width 1, made by `create_model`.
        path: the file; None looks in the folder where torchvision keeps its downloads.

    Raises:
        PosekitError: if the network has no such backbone, or the file is missing or another's.
    """
    name = model.description.name
    if name not in BACKBONES:
        raise PosekitError(
            f"{name} is trained from scratch in its paper; ImageNet files exist for "
            f"{', '.join(BACKBONES)}."
        )
    stem, parts = BACKBONES[name]
    path = _cached(stem) if path is None else Path(path)
    own = model.state_dict()
    given = read_weights(path, own).tensors
    check_allocated(own, name)
    backbone = [key for key in own if key.partition(".")[0] in parts]
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


def _cached(stem: str) -> Path:
    """The file in torchvision's folder of downloads."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(folder.glob(f"{stem}-*.pth"))
    if not found:
        raise PosekitError(
            f"{folder} holds no {stem}-*.pth; download the ImageNet weights of {stem} from its "
            "project page and name the file."
        )
    return found[-1]
