"""Train: epochs, validation, checkpoints, the log and its curves."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import DataLoader

from ...data import dataset
from ...data.scores import validation_score
from ...errors import PosekitError, Stopped
from ...inference.evaluate import predict
from ...inference.stored_settings import noted_settings
from ...reporting import figures
from ...reporting.run_folder import Run
from ...train import distributed
from ...train.fine_tuning import FrozenBackbone
from ...train.hooks import Hook, Log, Progress, TensorBoard
from ...train.trainer import Trainer, fit_rounds
from ...weights import RUN_WEIGHTS, save_weights
from .experiment import Experiment
from .live import watched
from .pictures import DebugPictures
from .processes import train_in_processes


def train(
    exp: Experiment, hooks: Sequence[Hook] = (), trainer: type[Trainer] = Trainer
) -> pd.DataFrame:
    """Train, or continue an interrupted training; the best epoch's weights are kept.

    Prints one line an epoch. Ctrl-C or the interrupt button ends it; the same cell goes on.

    Args:
        exp: after `build`.
        hooks: called besides those that write the log and show the progress.
        trainer: a subclass changes how the network is trained.

    Returns:
        The log, one row an epoch.

    Raises:
        Stopped: the training was interrupted; whole epochs are kept.
    """
    run, share = exp.run, distributed.share()
    run.take_up()
    if exp.settings.num_processes > 1 and share[1] == 1:
        if hooks or trainer is not Trainer:
            raise PosekitError("num_processes > 1 trains without hooks and trainers of a notebook")
        with _stopping(exp):
            train_in_processes(exp)
        exp.log = Log(run.folder / "log.jsonl")
        return pd.DataFrame(exp.log.records)
    exp.log = Log(run.folder / "log.jsonl")
    if run.resumed:
        print(f"continuing {run.folder.name}")
    if exp.settings.frozen_epochs:
        hooks = [FrozenBackbone(exp.settings, exp.train.skeleton), *hooks]
    with _stopping(exp), watched(exp, validation_metric(exp)) as live:
        made = trainer(
            task=exp.task,
            batches=exp.batches(exp.train, shuffle=True, share=share),
            score=partial(validation, exp, exp.batches(exp.val, share=share)),
            settings=exp.settings,
            machine=exp.machine,
            hooks=[*(_hooks(exp) if distributed.is_first() else ()), *live, *hooks],
        )
        best = fit_rounds(made, run.folder / "checkpoints")
    if best is not None:
        exp.task.model.load_state_dict(best.best_weights())
        about, joints = exp.about, exp.train.skeleton.address
        metadata = {"paper": about.paper, "colour": about.colour, "skeleton": joints}
        metadata |= {"run": run.folder.name, "data": run.label} | noted_settings(exp.settings)
        save_weights(exp.task.model, run.folder / RUN_WEIGHTS, metadata)
    return pd.DataFrame(exp.log.records)


@contextmanager
def _stopping(exp: Experiment) -> Iterator[None]:
    """Of a training that is interrupted, keep the whole epochs, so that the same cell goes on."""
    fresh = copy.deepcopy(exp.task.model.state_dict())
    try:
        yield
    except KeyboardInterrupt:
        exp.task.model.load_state_dict(fresh)
        exp.run.end("interrupted")
        kept = f"Whole epochs of {exp.run.folder.name} are kept: {exp.run.record.epochs_done}"
        raise Stopped(f"{kept}; the same cell or command goes on from there.") from None


class _RunRecord(Hook):
    """Keeps epochs and seconds in the run's metrics.json."""

    def __init__(self, run: Run, log: Log) -> None:
        self.run = run
        self.log = log

    def on_start(self, epochs: int) -> None:
        seconds = sum(r["seconds"] for r in self.log.records)
        self.run.update(epochs_done=epochs, train_seconds=seconds)

    def on_epoch(self, record: dict[str, Any]) -> None:
        self.on_start(record["epoch"])


def _hooks(exp: Experiment) -> list[Hook]:
    """The hooks that write and print, the log before those that read it."""
    settings, run, log = exp.settings, exp.run, exp.log
    progress = Progress(settings.rounds * settings.epochs, validation_metric(exp))
    hooks: list[Hook] = [log, progress, _RunRecord(run, log)]
    board = TensorBoard(run.folder / "tensorboard") if settings.tensorboard else None
    hooks += [board] if board else []
    return [*hooks, DebugPictures(exp, board)] if settings.debug_every else hooks


def validation(exp: Experiment, batches: DataLoader) -> float:
    """The score of the held-out clips, percent; every process predicts its share of them.

    Args:
        exp: with `task`, `val` and `machine`.
        batches: this process's share of the clips in `val`.
    """
    clips = exp.val
    keypoints = predict(exp.task, batches, exp.machine).keypoints
    number, processes = distributed.share()
    # A clip that comes twice to fill up the shares counts in the process that it belongs to.
    rows = np.flatnonzero(clips.clip_of_row % processes == number)
    for part, found in distributed.gather((rows, keypoints[rows])):
        keypoints[part] = found
    return distributed.from_first(lambda: validation_score(clips, keypoints))


def validation_metric(exp: Experiment) -> str:
    """The name of the validation score."""
    return f"val {dataset(exp.settings.scored).scorer.validation_name}"


def curves(exp: Experiment) -> Any:
    """Figure of loss, validation score and learning rate."""
    spec, records = dataset(exp.settings.scored), exp.log.records
    metric, unit = validation_metric(exp), 0.01 if spec.scorer.name == "OKS" else 1.0
    records = [r | {"val": unit * r["val"]} if "val" in r else r for r in records]
    title = f"Training of {exp.settings.network} on {exp.run.label}"
    figure = figures.curves(records, metric.removesuffix(", percent"), title)
    figure.axes[1].set_ylim(0, 100 * unit)
    return exp.run.figure("3-curves", figure, "Loss, validation score, learning rate.")
