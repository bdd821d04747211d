"""Training steps on a CPU: bf16 where it has the instructions, and threads on a busy machine."""

import os
import subprocess
import sys
import time

import torch
from torch import Tensor

from posekit.config.machine import choose_machine
from posekit.models import create_model, describe

from .harness import NotHere, Pair, Way, row

BUSY, SECONDS = 6, 8


@row("train_bf16_simplebaseline", goal=1.7, against="eager fp32", rounds=5)
def train_bf16_simplebaseline() -> Pair:
    return _in_bf16("pose_resnet_50", torch.rand(2, 3, 256, 192))


@row("train_bf16_hrnet", goal=1.7, against="eager fp32", rounds=5)
def train_bf16_hrnet() -> Pair:
    return _in_bf16("hrnet_w32", torch.rand(2, 3, 256, 192))


@row("train_bf16_lpm", goal=1.8, against="eager fp32", rounds=5)
def train_bf16_lpm() -> Pair:
    return _in_bf16("lpm", torch.rand(1, 4, 3, 128, 128), torch.rand(1, 1, 128, 128))


def _in_bf16(name: str, *inputs: Tensor) -> Pair:
    """Forward and backward in fp32, and as `precision=auto` with the default memory format."""
    machine = choose_machine("cpu", fast_bf16=describe(name).fast_bf16)
    if machine.precision != "bf16":
        raise NotHere("this CPU has no bf16 instructions")
    model, ours = (create_model(name).train() for _ in range(2))
    ours.load_state_dict(model.state_dict())
    ours.to(memory_format=torch.channels_last)

    def step(model: torch.nn.Module, precision: str) -> float:
        with machine.training_in(precision).autocast(training=True):
            maps = model(*inputs)
        model.zero_grad()
        loss = (maps.float() - 1).square().mean()
        loss.backward()
        return loss.item()

    def equal(eager: float, ours: float) -> str:
        away = abs(ours / eager - 1)
        assert away < 0.02, f"losses {eager:.4g} and {ours:.4g}"
        return f"losses within {away:.0e} of each other"

    sizes = " and ".join(" x ".join(map(str, one.shape)) for one in inputs)
    data = f"{name}, {sizes}, forward and backward"
    return Pair(lambda: step(model, "fp32"), lambda: step(ours, machine.precision), equal, data)


@row("busy_machine", goal=0.6, against="one thread, as busy", rounds=3)
def busy_machine() -> Pair:
    data = f"LPM step of the sample's size, {BUSY} busy processes beside, seconds of the clock"
    clean = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}

    def way(**environment: str) -> Way:
        command = [sys.executable, "-m", __name__]
        asked = {"env": clean | environment, "stdout": subprocess.PIPE, "text": True}
        return lambda: float(subprocess.run(command, check=True, **asked).stdout)

    return Pair(way(OMP_NUM_THREADS="1"), way(), lambda *_: "the same step", data, cost="value")


def _busy_step() -> float:
    """Seconds a step beside busy processes, with the threads that this process has."""
    choose_machine("cpu")
    model = create_model("lpm", width=0.125).to(memory_format=torch.channels_last)
    frames, centre = torch.rand(8, 4, 3, 72, 72), torch.rand(8, 1, 72, 72)
    loop = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(loop) for _ in range(BUSY)]
    try:
        steps, start = 0, time.perf_counter() + 1  # a second for all to have begun
        while (now := time.perf_counter()) < start + SECONDS:
            model(frames, centre).square().mean().backward()
            if now < start:
                steps, first = 0, time.perf_counter()
            steps += now >= start
        return (time.perf_counter() - first) / steps
    finally:
        for other in others:
            other.kill()


if __name__ == "__main__":
    print(_busy_step())
