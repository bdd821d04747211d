"""The network inside a training checkpoint: out of its wrappers, under its own names."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

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


def unwrap(content: Mapping, where: str, own: Collection[str] = ()) -> Stored:
    """The network in a state dict, or in a training checkpoint that has one among its entries.

    Args:
        content: the state dict or the checkpoint.
        where: the source, for messages.
        own: names of the network's tensors if it is known; a prefix that it has itself is kept.

    Raises:
        PosekitError: if there are no tensors.
    """
    ignored, steps = [], []
    if way := _way_in(content, set()):
        for wrapper in way:
            ignored += [label(key) for key in content if key != wrapper]
            content = content[wrapper]
        steps.append(f"taken from the entry {' of '.join(reversed(way))}")
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(value, Tensor) and isinstance(name, str)
    }
    ignored += [label(key) for key in content if key not in tensors]
    if not tensors:
        raise PosekitError(f"{where}: holds no weights, only {few(ignored) or 'nothing'}.")
    for _ in range(_MOST_PREFIXES):
        if (prefix := _shared_prefix(tensors, own)) is None:
            break
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
        steps.append(f"prefix {prefix} removed")
    return Stored(tensors, tuple(dict.fromkeys(ignored)), tuple(dict.fromkeys(steps)))


def _way_in(content: Any, seen: set[int]) -> list[str] | None:
    """The entries that lead to the network, outermost first; None where no tensors are."""
    if not isinstance(content, Mapping) or id(content) in seen or len(seen) == _MOST_WRAPPERS:
        return None
    seen.add(id(content))
    for wrapper in _WRAPPERS:
        way = _way_in(content.get(wrapper), seen)
        if way is not None:
            return [wrapper, *way]
    return [] if any(isinstance(value, Tensor) for value in content.values()) else None


def _shared_prefix(names: Collection[str], own: Collection[str]) -> str | None:
    """A prefix that all names have, and none of the network's own."""
    return next(
        (
            prefix
            for prefix in _PREFIXES
            if all(name.startswith(prefix) for name in names)
            and not any(name.startswith(prefix) for name in own)
        ),
        None,
    )
