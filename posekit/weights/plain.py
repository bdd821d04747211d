"""Which tensors can be copied into a network, and what has to be said of their numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import PosekitError
from ..files.words import few

# Every one can be copied into a network of another of them.
KINDS = frozenset(
    {
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    }
)


def check_plain(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors whose numbers a network cannot take over as they are.

    Raises:
        PosekitError: some are sparse, nested, without numbers, or of an unusual type of number.
    """
    if odd := [name for name, tensor in tensors.items() if not _is_plain(tensor)]:
        raise PosekitError(
            f"{where}: {few(odd)}: sparse, empty, quantised, packed or complex; only plain tensors "
            "of real numbers can be loaded: store them as float32"
        )


def _is_plain(tensor: Tensor) -> bool:
    special = tensor.is_meta or tensor.is_nested
    return tensor.layout is torch.strided and tensor.dtype in KINDS and not special


def check_room(own: Mapping[str, Tensor], who: str) -> None:
    """Refuse a network that has no room for numbers, into which loading does nothing.

    Raises:
        PosekitError: some of its tensors are on the device "meta".
    """
    if empty := [name for name, tensor in own.items() if tensor.is_meta]:
        raise PosekitError(
            f"{who} has no room for numbers ({few(empty)} on the device meta): make it outside of "
            "torch.device('meta'), or call its to_empty(device='cpu') first"
        )


def not_finite(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Names of the tensors that hold NaN or infinite numbers."""
    return tuple(
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and not tensor.isfinite().all()
    )
