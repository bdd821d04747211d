"""Files of tensors: read without ever running what is in them, written whole or not at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

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
_SHOWN = 4


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
            content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # readers of broken files raise whatever they stumble upon
        reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
        raise PosekitError(
            f"{path}: cannot be read as weights; the file is incomplete, of another kind, or holds "
            f"Python objects, which are refused because they can run code ({reason})."
        ) from error
    if not isinstance(content, Mapping):
        raise PosekitError(f"{path}: holds a {type(content).__name__}, not a table of weights.")
    return unwrap(content, str(path))._replace(made_for=made_for)


def unwrap(content: Mapping, where: str) -> Stored:
    """The network in a state dict, or in a training checkpoint that has one among its entries.

    Raises:
        PosekitError: if there are no tensors; `where` names the source.
    """
    ignored, steps = [], {}
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
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
        while name.startswith(_PREFIXES):
            prefix, _, name = name.partition(".")
            steps[f"prefix {prefix}. removed"] = None
        tensors[name] = value
    if not tensors:
        raise PosekitError(f"{where}: holds no weights, only {few(ignored) or 'nothing'}.")
    return Stored(tensors, tuple(ignored), tuple(steps))


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
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
