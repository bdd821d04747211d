"""Training in several processes, one a device, as torchrun starts them; one process needs nothing.

Every process runs the same training on its share of each batch and the gradients are averaged, so
that the batch of the recipe stays what it is. The first process alone validates and writes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

_PATIENCE = timedelta(hours=12)  # the others wait while the first one validates


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes that torchrun has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def device() -> str:
    """The device of this process, for the parameter `device`."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "auto"


def place() -> tuple[int, int]:
    """The number of this process, from 0, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def first() -> bool:
    """Whether this process is the one that validates and writes."""
    return place()[0] == 0


def from_first(make: Callable[[], Any]) -> Any:
    """What `make` returns in the first process, in all of them; it is called there only."""
    if place()[1] == 1:
        return make()
    box = [make() if first() else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def average_gradients(model: nn.Module) -> None:
    """Replace every gradient by its mean over the processes; a missing one counts as 0."""
    count = place()[1]
    if count == 1:
        return
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    parts = (together / count).split([gradient.numel() for gradient in gradients])
    for p, part in zip(trained, parts, strict=True):
        p.grad = part.view_as(p)


def mean(value: Tensor) -> Tensor:
    """The mean of a number over the processes."""
    count = place()[1]
    if count == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value / count
