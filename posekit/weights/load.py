"""Stored weights put into a network: all of them or none."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ..errors import PosekitError
from ..files.paths import expanded
from ..files.words import few
from ..models import list_models
from . import lsdnet
from .caffe import convert
from .identify import STEP_COUNTS, NetworkMatch, match_network, open_questions
from .storage import RUN_WEIGHTS, Checkpoint, read_weights, unwrap


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
            + _advice(name, checkpoint.metadata.get("model"), tensors)
        )
    check_allocated(own, name)
    model.load_state_dict(tensors)
    floats = {n: t for n, t in model.state_dict().items() if t.is_floating_point()}
    not_finite = tuple(n for n, t in floats.items() if not t.isfinite().all())
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
    alone = isinstance(source, str | os.PathLike)
    parts = [source] if alone else source
    if isinstance(parts, bytes) or not isinstance(parts, Sequence):
        raise PosekitError(
            f"load_weights: the source is of type {type(source).__name__}; give a state dict, the "
            "path of a file or run folder, or a list of .caffemodel files."
        )
    paths = [expanded(part) for part in parts if isinstance(part, str | os.PathLike)]
    caffe = [path for path in paths if path.name.lower().endswith(".caffemodel")]
    if caffe and len(caffe) == len(parts):
        return " and ".join(map(str, caffe)), convert(model, caffe)
    if not alone:
        raise PosekitError(
            "load_weights: only .caffemodel files may be given as a list, here are "
            f"{few(list(map(str, paths))) or 'none'}; give another file alone."
        )
    path = paths[0] / RUN_WEIGHTS if os.path.isdir(paths[0]) else paths[0]
    stored, about = read_weights(path, own), getattr(model, "description", None)
    asked = open_questions(about.name, path, vars(about)) if about else ()
    return str(path), replace(stored, steps=(*stored.steps, *asked))


def _differences(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """What keeps the given tensors from being this network's, for messages."""
    shapes = {n: (tuple(given[n].shape), tuple(own[n].shape)) for n in own if n in given}
    kinds = {
        "missing": [name for name in own if name not in given],
        "unexpected": [name for name in given if name not in own],
        "wrongly shaped": [f"{n} {a} instead of {b}" for n, (a, b) in shapes.items() if a != b],
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
