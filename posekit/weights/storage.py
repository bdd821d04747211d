"""Weight files and training checkpoints: read, unwrapped, written.

What is in a file is never run, and a file is written whole or not at all.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.isolated import read_isolated
from ..files.paths import regular_file
from ..files.reading import check_archive
from ..files.words import few, label, short
from ..files.writing import write_bytes

RUN_WEIGHTS = "weights.safetensors"  # the file's name in a run folder
TORCH_ENDINGS = (".pth", ".pt", ".pth.tar", ".tar")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Entries of a training checkpoint under which published files keep the network, the best first.
_WRAPPERS = (
    "state_dict best_state_dict model_state_dict model_state model net network params weights "
    "state_dict_ema ema"
).split()
# Left by data parallel and compiled training and by trainers that hold the network as a part.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_MOST_WRAPPERS, _MOST_PREFIXES = 50, 4  # that are looked into and removed
# Kinds of numbers that can be copied into a network of any other of them.
_DTYPES = "float16 bfloat16 float32 float64 bool uint8 int8 int16 int32 int64".split()


@dataclass(frozen=True)
class Checkpoint:
    """What a file or a training checkpoint holds.

    Attributes:
        tensors: of the network, under their own names: dense, of real numbers.
        ignored: other entries, such as the optimizer.
        steps: what was undone, such as a prefix.
        metadata: what the file says of the network, such as its name under "model".
    """

    tensors: dict[str, Tensor]
    ignored: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def without_prefixes(self, own: Collection[str] = ()) -> "Checkpoint":
        """The same under names without the prefixes of parallel training and of trainers.

        Args:
            own: names of the network's tensors if it is known; a prefix that it has itself is kept.
        """
        tensors, steps = self.tensors, self.steps
        for _ in range(_MOST_PREFIXES):
            if (prefix := _shared_prefix(tensors, own)) is None:
                break
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
            steps = (*steps, f"prefix {prefix} removed")
        return replace(self, tensors=tensors, steps=tuple(dict.fromkeys(steps)))


class _NumPyObject:
    """Stands for a NumPy number or its type in a training checkpoint, such as the best score.

    The number is of no use here. Its bytes never reach NumPy, whose own readers trust them.
    """

    def __init__(self, *content: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# torch's reader knows a type by its module and name, which are those that the files have; the
# second one is of NumPy 1.
_NUMPY = "numpy._core.multiarray.scalar numpy.core.multiarray.scalar numpy.dtype".split()
_STAND_INS = [
    type(name, (_NumPyObject,), {"__module__": module})
    for module, _, name in (path.rpartition(".") for path in _NUMPY)
]


def read_weights(path: str | os.PathLike, own: Collection[str] = ()) -> Checkpoint:
    """Tensors in a .safetensors or torch file.

    Args:
        path: the file.
        own: names of the tensors of the network that they are for, if it is known.

    Raises:
        PosekitError: if the file cannot be read or holds none.
    """
    path = regular_file(path)
    name = path.name.lower()
    if name.endswith(".safetensors"):
        return _read_safetensors(path).without_prefixes(own)
    if name.endswith(TORCH_ENDINGS):
        tensors, notes = read_isolated(_read_torch, path, "weights")
        names, ignored, steps = map(tuple, notes)
        named = dict(zip(names, tensors, strict=True))
        return Checkpoint(named, ignored, steps).without_prefixes(own)
    hdf5 = "caffe models inside HDF5 cannot be read, get the .caffemodel file; "
    raise PosekitError(
        f"{path}: not a kind of weight file that can be read; {hdf5 * name.endswith('.h5')}"
        f"there are .safetensors, .caffemodel, {', '.join(TORCH_ENDINGS)} and run folders."
    )


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, "pt", device="cpu") as file:
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except Exception as error:  # it raises whatever it stumbles upon in broken files
        raise _unreadable(path, error) from error
    return replace(unwrap(content, str(path)), metadata=metadata)


def _read_torch(path: Path) -> tuple[list[Tensor], Any]:
    """Tensors of a file of torch.save; their names, ignored entries and steps of the checkpoint."""
    try:
        check_archive(path)
        with torch.serialization.safe_globals(_STAND_INS):
            content = torch.load(path, weights_only=True, map_location="cpu")
        found = unwrap(content, str(path))
        # Copies, as tensors may share their memory or be smaller than they look.
        tensors = [t.detach().clone().contiguous() for t in found.tensors.values()]
    except PosekitError:
        raise
    except Exception as error:  # it raises whatever it stumbles upon in broken files
        raise _unreadable(path, error) from error
    return tensors, ([*found.tensors], found.ignored, found.steps)


def _unreadable(path: Path, error: Exception) -> PosekitError:
    return PosekitError(
        f"{path}: cannot be read as weights; the file is incomplete, of another kind, or holds "
        "Python objects, which are refused because they can run code or fill the memory "
        f"({_reason(error)}): get the original, or store its state_dict alone."
    )


def _reason(error: Exception) -> str:
    """Why torch could not read a file, in one short line without its advice."""
    text = _ESCAPES.sub("", str(error)).strip()
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "it needs far more memory than its size"
    if text.startswith("Weights only load failed"):
        lines = text.partition("Check the documentation")[0].strip().splitlines()
        text = lines[-1].rpartition("WeightsUnpickler error:")[2].strip()
    line = text.partition("\n")[0].partition(" Please use")[0]
    return short(line, 160).rstrip(".") or type(error).__name__


def unwrap(content: Any, source: str) -> Checkpoint:
    """The network in a state dict, or in a training checkpoint that has one among its entries.

    Args:
        content: the state dict or the checkpoint.
        source: where it comes from, for messages.

    Raises:
        PosekitError: there are no tensors, or some that cannot be copied into a network: sparse,
            nested, without numbers, or of an unusual type of number.
    """
    if not isinstance(content, Mapping):
        raise PosekitError(
            f"{source}: holds a {type(content).__name__}, not weights by name: store a state_dict."
        )
    ignored, steps = [], ()
    if path := _path_to_tensors(content, set()):
        for wrapper in path:
            ignored += [label(key) for key in content if key != wrapper]
            content = content[wrapper]
        steps = (f"taken from the entry {' of '.join(reversed(path))}",)
    entries = {name: value for name, value in content.items() if isinstance(name, str)}
    tensors = {name: value for name, value in entries.items() if isinstance(value, Tensor)}
    ignored += [label(key) for key in content if key not in tensors]
    if not tensors:
        raise PosekitError(f"{source}: holds no weights, only {few(ignored) or 'nothing'}.")
    if odd := [name for name, tensor in tensors.items() if not _is_dense_and_real(tensor)]:
        raise PosekitError(
            f"{source}: {few(odd)}: sparse, empty, quantised, packed or complex; only dense "
            "tensors of real numbers can be loaded: store them as float32"
        )
    return Checkpoint(tensors, tuple(dict.fromkeys(ignored)), steps)


def _path_to_tensors(content: Any, seen: set[int]) -> list[str] | None:
    """The entries that lead to the network, outermost first; None where no tensors are."""
    if not isinstance(content, Mapping) or id(content) in seen or len(seen) == _MOST_WRAPPERS:
        return None
    seen.add(id(content))
    for wrapper in _WRAPPERS:
        path = _path_to_tensors(content.get(wrapper), seen)
        if path is not None:
            return [wrapper, *path]
    return [] if any(isinstance(value, Tensor) for value in content.values()) else None


def _is_dense_and_real(tensor: Tensor) -> bool:
    dense = not (tensor.is_meta or tensor.is_nested) and tensor.layout is torch.strided
    return dense and str(tensor.dtype).removeprefix("torch.") in _DTYPES


def _shared_prefix(names: Collection[str], own: Collection[str]) -> str | None:
    """A prefix that all names have, and none of the network's own."""
    shared = [p for p in _PREFIXES if all(name.startswith(p) for name in names)]
    return next((p for p in shared if not any(name.startswith(p) for name in own)), None)


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What `save_weights` noted in a .safetensors file: model, skeleton, image_size, run, ...

    Nothing of other files.

    Raises:
        PosekitError: if the file cannot be read.
    """
    path = regular_file(path)
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt", device="cpu") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise PosekitError(f"{path}: cannot be read as safetensors ({error}).") from error


def save_weights(
    model: nn.Module, path: str | os.PathLike, metadata: dict[str, str] | None = None
) -> None:
    """Write the weights of a network as safetensors, whole or not at all.

    Args:
        model: the network; of its description the name is stored under "model", and `trained_on`.
        path: the file; its folder must exist.
        metadata: further strings to keep in the file.

    Raises:
        PosekitError: if the file cannot be written.
    """
    about = getattr(model, "description", None)
    notes = {"model": about.name, "trained_on": about.trained_on} if about else {}
    notes = {name: text for name, text in notes.items() if text} | (metadata or {})
    tensors = {n: t.cpu().clone().contiguous() for n, t in model.state_dict().items()}
    write_bytes(Path(path), save(tensors, notes))
