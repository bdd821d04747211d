"""Iterative training: whole schedules in a row, each from the best weights of the one before.

LPN (Zhang et al. 2019) is trained like this, seven times over: a small network that starts from
scratch gains by having its learning rate reset. One round is ordinary training.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from ..config.knobs import Recipe
from ..models.families.task import Task
from . import distributed
from .checkpoints import Checkpoints
from .trainer import Log, Machine, fit


def fit_rounds(
    task: Task,
    batches: DataLoader,
    validate: Callable[[], float],
    recipe: Recipe,
    machine: Machine,
    folder: Path,
    log: Log,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    bar: Callable[[DataLoader, str], Any] = lambda batches, title: batches,
) -> Checkpoints | None:
    """Train for the recipe's rounds, or go on inside the round where training stopped.

    Every round has a fresh optimiser and runs through the whole schedule of the learning rate.

    Args:
        task: the network with its targets, loss and decoding.
        batches: from `posekit.data.loader`.
        validate: scores the network on the validation part, percent.
        recipe: `rounds` where the paper has them, and what `train.loop.fit` reads.
        machine: device and precision.
        folder: of the checkpoints; several rounds keep theirs in round-1, round-2, ... below it.
        log: gets a record an epoch, epochs counted over all rounds.
        report: called with each record.
        bar: wraps the batches of an epoch in a progress bar.

    Returns:
        The checkpoints of the round with the best validation score; None in all processes but the
        first, which has them.
    """
    count = rounds_of(recipe)
    names = [f"round-{n + 1}" for n in range(count)] if count > 1 else [""]
    kept = [Checkpoints(folder / name) for name in names]
    begun = max((n for n, one in enumerate(kept) if one.last.exists()), default=0)
    for n in range(distributed.from_first(lambda: begun), count):
        if n:  # a round that was interrupted goes on from its own checkpoint instead
            weights = distributed.from_first(kept[n - 1].best_weights)
            task.model.load_state_dict(weights)
        number = n + 1 if count > 1 else None
        fit(
            task, batches, validate, recipe, machine, kept[n], log, report, bar, round_number=number
        )
    if not distributed.first():
        return None
    return max(kept, key=lambda one: one.load_last()["best"])


def rounds_of(recipe: Recipe) -> int:
    """How many schedules a recipe has; one where its paper knows no rounds."""
    return getattr(recipe, "rounds", 1)
