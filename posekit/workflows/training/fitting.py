"""Train: epochs, validation, checkpoints, the log and its curves."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.knobs import NOTED, Recipe
from ...data.clips import loader
from ...errors import PosekitError
from ...inference.evaluate import predict, validation_score
from ...metrics import pck
from ...reporting import figures
from ...train import distributed
from ...train.progress import bar, epoch_lines
from ...train.rounds import fit_rounds, rounds_of
from ...train.trainer import Log
from ...weights import RUN_WEIGHTS, save_weights
from .experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd


def train(experiment: Experiment) -> "pd.DataFrame":
    """Train, or continue an interrupted training; the best epoch's weights are kept.

    Prints one line an epoch. Returns the log as a table.
    """
    import pandas as pd

    recipe, machine, run = experiment.recipe, experiment.machine, experiment.run
    pin = machine.device.type == "cuda"
    make = partial(loader, batch_size=recipe.batch_size, workers=machine.workers, pin=pin)
    batches = make(experiment.train, shuffle=True, share=distributed.place())
    held_out = make(experiment.val, shuffle=False)
    show = epoch_lines(rounds_of(recipe) * recipe.epochs, validation_metric(recipe))
    writer = _tensorboard(run.folder) if recipe.tensorboard else None

    def validate() -> float:
        found = predict(experiment.task, held_out, machine)
        return validation_score(experiment.val, found.keypoints)

    def report(record: dict[str, Any]) -> None:
        if distributed.first():
            show(record)
        seconds = sum(r["seconds"] for r in experiment.log.records)
        run.update(status="running", epochs_done=record["epoch"], train_seconds=seconds)
        if writer:
            for key in record.keys() - {"epoch"}:
                writer.add_scalar(key, record[key], record["epoch"])

    experiment.log = Log(run.folder / "log.jsonl")
    if run.resumed:
        print(f"continuing {run.folder.name}")
    best = fit_rounds(
        experiment.task,
        batches,
        validate,
        recipe,
        machine,
        run.checkpoints,
        experiment.log,
        report,
        bar,
    )
    if best is None:
        return pd.DataFrame(experiment.log.records)
    model = experiment.task.model
    model.load_state_dict(best.best_weights())
    about = model.description
    save_weights(
        model,
        run.folder / RUN_WEIGHTS,
        {
            "model": about.name,
            "paper": about.paper,
            "skeleton": experiment.train.skeleton.name,
            "colour": about.colour,
            "run": run.folder.name,
            "data": run.label,
            **_noted(recipe),
        },
    )
    return pd.DataFrame(experiment.log.records)


def _noted(recipe: Recipe) -> dict[str, str]:
    """What a weight file keeps of its recipe."""
    values = {n: v for n, v in recipe.model_dump(mode="json").items() if n in NOTED}
    return {n: v if isinstance(v, str) else json.dumps(v) for n, v in values.items()}


def validation_metric(recipe: Recipe) -> str:
    known = pck.PROTOCOLS.get(recipe.dataset)
    return f"val {known.name}" if known else "val mean OKS, percent"


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PosekitError(
            "tensorboard=True needs the package tensorboard: pip install tensorboard"
        ) from error
    return SummaryWriter(folder / "tensorboard")


def curves(experiment: Experiment) -> Any:
    """Figure of loss, validation score and learning rate."""
    metric = validation_metric(experiment.recipe)
    title = f"Training of {experiment.recipe.network} on {experiment.run.label}"
    figure = figures.curves(experiment.log.records, metric, title)
    return experiment.run.figure("3-curves", figure, "Loss, validation score, learning rate.")
