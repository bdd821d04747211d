"""Weights in and out: own and published checkpoints in, safetensors out.

Reading is safe: a file can hold numbers, never code, and a file that does not fit the network
to the last tensor is refused before anything is changed.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import PosekitError
from ..models import create_model, list_models
from . import lsdnet
from .caffe import convert

RUN_WEIGHTS = "weights.safetensors"  # the file's name in a run folder
# Entries of a training checkpoint under which published files keep the network.
WRAPPERS = ("state_dict", "best_state_dict", "model_state", "model")
PREFIXES = ("module.", "_orig_mod.")  # left by data parallel and compiled training
TORCH_ENDINGS = (".pth", ".pt", ".pth.tar", ".tar")
# Counts steps for an averaging mode that no network here uses; files older than 2018 lack it.
OPTIONAL = ".num_batches_tracked"
SHOWN = 4


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did.

    Attributes:
        source: the file, or "state dict".
        matched: number of tensors put into the network, all it has.
        ignored: entries of the source that are not the network's, such as the optimizer.
        converted: what was changed on the way, such as a prefix or the order of the joints.
    """

    source: str
    matched: int
    ignored: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One sentence."""
        rest = f"; not used: {', '.join(self.ignored)}" if self.ignored else ""
        how = f" ({', '.join(self.converted)})" if self.converted else ""
        return f"loaded all {self.matched} tensors from {self.source}{how}{rest}"


def load_weights(
    model: nn.Module, source: str | os.PathLike | Mapping | Sequence[str | os.PathLike]
) -> LoadReport:
    """Put stored weights into a network; all of them or none.

    Args:
        model: the network, made by `create_model`.
        source: a state dict, a file (.safetensors .pth .pt .pth.tar .caffemodel) or a run folder.
            Training checkpoints are unwrapped and the prefix of data-parallel training is removed.
            A list of .caffemodel files adds up to one network.

    Raises:
        PosekitError: if the file cannot be read or is not this network's.
    """
    converted: tuple[str, ...] = ()
    if isinstance(source, Mapping):
        where, content, made_for = "state dict", source, None
    elif files := _caffe_files(source):
        where = " and ".join(map(str, files))
        content, converted, unknown = convert(model, files)
        made_for = model.description.name
        content = content | dict.fromkeys(unknown)  # listed in the report
    else:
        path = Path(source)
        path = path / RUN_WEIGHTS if path.is_dir() else path
        where, (content, made_for) = str(path), _read(path)
    tensors, ignored, unwrapped = _unwrap(content, where)
    own = model.state_dict()
    converted = (*unwrapped, *converted)
    if lsdnet.is_release(own, tensors):
        converted = (*converted, *lsdnet.worth(own).steps())
    tensors = lsdnet.complete(own, tensors)
    counts = [name for name in own if name.endswith(OPTIONAL) and name not in tensors]
    if counts:
        tensors |= {name: own[name] for name in counts}
        converted = (*converted, f"{len(counts)} step counts of batch norms added")
    problems = _differences(own, tensors)
    if problems:
        name = model.description.name if hasattr(model, "description") else type(model).__name__
        raise PosekitError(
            f"{where} does not fit {name}: {'; '.join(problems)}. "
            + _whose(name, made_for if made_for in list_models() else _owner(tensors))
        )
    if odd := [name for name, tensor in tensors.items() if not _is_plain(tensor)]:
        raise PosekitError(
            f"{where}: {_few(odd)}: sparse, empty, quantised or complex; only plain tensors of "
            "real numbers can be loaded"
        )
    model.load_state_dict(tensors)
    return LoadReport(where, len(own), ignored, converted)


def _caffe_files(source: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    """The source as caffemodel files; nothing if it is something else."""
    parts = [source] if isinstance(source, str | os.PathLike) else source
    files = [Path(part) for part in parts]
    caffe = [path for path in files if path.name.lower().endswith(".caffemodel")]
    if caffe != files and len(files) != 1:
        raise PosekitError("load_weights: only .caffemodel files may be given as a list.")
    return caffe


def save_weights(
    model: nn.Module, path: str | os.PathLike, metadata: dict[str, str] | None = None
) -> None:
    """Write the weights of a network as safetensors, whole or not at all.

    Args:
        model: the network; the name in its description is stored under "model".
        path: the file; its folder must exist.
        metadata: further strings to keep in the file.

    Raises:
        PosekitError: if the file cannot be written.
    """
    path = Path(path)
    about = {"model": model.description.name} if hasattr(model, "description") else {}
    about |= metadata or {}
    state = model.state_dict()
    tensors = {name: value.cpu().clone().contiguous() for name, value in state.items()}
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            save_file(tensors, draft, about)
            os.replace(draft, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PosekitError(f"cannot write {path}: {reason}.") from error


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What `save_weights` noted in a .safetensors file: model, skeleton, image_size, run, ...

    Raises:
        PosekitError: if the file cannot be read.
    """
    try:
        with safe_open(path, "pt", device="cpu") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise PosekitError(f"{path}: cannot be read as safetensors ({error}).") from error


def _is_plain(tensor: Tensor) -> bool:
    special = tensor.is_meta or tensor.is_quantized or tensor.is_complex()
    return tensor.layout is torch.strided and not special


def read_tensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """The network's tensors in a .safetensors or torch file, under their own names.

    Raises:
        PosekitError: if the file cannot be read or holds none.
    """
    return _unwrap(_read(Path(path))[0], str(path)).tensors


def _read(path: Path) -> tuple[Mapping, str | None]:
    """Content of a weight file and the network that it says it was made for."""
    if not path.is_file():
        raise PosekitError(f"{path}: no such weight file.")
    name = path.name.lower()
    if name.endswith(".caffemodel.h5"):
        raise PosekitError(
            f"{path}: caffe models inside HDF5 cannot be read; get the .caffemodel file."
        )
    try:
        if name.endswith(".safetensors"):
            with safe_open(path, "pt", device="cpu") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return tensors, (file.metadata() or {}).get("model")
        if name.endswith(TORCH_ENDINGS):
            content = torch.load(path, weights_only=True, map_location="cpu")
        else:
            raise PosekitError(
                f"{path}: not a kind of weight file that can be read; "
                f"there are .safetensors, .caffemodel, {', '.join(TORCH_ENDINGS)} and run folders."
            )
    except PosekitError:
        raise
    except Exception as error:  # readers of broken files raise whatever they stumble upon
        reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
        raise PosekitError(
            f"{path}: cannot be read as weights; the file is incomplete, of another kind, or holds "
            f"Python objects, which are refused because they can run code ({reason})."
        ) from error
    if not isinstance(content, Mapping):
        raise PosekitError(f"{path}: holds a {type(content).__name__}, not a table of weights.")
    return content, None


class _Unwrapped(NamedTuple):
    """Tensors of the network under their own names, the entries left aside, what was undone."""

    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]
    steps: tuple[str, ...]


def _unwrap(content: Mapping, where: str) -> _Unwrapped:
    ignored, steps = [], {}
    wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    if wrapper is not None:
        ignored = [str(key) for key in content if key != wrapper]
        content = content[wrapper]
        steps[f"taken from the entry {wrapper}"] = None
    tensors = {}
    for name, value in content.items():
        if not isinstance(value, Tensor):
            ignored.append(str(name))
            continue
        name = str(name)
        while name.startswith(PREFIXES):
            prefix, _, name = name.partition(".")
            steps[f"prefix {prefix}. removed"] = None
        tensors[name] = value
    if not tensors:
        raise PosekitError(f"{where}: holds no weights, only {_few(ignored) or 'nothing'}.")
    return _Unwrapped(tensors, tuple(ignored), tuple(steps))


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
    return [f"{len(names)} {kind} ({_few(names)})" for kind, names in kinds.items() if names]


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _whose(name: str, owner: str | None) -> str:
    """Advice for the reader whose weights are not those of the network `name`."""
    if owner is None:
        return "It belongs to another network, none that posekit has, or holds no network at all."
    if owner == name:
        return "The network is right but its size is not: compare num_keypoints, width and options."
    return f"It belongs to another network: create_model({owner!r}, ...)."


def _owner(tensors: dict[str, Tensor]) -> str | None:
    """The network of the registry with these names, rather one with these shapes as well."""
    namesake = None
    for name in list_models():
        with torch.device("meta"):  # shapes only, nothing is allocated
            candidate = create_model(name).state_dict()
        given = lsdnet.complete(candidate, tensors)
        if candidate.keys() != given.keys():
            continue
        if all(given[key].shape == tensor.shape for key, tensor in candidate.items()):
            return name
        if namesake is None:
            namesake = name
    return namesake
