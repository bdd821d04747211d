"""Files of tensors: read without ever running what is in them, written whole or not at all."""

import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import PosekitError

RUN_WEIGHTS = "weights.safetensors"  # the file's name in a run folder
TORCH_ENDINGS = (".pth", ".pt", ".pth.tar", ".tar")
# Entries of a training checkpoint under which published files keep the network.
_WRAPPERS = ("state_dict", "best_state_dict", "model_state", "model")
_PREFIXES = ("module.", "_orig_mod.")  # left by data parallel and compiled training
_SHOWN, _LONGEST = 4, 120  # names in a message, letters of a name
_LONGEST_REASON = 160
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class _Unread:
    """Stands for a NumPy number or its type in a training checkpoint, such as the best score.

    The number is of no use here. Its bytes never reach NumPy, whose own readers trust them.
    """

    def __init__(self, *content: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# torch's reader knows a type by its module and name, which are those that the files have.
_STAND_INS = [
    type(name, (_Unread,), {"__module__": module})
    for module, name in (
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "scalar"),  # of NumPy 1
        ("numpy", "dtype"),
    )
]


class Stored(NamedTuple):
    """What a file or a training checkpoint holds.

    Attributes:
        tensors: of the network, under their own names.
        ignored: other entries, such as the optimizer.
        steps: what was undone, such as a prefix.
        made_for: the network that the file says it is for, None where it says nothing.
    """

    tensors: dict[str, Tensor]
    ignored: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    made_for: str | None = None


def read_file(path: str | os.PathLike) -> Stored:
    """Tensors in a .safetensors or torch file.

    Raises:
        PosekitError: if the file cannot be read or holds none.
    """
    path, made_for = Path(path), None
    if not path.is_file():
        raise PosekitError(f"{path}: no such weight file.")
    name = path.name.lower()
    if name.endswith(".caffemodel.h5"):
        raise PosekitError(
            f"{path}: caffe models inside HDF5 cannot be read; get the .caffemodel file."
        )
    if not name.endswith((".safetensors", *TORCH_ENDINGS)):
        raise PosekitError(
            f"{path}: not a kind of weight file that can be read; "
            f"there are .safetensors, .caffemodel, {', '.join(TORCH_ENDINGS)} and run folders."
        )
    try:
        if name.endswith(".safetensors"):
            with safe_open(path, "pt", device="cpu") as file:
                content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                made_for = (file.metadata() or {}).get("model")
        else:
            _refuse_packed(path)
            with torch.serialization.safe_globals(_STAND_INS):
                content = torch.load(path, weights_only=True, map_location="cpu")
    except PosekitError:
        raise
    except Exception as error:  # readers of broken files raise whatever they stumble upon
        raise PosekitError(
            f"{path}: cannot be read as weights; the file is incomplete, of another kind, or holds "
            f"Python objects, which are refused because they can run code ({reason_of(error)})."
        ) from error
    if not isinstance(content, Mapping):
        raise PosekitError(f"{path}: holds a {type(content).__name__}, not a table of weights.")
    return unwrap(content, str(path))._replace(made_for=made_for)


def _refuse_packed(path: Path) -> None:
    """Refuse an archive that unpacks to more than its own size; torch packs nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise PosekitError(
            f"{path}: cannot be read as weights; it is a compressed archive, which could fill the "
            "memory; get the original, as torch.save writes it."
        )


def reason_of(error: Exception) -> str:
    """Why torch could not read a file, in one short line without its advice."""
    text = _ESCAPES.sub("", str(error)).strip()
    if text.startswith("Weights only load failed"):
        lines = text.partition("Check the documentation")[0].strip().splitlines()
        text = lines[-1].rpartition("WeightsUnpickler error:")[2].strip()
    line = text.partition("\n")[0].partition(" Please use")[0]
    return _short(line, _LONGEST_REASON).rstrip(".") or type(error).__name__


def unwrap(content: Mapping, where: str) -> Stored:
    """The network in a state dict, or in a training checkpoint that has one among its entries.

    Raises:
        PosekitError: if there are no tensors; `where` names the source.
    """
    ignored, steps = [], {}
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
    if wrapper is not None:
        ignored = [_label(key) for key in content if key != wrapper]
        content = content[wrapper]
        steps[f"taken from the entry {wrapper}"] = None
    tensors = {}
    for name, value in content.items():
        if not isinstance(value, Tensor) or not isinstance(name, str):
            ignored.append(_label(name))
            continue
        while name.startswith(_PREFIXES):
            prefix, _, name = name.partition(".")
            steps[f"prefix {prefix}. removed"] = None
        tensors[name] = value
    if not tensors:
        raise PosekitError(f"{where}: holds no weights, only {few(ignored) or 'nothing'}.")
    return Stored(tensors, tuple(dict.fromkeys(ignored)), tuple(steps))


def _label(key: Any) -> str:
    """A key in words; one that is no text may be endless when written out."""
    return _short(key) if isinstance(key, str) else f"a key of type {type(key).__name__}"


def _short(text: str, longest: int = _LONGEST) -> str:
    """The start of a text that may be long, without unprintable letters."""
    shown = "".join(letter for letter in text[:longest] if letter.isprintable())
    return shown + "..." * (len(text) > longest)


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


def few(names: list[str]) -> str:
    """The first of many names."""
    shown = [_short(name) for name in names[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(names) > _SHOWN else "")
