"""The training loop, for image and video networks alike, on any device."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..config.knobs import Recipe
from ..config.machine import Machine
from ..errors import PosekitError
from ..models.families.task import Task
from . import distributed
from .checkpoints import Checkpoints
from .optimiser import lr_factor, make_optimiser, set_lr

_CHECK_EVERY = 50  # iterations between two looks at the loss, each of which waits for the device


class Log:
    """`log.jsonl`, one line an epoch, flushed as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            with contextlib.suppress(json.JSONDecodeError):  # a line that a crash cut off
                self.records.extend(map(json.loads, lines))

    def keep(self, epochs: int) -> None:
        """Forget what came after the checkpoint that training continues from."""
        self.records = [r for r in self.records if r["epoch"] <= epochs]
        self.path.write_text("".join(f"{json.dumps(r)}\n" for r in self.records), encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """Append a record."""
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def fit(
    task: Task,
    batches: DataLoader,
    validate: Callable[[], float],
    recipe: Recipe,
    machine: Machine,
    checkpoints: Checkpoints,
    log: Log,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    bar: Callable[[DataLoader, str], Any] = lambda batches, title: batches,
    round_number: int | None = None,
) -> None:
    """Train a network for one schedule, or go on where an interrupted training stopped.

    Every epoch draws its random numbers from (seed, epoch) alone, so that a resumed run repeats
    what an uninterrupted one does.

    Args:
        task: the network with its targets, loss and decoding.
        batches: from `posekit.data.loader`.
        validate: scores the network on the validation part, percent.
        recipe: optimiser, schedule, epochs, clip_grad, eval_every, seed.
        machine: device and precision.
        checkpoints: where `last.pt` and `best.pt` go.
        log: gets a record an epoch: epoch, loss, round, val, lr, and seconds, clips_per_second,
            memory_mb.
        report: called with each record.
        bar: wraps the batches of an epoch in a progress bar.
        round_number: which of several schedules this is, from 1, see `train.rounds`; log and random
            numbers count epochs over all of them.

    Raises:
        PosekitError: the loss is no longer a number.
    """
    model = task.model
    optimiser = make_optimiser(model, recipe)
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype is torch.float16)
    done, best = 0, -1.0
    if state := distributed.from_first(checkpoints.load_last):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        scaler.load_state_dict(state["scaler"])
        done, best = state["epoch"], state["best"]
    before = (round_number - 1) * recipe.epochs if round_number else 0
    log.keep(before + done)

    iterations = recipe.epochs * len(batches)
    for epoch in range(done, recipe.epochs):
        number = before + epoch + 1
        torch.manual_seed(recipe.seed * 1_000_003 + number - 1 + distributed.place()[0] * 99_991)
        batches.sampler.epoch = number - 1
        model.train()
        started, total, clips = time.perf_counter(), torch.zeros((), device=machine.device), 0
        for i, batch in enumerate(bar(batches, f"epoch {number}/{before + recipe.epochs}")):
            factor = lr_factor(recipe, epoch * len(batches) + i, iterations)
            set_lr(optimiser, factor)
            with machine.autocast():
                batch = machine.put(batch)
                loss = task.loss(task.outputs(batch["images"]), batch)
            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            distributed.average_gradients(model)
            if recipe.clip_grad:
                scaler.unscale_(optimiser)
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad)
            scaler.step(optimiser)
            scaler.update()
            total += loss.detach()
            clips += len(batch["rows"])
            if i % _CHECK_EVERY == 0 or i == len(batches) - 1:
                _check_finite(total, number, i)
        seconds = time.perf_counter() - started
        record = {"epoch": number, "loss": distributed.mean(total).item() / len(batches)}
        if round_number:
            record["round"] = round_number
        is_best = False
        if (epoch + 1) % recipe.eval_every == 0 or epoch + 1 == recipe.epochs:
            record["val"] = distributed.from_first(validate)
            is_best = record["val"] > best
            best = max(best, record["val"])
        record |= {
            "lr": recipe.lr * factor,
            "seconds": round(time.perf_counter() - started, 3),
            "clips_per_second": round(clips * distributed.place()[1] / seconds, 1),
            "memory_mb": round(machine.memory_mb(), 1),
        }
        log.write(record)
        state = {
            "epoch": epoch + 1,
            "best": best,
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "scaler": scaler.state_dict(),
        }
        if distributed.first():
            checkpoints.save(state, is_best or not checkpoints.best.exists())
        report(record)


def _check_finite(loss: Tensor, epoch: int, iteration: int) -> None:
    if not torch.isfinite(loss):
        raise PosekitError(
            f"the loss is no longer a number (epoch {epoch}, iteration {iteration + 1}): lower "
            "lr, set clip_grad, or use precision=fp32; the last whole epoch is kept"
        )
