"""Weight files: read without ever running what is in them, written whole or not at all."""

import os
import re
import tempfile
import zipfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.isolated import read_isolated
from ..files.paths import regular_file
from ..files.words import short
from .checkpoint import Checkpoint, unwrap

RUN_WEIGHTS = "weights.safetensors"  # the file's name in a run folder
TORCH_ENDINGS = (".pth", ".pt", ".pth.tar", ".tar")
_LONGEST_REASON = 160
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class _NumPyObject:
    """Stands for a NumPy number or its type in a training checkpoint, such as the best score.

    The number is of no use here. Its bytes never reach NumPy, whose own readers trust them.
    """

    def __init__(self, *content: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# torch's reader knows a type by its module and name, which are those that the files have.
_STAND_INS = [
    type(name, (_NumPyObject,), {"__module__": module})
    for module, name in (
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "scalar"),  # of NumPy 1
        ("numpy", "dtype"),
    )
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
    if name.endswith(".caffemodel.h5"):
        raise PosekitError(
            f"{path}: caffe models inside HDF5 cannot be read; get the .caffemodel file."
        )
    if name.endswith(".safetensors"):
        checkpoint = _read_safetensors(path)
    elif name.endswith(TORCH_ENDINGS):
        tensors, notes = read_isolated(_read_torch, path, "weights")
        named = dict(zip(notes["names"], tensors, strict=True))
        checkpoint = Checkpoint(named, tuple(notes["ignored"]), tuple(notes["steps"]))
    else:
        raise PosekitError(
            f"{path}: not a kind of weight file that can be read; "
            f"there are .safetensors, .caffemodel, {', '.join(TORCH_ENDINGS)} and run folders."
        )
    return checkpoint.without_prefixes(own)


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, "pt", device="cpu") as file:
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            model = (file.metadata() or {}).get("model")
    except Exception as error:  # it raises whatever it stumbles upon in broken files
        raise _unreadable(path, error) from error
    return replace(unwrap(content, str(path)), model=model)


def _read_torch(path: Path) -> tuple[list[Tensor], dict[str, Any]]:
    """Tensors of a file of torch.save; their names and the rest of the checkpoint."""
    try:
        _check_archive(path)
        with torch.serialization.safe_globals(_STAND_INS):
            content = torch.load(path, weights_only=True, map_location="cpu")
        found = unwrap(content, str(path))
        # Copies, as tensors may share their memory or be smaller than they look.
        dense = torch.contiguous_format
        tensors = [t.detach().clone(memory_format=dense) for t in found.tensors.values()]
    except PosekitError:
        raise
    except Exception as error:  # it raises whatever it stumbles upon in broken files
        raise _unreadable(path, error) from error
    notes = {"names": [*found.tensors], "ignored": found.ignored, "steps": found.steps}
    return tensors, notes


def _check_archive(path: Path) -> None:
    """Refuse a zip archive that holds more than its size; torch.save compresses nothing.

    Raises:
        ValueError: it is compressed, or its table is damaged.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\3\4":
            return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if compressed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError("a compressed archive, which torch.save does not write")


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
    return short(line, _LONGEST_REASON).rstrip(".") or type(error).__name__


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What `save_weights` noted in a .safetensors file: model, skeleton, image_size, run, ...

    Raises:
        PosekitError: if the file cannot be read.
    """
    path = regular_file(path)
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
