"""Where and how a network computes: device, precision, loading processes."""

import contextlib
import os
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PosekitError


@dataclass(frozen=True)
class Machine:
    """Where and how the network computes.

    Attributes:
        device: of the network.
        dtype: autocast type, float32 for none.
        workers: loading processes.
    """

    device: torch.device
    dtype: torch.dtype
    workers: int

    def autocast(self) -> contextlib.AbstractContextManager:
        """The precision context of a forward pass."""
        if self.dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

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


def choose_machine(device: str = "auto", precision: str = "auto", workers: int = -1) -> Machine:
    """Choose device, precision and loading processes where they are left to us.

    A GPU is used when there is one, with bfloat16 where it is fast (float16 on older ones); a CPU
    computes in float32. One loading process fewer than there are cores, none on two cores.

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
    if precision == "auto" and place.type == "cuda":
        precision = "bf16" if torch.cuda.get_device_capability(place) >= (8, 0) else "fp16"
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if workers < 0:
        shared = hasattr(os, "sched_getaffinity")  # of all cores, those this process may run on
        cores = len(os.sched_getaffinity(0)) if shared else os.cpu_count() or 1
        workers = 0 if cores <= 2 else min(8, cores - 1)
    return Machine(place, types.get(precision, torch.float32), workers)
