"""The network inside a training checkpoint: out of its wrappers, under its own names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import PosekitError
from ..files.words import few, label

# Entries of a training checkpoint under which published files keep the network, the best first.
_WRAPPERS = (
    "state_dict best_state_dict model_state_dict model_state model net network params weights "
    "state_dict_ema ema"
).split()
_MOST_WRAPPERS = 50  # looked into
# Left by data parallel and compiled training and by trainers that hold the network as a part.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_MOST_PREFIXES = 4  # one after the other
# Kinds of numbers that can be copied into a network of any other of them.
_DTYPES = frozenset(
    {
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    }
)


@dataclass(frozen=True)
class Checkpoint:
    """What a file or a training checkpoint holds.

    Attributes:
        tensors: of the network, under their own names: dense, of real numbers.
        ignored: other entries, such as the optimizer.
        steps: what was undone, such as a prefix.
        model: name of the network that the file says it is for, None where it says nothing.
    """

    tensors: dict[str, Tensor]
    ignored: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    model: str | None = None

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
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(value, Tensor) and isinstance(name, str)
    }
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
    stored = not (tensor.is_meta or tensor.is_nested)
    return stored and tensor.layout is torch.strided and tensor.dtype in _DTYPES


def _shared_prefix(names: Collection[str], own: Collection[str]) -> str | None:
    """A prefix that all names have, and none of the network's own."""
    for prefix in _PREFIXES:
        shared = all(name.startswith(prefix) for name in names)
        if shared and not any(name.startswith(prefix) for name in own):
            return prefix
    return None
