"""What watches a training: the log, the progress on the screen, TensorBoard, debug pictures."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.families import TrainingSettings
from ..config.machine import Machine
from ..errors import PosekitError
from ..files.progress import bar, clock
from ..files.writing import write_text
from ..models.families.task import Task
from .optimiser import lr_factor

_NEAR = 0.05  # of the crop's sides


class Hook:
    """Called by the trainer as training goes on; a subclass defines the methods that it needs.

    Epochs are counted from 1, over all rounds where there are several.
    """

    def on_start(self, epochs: int) -> None:
        """A schedule starts, or goes on, after so many whole epochs."""

    def on_epoch_start(self, epoch: int, steps: int) -> None:
        """An epoch of so many steps starts."""

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """The weights have been updated.

        Args:
            step: of the epoch, from 0.
            batch: on the device: images (B, T, 3, h, w) uint8, keypoints, visible, rows, scored.
            loss: of the batch, on the device: to read its value waits for the device.
        """

    def on_epoch(self, record: dict[str, Any]) -> None:
        """An epoch is over; its checkpoint is not written yet.

        Args:
            record: epoch, loss, round (of several), val (where validated), lr, seconds,
                clips_per_second, memory_mb.
        """


class Log(Hook):
    """`log.jsonl`, one line an epoch, flushed as it is written.

    Of a file that is there, the records before the first damaged line are kept: a crash may have
    cut one off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        damage = ValueError, KeyError, TypeError, RecursionError
        with contextlib.suppress(FileNotFoundError, *damage):
            for line in path.read_bytes().splitlines():
                record = json.loads(line)
                int(record["epoch"])
                self.records.append(record)

    def on_start(self, epochs: int) -> None:
        """Drop what came after the checkpoint that training continues from."""
        self.records = [r for r in self.records if r["epoch"] <= epochs]
        write_text(self.path, "".join(f"{json.dumps(r)}\n" for r in self.records))

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Append a record."""
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


class Progress(Hook):
    """A moving bar over the steps of an epoch where a front end shows it, and a line an epoch.

    Args:
        epochs: in all, over all rounds.
        metric: name of the validation score.
    """

    def __init__(self, epochs: int, metric: str) -> None:
        self.epochs = epochs
        self.metric = metric
        self.first: int | None = None  # epoch that this process has started with

    def on_epoch_start(self, epoch: int, steps: int) -> None:
        """Show an empty bar."""
        if self.first is None:
            self.first, self.started = epoch, time.monotonic()
        self.bar = bar(None, f"epoch {epoch}/{self.epochs}", steps)

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """Move the bar; a full one vanishes."""
        self.bar.update()
        if step + 1 == self.bar.total:
            self.bar.close()

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Print the line."""
        epoch, epochs = record["epoch"], self.epochs
        pace = (time.monotonic() - self.started) / (epoch - self.first + 1)
        stage = f"round {record['round']}  " if "round" in record else ""
        score = f"  {self.metric} {record['val']:5.1f}" if "val" in record else ""
        print(
            f"{stage}epoch {epoch:>{len(str(epochs))}}/{epochs}  loss {record['loss']:.4g}{score}  "
            f"lr {record['lr']:.2e}  {record['clips_per_second']:g} clips/s  "
            f"{record['memory_mb']:.0f} MB  {clock(pace * (epochs - epoch))} left",
            flush=True,
        )


class TensorBoard(Hook):
    """Every number of every record, and those of every so many iterations, as TensorBoard events.

    Args:
        folder: of the events.
        settings: the schedule of the learning rate, and `tensorboard_every`.
        accuracy: of the network, percent, on a batch.

    Raises:
        PosekitError: the package tensorboard is not installed.
    """

    def __init__(
        self,
        folder: Path,
        settings: TrainingSettings,
        accuracy: Callable[[dict[str, Tensor]], float],
    ) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PosekitError(
                "tensorboard=True needs the package tensorboard: pip install tensorboard"
            ) from error
        self.writer = SummaryWriter(folder)
        self.settings = settings
        self.accuracy = accuracy

    def on_epoch_start(self, epoch: int, steps: int) -> None:
        """Note where the iterations of the epoch begin."""
        self.before, self.iterations = (epoch - 1) * steps, self.settings.epochs * steps

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """Write loss, learning rate and accuracy of an iteration."""
        iteration = self.before + step
        if iteration % self.settings.tensorboard_every == 0:
            factor = lr_factor(self.settings, iteration % self.iterations, self.iterations)
            points = {"loss": loss.item(), "lr": self.settings.lr * factor}
            for name, value in (points | {"accuracy": self.accuracy(batch)}).items():
                self.writer.add_scalar(f"iteration/{name}", value, iteration)

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Write a point of each curve."""
        for name in record.keys() - {"epoch"}:
            self.writer.add_scalar(name, record[name], record["epoch"])
        self.writer.flush()


class DebugPictures(Hook):
    """Shows the last batch of every so many epochs, after its step.

    Args:
        every: epochs.
        show: of an epoch and its batch.
    """

    def __init__(self, every: int, show: Callable[[int, dict[str, Tensor]], None]) -> None:
        self.every = every
        self.show = show

    def on_epoch_start(self, epoch: int, steps: int) -> None:
        """Note which step is the last one."""
        self.epoch, self.last = epoch, steps - 1

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """Show the batch."""
        if step == self.last and self.epoch % self.every == 0:
            self.show(self.epoch, batch)


@torch.no_grad()
def look(task: Task, batch: dict[str, Tensor], machine: Machine) -> tuple[Tensor, Tensor]:
    """What the network says of a training batch; training goes on as if it had not been asked.

    Returns:
        Heat maps (B, T, K, H, W), and the joints (B, T, K, 2) in crop pixels.
    """
    task.model.eval()
    with machine.autocast():
        maps = task.heatmaps(batch["images"]).float()
    task.model.train()
    return maps, task.decode(maps, tuple(batch["images"].shape[-2:]))[0]


def accuracy(found: Tensor, batch: dict[str, Tensor]) -> float:
    """Percent of the annotated joints within a twentieth of the crop's sides, as HRNet prints it.

    Args:
        found: (B, T, K, 2) crop pixels.
        batch: with keypoints and visible.
    """
    h, w = batch["images"].shape[-2:]
    distance = (found - batch["keypoints"]) / found.new_tensor([w, h])
    right = distance.norm(dim=-1)[batch["visible"]] < _NEAR
    return 100 * right.float().mean().item()
