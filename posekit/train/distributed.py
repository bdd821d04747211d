"""Training in several processes, one a device, as torchrun starts them; one process needs nothing.

Every process trains on its share of each batch and PyTorch's DistributedDataParallel averages the
gradients, so that the batch size of the settings stays what it is. The held-out clips are shared
in the same way. Only the first process writes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ..errors import PosekitError


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes that torchrun has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def device() -> str:
    """The device of this process, for the parameter `device`."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "auto"


def share() -> tuple[int, int]:
    """The number of this process, from 0, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return share()[0] == 0


def parallel(module: nn.Module, sync_batchnorm: bool = False) -> nn.Module:
    """A module that averages its gradients over the processes in every backward pass.

    All processes start with the weights of the first one. Before each training pass they take over
    its buffers too: the running statistics of batch normalisation.

    Two things differ from one process: batch normalisation sees the process's own share of the
    batch, and dropout is drawn by process.

    Args:
        module: on its device.
        sync_batchnorm: let batch normalisation see the whole batch, by PyTorch's SyncBatchNorm.

    Raises:
        PosekitError: batch normalisation cannot be shared on CPUs.
    """
    if sync_batchnorm and share()[1] > 1:
        if not next(module.parameters()).is_cuda:
            raise PosekitError("sync_batchnorm=True needs GPUs: PyTorch has it for them alone")
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    # A network may leave parameters out: LPM on single frames has no recurrent step. Those are
    # found in the first pass, and are the same in every pass of every network here.
    return DistributedDataParallel(module, static_graph=True) if share()[1] > 1 else module


def share_buffers(model: nn.Module) -> None:
    """Give all processes the buffers of the first one."""
    if share()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def from_first(make: Callable[[], Any]) -> Any:
    """What `make` returns in the first process, in all of them; it is called there only."""
    if share()[1] == 1:
        return make()
    box = [make() if is_first() else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: Any) -> list[Any]:
    """The values of all processes, in their order, in the first one; nothing in the others."""
    number, count = share()
    if count == 1:
        return [value]
    values = [None] * count if number == 0 else None
    dist.gather_object(value, values, dst=0)
    return values or []


def mean(value: Tensor) -> Tensor:
    """The mean of a number over the processes; `value` becomes their sum."""
    count = share()[1]
    if count > 1:
        dist.all_reduce(value)
    return value / count
