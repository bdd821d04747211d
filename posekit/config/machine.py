"""Where and how a network computes: device, precision, threads, loading processes."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from ..errors import PosekitError

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """Where and how the network computes.

    Attributes:
        device: of the network.
        dtype: autocast type, float32 for none.
        workers: loading processes.
        training_dtype: autocast type of training steps where it is another one.
    """

    device: torch.device
    dtype: torch.dtype
    workers: int
    training_dtype: torch.dtype | None = None

    @property
    def precision(self) -> str:
        """Of training steps: fp32, bf16 or fp16."""
        dtypes = {dtype: name for name, dtype in _TYPES.items()}
        return dtypes[self.training_dtype or self.dtype]

    def training_in(self, precision: str) -> Self:
        """The same machine with training steps in this precision; scores are as they were."""
        return replace(self, training_dtype=_TYPES[precision])

    def autocast(self, training: bool = False) -> contextlib.AbstractContextManager:
        """The precision context of a forward pass."""
        dtype = (self.training_dtype if training else None) or self.dtype
        if dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype)

    def put(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Move a batch to the device."""
        return {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}

    def memory_mb(self) -> float:
        """Peak memory: of the GPU where there is one, else of this process; 0 if unknown."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        if sys.platform == "win32":
            return 0.0
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def choose_machine(
    device: str = "auto", precision: str = "auto", workers: int = -1, fast_bf16: bool = False
) -> Machine:
    """Choose device, precision, threads and loading processes where they are left to us.

    A GPU is used when there is one, with bfloat16 where it is fast (float16 on older ones). A CPU
    computes in float32, but trains in bfloat16 where it has instructions for it and the network
    gains by them: a rule that times nothing, so that a seed has one log on one kind of machine.
    One loading process fewer than there are processors, none on two, at most 24 beside a GPU (a
    sample takes 3 ms of one, an H200 a few thousand of them a second) and 8 else.

    Args:
        device: auto, cpu, cuda, cuda:1, mps.
        precision: auto, fp32, bf16, fp16.
        workers: loading processes; -1 for auto.
        fast_bf16: of the network's `Description`.

    Raises:
        PosekitError: the wanted device is not there.
    """
    if device == "auto":
        mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise PosekitError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}): set device to "
            "auto, cpu or cuda"
        ) from error
    ours, training = precision == "auto", None
    if ours and place.type == "cuda":
        precision = "bf16" if torch.cuda.get_device_capability(place) >= (8, 0) else "fp16"
    elif ours and place.type == "cpu" and fast_bf16 and _cpu_has_bf16():
        training = torch.bfloat16
    torch.backends.cudnn.benchmark = place.type == "cuda"  # crops are of one size
    cores = usable_cores()
    if "OMP_NUM_THREADS" not in os.environ and cores < torch.get_num_threads():
        torch.set_num_threads(cores)
    if workers < 0:
        workers = 0 if cores <= 2 else min(24 if place.type == "cuda" else 8, cores - 1)
    return Machine(place, _TYPES.get(precision, torch.float32), workers, training)


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    found = getattr(torch.cpu, "get_capabilities", dict)()  # not in old releases
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16"))


def usable_cores() -> int:
    """Processors that this process may use: those it is bound to, as far as its quota allows."""
    bound = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if bound else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas()])))


def _quotas(root: Path = Path("/")) -> Iterator[float]:
    """Processors' time that Linux gives the control groups that this process is in (version 2)."""
    with contextlib.suppress(OSError):
        own = Path((root / "proc/self/cgroup").read_text().rpartition("0::")[2].strip())
        for group in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # none, or "max"
                limit, period = (root / f"sys/fs/cgroup{group}/cpu.max").read_text().split()
                yield int(limit) / int(period)
