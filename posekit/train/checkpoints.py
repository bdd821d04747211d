"""Checkpoints: written whole or not at all, read without pickle."""

from pathlib import Path
from typing import Any

import torch

from ..errors import PosekitError
from ..files.writing import replacing


class Checkpoints:
    """The `checkpoints/` folder of a run: `last.pt` to continue from, `best.pt` to keep.

    An interrupted write leaves the previous checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.last = folder / "last.pt"
        self.best = folder / "best.pt"

    def save(self, state: dict[str, Any], best: bool) -> None:
        """Write `last.pt`, and `best.pt` too if this is the best so far."""
        self.last.parent.mkdir(parents=True, exist_ok=True)
        if best or not self.best.exists():
            _write({"model": state["model"], "epoch": state["epoch"]}, self.best)
        _write(state, self.last)

    def load_last(self) -> dict[str, Any] | None:
        """The state to continue from, None if there is none."""
        return _read(self.last) if self.last.exists() else None

    def best_weights(self) -> dict[str, torch.Tensor]:
        """The state dict of the best epoch."""
        return _read(self.best)["model"]


def _write(state: dict[str, Any], path: Path) -> None:
    with replacing(path) as partial:
        torch.save(state, partial)


def _read(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise PosekitError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): delete it, or set "
            "resume=never, to train from the start"
        ) from error
