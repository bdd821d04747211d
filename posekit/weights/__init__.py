"""Weights in and out: own and published checkpoints in, safetensors out.

Reading is safe: a file can hold numbers, never code, and a file that does not fit the network
to the last tensor is refused before anything is changed.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..errors import PosekitError
from ..files.paths import expanded
from ..files.words import few
from ..models import list_models
from . import lsdnet
from .caffe import convert
from .checkpoints import Stored, unwrap
from .files import RUN_WEIGHTS, read_file, read_metadata, save_weights
from .plain import check_plain, check_room, not_finite
from .whose import OPTIONAL, Owner, owner_of

__all__ = ["RUN_WEIGHTS", "LoadReport", "load_weights", "read_metadata", "save_weights"]


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did.

    Attributes:
        source: the file, or "state dict".
        matched: number of tensors put into the network, all it has.
        ignored: entries of the source that are not the network's, such as the optimizer.
        converted: what was changed on the way, such as a prefix or the order of the joints.
        not_finite: tensors of the network that now hold NaN or infinite numbers.
    """

    source: str
    matched: int
    ignored: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    not_finite: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One sentence."""
        rest = f"; not used: {', '.join(self.ignored)}" if self.ignored else ""
        how = f" ({', '.join(self.converted)})" if self.converted else ""
        if self.not_finite:
            count, names = len(self.not_finite), few(list(self.not_finite))
            rest += f"; NOT FINITE: {count} tensors hold NaN or infinite numbers ({names})"
        return f"loaded all {self.matched} tensors from {self.source}{how}{rest}"


def load_weights(
    model: nn.Module, source: str | os.PathLike | Mapping | Sequence[str | os.PathLike]
) -> LoadReport:
    """Put stored weights into a network; all of them or none.

    Args:
        model: the network, made by `create_model`.
        source: a state dict, a file (.safetensors .pth .pt .pth.tar .caffemodel) or a run folder.
            Training checkpoints are unwrapped and prefixes of parallel training are removed.
            A list of .caffemodel files adds up to one network.

    Raises:
        PosekitError: the source cannot be read or is not this network's, or the network is without
            memory.
    """
    own = model.state_dict()
    where, stored = _stored(model, own, source)
    tensors, converted = stored.tensors, stored.steps
    check_plain(tensors, where)
    if lsdnet.is_release(own, tensors):
        converted = (*converted, *lsdnet.worth(own).steps())
    tensors = lsdnet.complete(own, tensors)
    counts = [name for name in own if name.endswith(OPTIONAL) and name not in tensors]
    if counts:
        tensors |= {name: own[name] for name in counts}
        converted = (*converted, f"{len(counts)} step counts of batch norms added")
    problems = _differences(own, tensors)
    name = model.description.name if hasattr(model, "description") else type(model).__name__
    if problems:
        raise PosekitError(
            f"{where} does not fit {name}: {'; '.join(problems)}. "
            + _whose(name, stored.made_for, tensors)
        )
    check_room(own, name)
    model.load_state_dict(tensors)
    strange = not_finite(model.state_dict())
    return LoadReport(where, len(own), stored.ignored, converted, strange)


def _stored(model: nn.Module, own: Mapping[str, Tensor], source: object) -> tuple[str, Stored]:
    """What to call the source of `load_weights`, and the tensors in it."""
    if isinstance(source, Mapping):
        return "state dict", unwrap(source, "state dict", own)
    if files := _caffe_files(source):
        tensors, steps, unknown = convert(model, files)
        return " and ".join(map(str, files)), Stored(
            tensors, tuple(unknown), steps, model.description.name
        )
    path = expanded(source)
    path = path / RUN_WEIGHTS if os.path.isdir(path) else path
    return str(path), read_file(path, own)


def _caffe_files(source: object) -> list[Path]:
    """The source as caffemodel files; nothing if it is one file or folder of another kind.

    Raises:
        PosekitError: it is no path, nor a list of caffemodel files.
    """
    alone = isinstance(source, str | os.PathLike)
    parts = [source] if alone else source
    if isinstance(parts, bytes) or not isinstance(parts, Sequence):
        raise PosekitError(
            f"load_weights: the source is of type {type(source).__name__}; give a state dict, the "
            "path of a file or run folder, or a list of .caffemodel files."
        )
    paths = [part for part in parts if isinstance(part, str | os.PathLike)]
    caffe = [expanded(path) for path in paths if str(path).lower().endswith(".caffemodel")]
    if not alone and (len(caffe) < len(parts) or not parts):
        raise PosekitError(
            "load_weights: only .caffemodel files may be given as a list, here are "
            f"{few([str(path) for path in paths]) or 'none'}; give another file alone."
        )
    return caffe


def _differences(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """What keeps the given tensors from being this network's, in words."""
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    kinds = {
        "missing": [name for name in own if name not in given],
        "unexpected": [name for name in given if name not in own],
        "wrongly shaped": shapes,
    }
    return [f"{len(names)} {kind} ({few(names)})" for kind, names in kinds.items() if names]


def _whose(name: str, made_for: str | None, tensors: Mapping[str, Tensor]) -> str:
    """Advice for the reader whose weights are not those of the network `name`."""
    owner = owner_of(tensors)
    if made_for in list_models() and made_for not in owner.namesakes:
        owner = Owner(made_for)
    if owner.name is None:
        return "It belongs to another network, none that posekit has, or holds no network at all."
    if owner.name == name and not owner.options:
        return "The network is right but its size is not: compare num_keypoints, width and options."
    return f"It belongs to another network: {owner.call()}."
