"""What watches a training: the log, the progress on the screen, TensorBoard."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import PosekitError
from ..files.progress import bar, clock, is_due, say
from ..files.writing import write_text, writing


class Hook:
    """Called by the trainer as training goes on; a subclass defines the methods that it needs.

    Epochs are counted from 1, over all rounds where there are several.

    Attributes:
        trainer: the `train.trainer.Trainer` that calls it, from then on.
    """

    trainer: Any

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
    """`log.jsonl`, one line an epoch, on the disk before training goes on.

    Of a file that is there, damaged lines are left out: a crash may have cut one off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line)
                if _is_record(record):
                    self.records.append(record)

    def on_start(self, epochs: int) -> None:
        """Drop what came after the checkpoint that training continues from."""
        self.records = [r for r in self.records if r["epoch"] <= epochs]
        write_text(self.path, "".join(f"{json.dumps(r)}\n" for r in self.records))

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Append a record."""
        self.records.append(record)
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _is_record(record: Any) -> bool:
    """Whether a line of the log has what every epoch has, all of it numbers."""
    return (
        isinstance(record, dict)
        and record.keys() >= {"epoch", "loss", "lr", "seconds"}
        and all(type(value) in (int, float) for value in record.values())
    )


class Progress(Hook):
    """A line an epoch; within one a moving bar where a front end shows it, else lines.

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
        self.epoch, self.steps = epoch, steps
        self.bar = bar(None, f"epoch {epoch}/{self.epochs}", steps)

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """Move the bar, a full one vanishes; without one, print a line when it is due."""
        self.bar.update()
        if step + 1 == self.steps:
            self.bar.close()
        elif self.bar.disable and is_due():
            step += 1
            done = self.epoch - 1 + step / self.steps
            self._say(self.epoch, done, f"{step:,} of {self.steps:,} steps  loss {loss:.4g}")

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Print the line."""
        score = f"  {self.metric} {record['val']:5.1f}" if "val" in record else ""
        stage = f"round {record['round']}  " if "round" in record else ""
        text = (
            f"loss {record['loss']:.4g}{score}  lr {record['lr']:.2e}  "
            f"{record['clips_per_second']:g} clips/s  {record['memory_mb']:.0f} MB"
        )
        self._say(record["epoch"], record["epoch"], text, stage)

    def _say(self, epoch: int, done: float, text: str, stage: str = "") -> None:
        """Print a line that ends with the time left, at the pace of this process until now."""
        pace = (time.monotonic() - self.started) / (done - self.first + 1)
        left = clock(pace * (self.epochs - done))
        say(f"{stage}epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}  {text}  {left} left")


class TensorBoard(Hook):
    """Every number of every record, and of every so many iterations, as TensorBoard events.

    Raises:
        PosekitError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PosekitError(
                "tensorboard=True needs the package tensorboard: pip install tensorboard"
            ) from error
        self.writer = SummaryWriter(folder)

    def on_epoch_start(self, epoch: int, steps: int) -> None:
        """Note where the iterations of the epoch begin."""
        self.before = (epoch - 1) * steps

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """Write loss, learning rate and accuracy of an iteration."""
        iteration, trainer = self.before + step, self.trainer
        if iteration % trainer.settings.tensorboard_every == 0:
            accuracy = trainer.accuracy(batch)
            points = {"loss": loss.item(), "lr": trainer.lr, "accuracy": accuracy}
            for name, value in points.items():
                self.writer.add_scalar(f"iteration/{name}", value, iteration)

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Write a point of each curve."""
        for name in record.keys() - {"epoch"}:
            self.writer.add_scalar(name, record[name], record["epoch"])
        self.writer.flush()
