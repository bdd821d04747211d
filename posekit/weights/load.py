"""Stored weights put into a network: all of them or none."""

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
from .checkpoint import Checkpoint, unwrap
from .identify import STEP_COUNTS, NetworkMatch, match_network
from .storage import RUN_WEIGHTS, read_weights


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
    where, checkpoint = _read(model, own, source)
    tensors, converted = checkpoint.tensors, checkpoint.steps
    if lsdnet.is_release(own, tensors):
        converted = (*converted, *lsdnet.worth(own).steps())
    tensors = lsdnet.complete(own, tensors)
    counts = [name for name in own if name.endswith(STEP_COUNTS) and name not in tensors]
    if counts:
        tensors |= {name: own[name] for name in counts}
        converted = (*converted, f"{len(counts)} step counts of batch norms added")
    name = model.description.name if hasattr(model, "description") else type(model).__name__
    if problems := _differences(own, tensors):
        raise PosekitError(
            f"{where} does not fit {name}: {'; '.join(problems)}. "
            + _advice(name, checkpoint.model, tensors)
        )
    check_allocated(own, name)
    model.load_state_dict(tensors)
    not_finite = tuple(
        name
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not tensor.isfinite().all()
    )
    return LoadReport(where, len(own), checkpoint.ignored, converted, not_finite)


def check_allocated(state: Mapping[str, Tensor], name: str) -> None:
    """Refuse a network without memory for its numbers, into which loading does nothing.

    Raises:
        PosekitError: some of its tensors are on the device "meta".
    """
    if empty := [key for key, tensor in state.items() if tensor.is_meta]:
        raise PosekitError(
            f"{name} has no memory for its numbers ({few(empty)} on the device meta): make it "
            "outside of torch.device('meta'), or call its to_empty(device='cpu') first"
        )


def _read(model: nn.Module, own: Mapping[str, Tensor], source: object) -> tuple[str, Checkpoint]:
    """The name of the source of `load_weights` for messages, and the tensors in it."""
    if isinstance(source, Mapping):
        return "state dict", unwrap(source, "state dict").without_prefixes(own)
    if files := _caffe_files(source):
        return " and ".join(map(str, files)), convert(model, files)
    path = expanded(source)
    path = path / RUN_WEIGHTS if os.path.isdir(path) else path
    return str(path), read_weights(path, own)


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
    """What keeps the given tensors from being this network's, for messages."""
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


def _advice(name: str, noted: str | None, tensors: Mapping[str, Tensor]) -> str:
    """What weights that do not fit the network `name` are, by their file and their tensors."""
    match = match_network(tensors)
    if noted in list_models() and noted not in match.candidates:
        match = NetworkMatch(noted)
    if match.name is None:
        return "It belongs to another network, none that posekit has, or holds no network at all."
    if match.name == name and not match.options:
        return "The network is right but its size is not: compare num_keypoints, width and options."
    options = "".join(f", {option}={value!r}" for option, value in match.options.items())
    return f"It belongs to another network: create_model({match.name!r}{options}, ...)."
