"""The training loop, for image and video networks alike, on any device.

A training is a schedule of epochs (`fit`); an epoch is a series of steps (`train_epoch`); a step
updates the weights once (`train_step`). After an epoch the network is validated (`validate`) and a
checkpoint is written (`state`, `resume`). A subclass may replace any of them; hooks watch (see
`train.hooks`).
"""

import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..config.families import TrainingSettings
from ..config.machine import Machine
from ..errors import PosekitError, loading
from ..models.families.task import Task
from . import distributed
from .checkpoints import Checkpoints, unusable
from .hooks import Hook
from .optimiser import lr_factor, make_optimiser

_CHECK_EVERY = 50  # steps between two checks of the loss, each of which waits for the device


class TaskLoss(nn.Module):
    """The training loss of a batch as a module, which DistributedDataParallel can wrap.

    Its parameters are those of the network.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model = task.model
        self.task = task

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss, a scalar, of a batch on the device."""
        return self.task.loss(self.task.outputs(batch["images"]), batch)


@dataclass(eq=False)
class Trainer:
    """Trains a network.

    Every epoch draws its random numbers from (seed, epoch) alone, so that a resumed training
    repeats what an uninterrupted one does.

    Attributes:
        task: the network with its targets, loss and decoding.
        batches: from `posekit.data.clips.loader`; the share of this process where there are
            several.
        score: scores the network on the held-out clips, percent; called in all processes.
        settings: optimiser, schedule, epochs, clip_grad, eval_every, seed.
        machine: device and precision.
        hooks: called in this order; those that write belong to the first process.
    """

    task: Task
    batches: DataLoader
    score: Callable[[], float]
    settings: TrainingSettings
    machine: Machine
    hooks: Sequence[Hook] = ()

    def __post_init__(self) -> None:
        self.loss = distributed.parallel(TaskLoss(self.task), self.settings.sync_batchnorm)
        for hook in self.hooks:
            hook.trainer = weakref.proxy(self)  # a circle would keep a run's folder locked

    @loading()
    def fit(self, checkpoints: Checkpoints, round_number: int | None = None) -> None:
        """Train for one schedule, or go on where an interrupted training stopped.

        Args:
            checkpoints: where `last.pt` and `best.pt` go.
            round_number: which of several schedules this is, from 1, see `fit_rounds`; records
                and random numbers count epochs over all of them.

        Raises:
            PosekitError: the loss is no longer a number, or a checkpoint cannot be read.
        """
        done = self.resume(checkpoints)
        before = (round_number - 1) * self.settings.epochs if round_number else 0
        for hook in self.hooks:
            hook.on_start(before + done)
        for epoch in range(done, self.settings.epochs):
            started, number, improved = time.perf_counter(), before + epoch + 1, False
            loss, clips_per_second = self.train_epoch(epoch, number)
            record = {"epoch": number, "loss": loss}
            if round_number:
                record["round"] = round_number
            if (epoch + 1) % self.settings.eval_every == 0 or epoch + 1 == self.settings.epochs:
                record["val"] = self.validate()
                improved = record["val"] > self.best
                self.best = max(self.best, record["val"])
            record |= {
                "lr": self.lr,
                "seconds": round(time.perf_counter() - started, 3),
                "clips_per_second": round(clips_per_second, 1),
                "memory_mb": round(self.machine.memory_mb(), 1),
            }
            for hook in self.hooks:
                hook.on_epoch(record)
            if distributed.is_first():
                checkpoints.save(self.state(epoch + 1), improved)

    def train_epoch(self, epoch: int, number: int) -> tuple[float, float]:
        """Show the network all training clips once.

        Args:
            epoch: of the schedule, from 0.
            number: of the epoch over all rounds, from 1.

        Returns:
            The mean loss of the steps, and clips a second over all processes.
        """
        rank, processes = distributed.share()
        self.batches.sampler.epoch = number - 1
        batches = iter(self.batches)
        torch.manual_seed(self.settings.seed * 1_000_003 + number - 1 + rank * 99_991)
        # A loader draws a number when it starts, and none when its processes go on: drawn for both.
        torch.empty((), dtype=torch.int64).random_()
        self.task.model.train()
        steps, clips, started = len(self.batches), 0, time.perf_counter()
        total = torch.zeros((), device=self.machine.device)
        for hook in self.hooks:
            hook.on_epoch_start(number, steps)
        for step, batch in enumerate(batches):
            factor = lr_factor(self.settings, epoch * steps + step, self.settings.epochs * steps)
            for group in self.optimiser.param_groups:
                group["lr"] = group["base_lr"] * factor
            self.lr = self.settings.lr * factor
            batch = self.machine.put(batch)
            loss = self.train_step(batch)
            total += loss
            clips += len(batch["rows"])
            if step % _CHECK_EVERY == 0 or step == steps - 1:
                self._check(f"the loss (epoch {number}, iteration {step + 1})", [total])
            for hook in self.hooks:
                hook.on_step(step, batch, loss)
        self._check(f"a weight (epoch {number})", self.task.model.state_dict().values())
        seconds = time.perf_counter() - started
        return distributed.mean(total).item() / steps, clips * processes / seconds

    @staticmethod
    def _check(what: str, tensors: Iterable[Tensor]) -> None:
        """Refuse numbers that are not finite."""
        if not torch.stack([tensor.isfinite().all() for tensor in tensors]).all():
            raise PosekitError(
                f"{what} is no longer a number: lower lr, set clip_grad, or use precision=fp32; "
                "the last whole epoch is kept"
            )

    def train_step(self, batch: dict[str, Tensor]) -> Tensor:
        """Update the weights once.

        Args:
            batch: on the device.

        Returns:
            The loss of the batch before the update, a scalar on the device.
        """
        with self.machine.autocast(training=True):
            loss = self.loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.settings.clip_grad:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.task.model.parameters(), self.settings.clip_grad)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return loss.detach()

    @torch.no_grad()
    def look(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the network says of a training batch; training goes on as if it was not asked.

        Returns:
            Heat maps (B, T, K, H, W), and joints (B, T, K, 2) in crop pixels.
        """
        self.task.model.eval()
        with self.machine.autocast():
            maps = self.task.heatmaps(batch["images"]).float()
        self.task.model.train()
        return maps, self.task.decode(maps, tuple(batch["images"].shape[-2:]))[0]

    def accuracy(self, batch: dict[str, Tensor]) -> float:
        """Percent of a batch's annotated joints within a twentieth of the crop's sides (HRNet)."""
        found, (h, w) = self.look(batch)[1], batch["images"].shape[-2:]
        away = (found - batch["keypoints"]) / found.new_tensor([w, h])
        return 100 * (away.norm(dim=-1)[batch["visible"]] < 0.05).float().mean().item()

    def validate(self) -> float:
        """Score the network on the held-out clips, percent; all processes have the same score."""
        distributed.share_buffers(self.task.model)
        return self.score()

    def resume(self, checkpoints: Checkpoints) -> int:
        """Make a fresh optimiser, and load the last checkpoint if there is one.

        Returns:
            How many epochs of the schedule are done.

        Raises:
            PosekitError: the checkpoint is damaged or of another training.
        """
        fp16 = self.machine.precision == "fp16"
        self.optimiser = make_optimiser(self.task.model, self.settings)
        self.scaler = torch.amp.GradScaler(self.machine.device.type, enabled=fp16)
        self.best = -1.0
        state = distributed.from_first(checkpoints.load_last)
        if state is None:
            return 0
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
        except Exception as error:  # PyTorch has no common class for what does not fit
            raise unusable(checkpoints.last, "of another network or optimiser") from error
        if not 1 <= state["epoch"] <= self.settings.epochs:
            raise unusable(checkpoints.last, f"of epoch {state['epoch']}")
        self.best = state["best"]
        return state["epoch"]

    def state(self, epochs: int) -> dict[str, Any]:
        """What a checkpoint after so many epochs of the schedule holds."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {"epoch": epochs, "best": self.best, **parts}

    def _parts(self) -> dict[str, Any]:
        return {"model": self.task.model, "optimiser": self.optimiser, "scaler": self.scaler}


def fit_rounds(trainer: Trainer, folder: Path) -> Checkpoints | None:
    """Train for the rounds of the settings, or go on inside the round where training stopped.

    Rounds are whole schedules in a row, each with a fresh optimiser, from the best weights of the
    one before: LPN (Zhang et al. 2019) is trained like this, seven times over, as a small network
    that starts from scratch gains by having its learning rate reset. One round is ordinary
    training.

    Args:
        trainer: of the network.
        folder: of the checkpoints; several rounds keep theirs in round-1, round-2, ... below it.

    Returns:
        The checkpoints of the round with the best validation score; None in all processes but the
        first, which has them.
    """
    count = trainer.settings.rounds
    names = [f"round-{n + 1}" for n in range(count)] if count > 1 else [""]
    rounds = [Checkpoints(folder / name) for name in names]
    begun = max((n for n, one in enumerate(rounds) if one.last.exists()), default=0)
    for n in range(distributed.from_first(lambda: begun), count):
        if n:  # a round that was interrupted goes on from its own checkpoint instead
            weights = distributed.from_first(rounds[n - 1].best_weights)
            trainer.task.model.load_state_dict(weights)
        trainer.fit(rounds[n], round_number=n + 1 if count > 1 else None)
    if not distributed.is_first():
        return None
    return max(rounds, key=lambda one: one.load_last()["best"])
