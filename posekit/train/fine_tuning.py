"""Start from the weights of a network with other joints: the head is fitted by their names."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config.families import TrainingSettings
from ..errors import PosekitError
from ..files.words import few
from ..geometry.skeletons import SKELETONS, USUAL_SKELETON, Skeleton, skeleton
from ..weights import RUN_WEIGHTS, load_weights, read_metadata, read_weights
from . import distributed
from .hooks import Hook


def start_from(model: nn.Module, joints: Skeleton, source: str) -> str:
    """Put weights into a network, those of a network with other joints too.

    Joints of the same name keep their maps, the others begin as they are.

    Args:
        model: with fresh weights.
        joints: that it is to find.
        source: a run folder or a weight file; one that does not say its joints has COCO's where
            there are 17, MPII's where there are 16.

    Returns:
        What was done, one sentence.

    Raises:
        PosekitError: it is another network, or the joints of its file are not known.
    """
    path = Path(os.path.expanduser(source))
    path, own = path / RUN_WEIGHTS if path.is_dir() else path, model.state_dict()
    if model.description.skeleton or path.suffix.lower() == ".caffemodel":
        return str(load_weights(model, source))
    stored = read_weights(path, own).tensors
    head = {
        n: _axis(stored[n], own[n])
        for n in own.keys() & stored.keys()
        if stored[n].shape != own[n].shape
    }
    noted = read_metadata(path).get("skeleton")
    counts = {stored[n].shape[axis] for n, axis in head.items() if axis is not None}
    noted = noted or (USUAL_SKELETON.get(counts.pop()) if len(counts) == 1 else None)
    others = skeleton(noted) if noted else joints
    if others.joints == joints.joints or None in head.values() or not (head and noted):
        return str(load_weights(model, source))
    shared = [joint for joint in joints.joints if joint in others.joints]
    ours, theirs = (torch.tensor(s.index(*shared), dtype=torch.long) for s in (joints, others))
    for name, axis in head.items():
        stored[name] = own[name].index_copy(axis, ours, stored[name].index_select(axis, theirs))
    load_weights(model, stored)
    kept = few(shared) if shared else "none"
    return (
        f"started from {path} ({len(others)} joints of {others.name}): {len(own) - len(head)} "
        f"tensors as they are; of the last layer {len(shared)} of {len(joints)} joints ({kept})"
    )


def _axis(theirs: Tensor, ours: Tensor) -> int | None:
    """The one axis in which two tensors differ, that of the joints; None where it is not one."""
    if theirs.ndim != ours.ndim:
        return None
    axes = [i for i, (a, b) in enumerate(zip(theirs.shape, ours.shape, strict=True)) if a != b]
    return axes[0] if len(axes) == 1 else None


class FrozenBackbone(Hook):
    """Trains the layers that depend on the joints alone for the first epochs.

    Args:
        settings: with `frozen_epochs`.
        joints: of the network.

    Raises:
        PosekitError: the network's joints are always the same, or several processes train it.
    """

    def __init__(self, settings: TrainingSettings, joints: Skeleton) -> None:
        fewer = SKELETONS["lsp"] if len(joints) != len(SKELETONS["lsp"]) else SKELETONS["coco"]
        own, other = (settings.shapes_only(one).state_dict() for one in (joints, fewer))
        self.head = {name for name in own if own[name].shape != other[name].shape}
        self.epochs = settings.frozen_epochs
        if not self.head or distributed.share()[1] > 1:
            raise PosekitError("frozen_epochs: needs a network of any joints, and one process")

    def on_epoch_start(self, epoch: int, steps: int) -> None:
        """Freeze or free the rest of the network."""
        for name, parameter in self.trainer.task.model.named_parameters():
            parameter.requires_grad_(epoch > self.epochs or name in self.head)
