"""Checkpoints: written whole or not at all, read without pickle."""

import io
from pathlib import Path
from typing import Any

import torch

from ..errors import PosekitError
from ..files.paths import regular_file
from ..files.writing import write_bytes, writing

_WEIGHTS = {"model": dict, "epoch": int}  # what a checkpoint holds
_STATE = _WEIGHTS | {"best": float, "optimiser": dict, "scaler": dict}


class Checkpoints:
    """The `checkpoints/` folder of a run: `last.pt` to continue from, `best.pt` to keep.

    An interrupted write leaves the previous checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.last = folder / "last.pt"
        self.best = folder / "best.pt"

    def save(self, state: dict[str, Any], best: bool) -> None:
        """Write `last.pt`, and `best.pt` too if this is the best so far."""
        with writing(self.last):
            self.last.parent.mkdir(parents=True, exist_ok=True)
        if best or not self.best.exists():
            _write({"model": state["model"], "epoch": state["epoch"]}, self.best)
        _write(state, self.last)

    def load_last(self) -> dict[str, Any] | None:
        """The state to continue from, None if there is none.

        Raises:
            PosekitError: this checkpoint, or that of the best epoch, is damaged.
        """
        if not self.last.exists():
            return None
        state = _read(self.last, _STATE)
        self.best_weights()
        return state

    def best_weights(self) -> dict[str, torch.Tensor]:
        """The state dict of the best epoch."""
        return _read(self.best, _WEIGHTS)["model"]


def unusable(path: Path, problem: object) -> PosekitError:
    """The error of a checkpoint that training cannot go on from."""
    return PosekitError(
        f"checkpoint {path} cannot be used ({problem}): delete {path.parent}, or set "
        "resume=never, to train from the start"
    )


def _write(state: dict[str, Any], path: Path) -> None:
    content = io.BytesIO()  # onto the disk by Python, which says what a disk refuses
    torch.save(state, content)
    write_bytes(path, content.getbuffer())


def _read(path: Path, kinds: dict[str, type]) -> dict[str, Any]:
    try:
        regular_file(path, "checkpoint")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise unusable(path, "it is damaged" if path.exists() else "it is missing") from error
    for name, kind in kinds.items():
        if not isinstance(state, dict) or not isinstance(state.get(name), kind):
            raise unusable(path, f"it has no {name}")
    return state
