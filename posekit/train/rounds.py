"""Iterative training: whole schedules in a row, each from the best weights of the one before.

LPN (Zhang et al. 2019) is trained like this, seven times over: a small network that starts from
scratch gains by having its learning rate reset. One round is ordinary training.
"""

from pathlib import Path

from . import distributed
from .checkpoints import Checkpoints
from .trainer import Trainer


def fit_rounds(trainer: Trainer, folder: Path) -> Checkpoints | None:
    """Train for the rounds of the settings, or go on inside the round where training stopped.

    Every round has a fresh optimiser and runs through the whole schedule of the learning rate.

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
