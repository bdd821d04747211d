"""Checkpoints: which are written, and what is refused."""

import os

import pytest
import torch

from posekit.errors import PosekitError
from posekit.train.checkpoints import Checkpoints


def state(epoch):
    model = {"weight": torch.full((2,), float(epoch))}
    return {"model": model, "epoch": epoch, "best": 0.5, "optimiser": {}, "scaler": {}}


def test_the_best_epoch_stays_and_the_last_one_goes_on(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints" / "round-1")
    assert checkpoints.load_last() is None
    best = []
    for epoch, is_best in ((1, False), (2, True), (3, False)):  # there is always a best one
        checkpoints.save(state(epoch), best=is_best)
        best.append(checkpoints.best_weights()["weight"][0].item())
        last = checkpoints.load_last()
        assert last["epoch"] == epoch and torch.equal(
            *(s["model"]["weight"] for s in (last, state(epoch)))
        )
    assert best == [1, 2, 2]
    assert torch.load(checkpoints.best, weights_only=True).keys() == {"model", "epoch"}
    names = sorted(path.name for path in checkpoints.last.parent.iterdir())
    assert names == ["best.pt", "last.pt"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("last.pt", b"", "damaged"),
        ("best.pt", b"PK", "damaged"),
        ("best.pt", None, "missing"),
        ("last.pt", [1], "no model"),
        ("best.pt", {"model": {}}, "no epoch"),
        ("last.pt", state(1) | {"epoch": "x"}, "no epoch"),
        ("last.pt", {n: v for n, v in state(1).items() if n != "scaler"}, "no scaler"),
        ("last.pt", state(1) | {"best": None}, "no best"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, name, content, problem):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1), best=True)
    if content is None:
        (tmp_path / name).unlink()
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(PosekitError, match=f"{name} cannot be used.*{problem}.*resume=never"):
        checkpoints.load_last()


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_runs_no_code(tmp_path):
    checkpoints, harm = Checkpoints(tmp_path), tmp_path / "harm"
    checkpoints.save(state(1), best=True)
    torch.save(state(1) | {"optimiser": {0: Harm(harm)}}, checkpoints.last)
    with pytest.raises(PosekitError, match="cannot be used"):
        checkpoints.load_last()
    assert not harm.exists()
