"""Iterative training: rounds follow from one another, and resume exactly."""

import pytest
import torch

from posekit import data
from posekit.config.machine import choose_machine
from posekit.config.resolve import resolve
from posekit.data.clips import Clips, loader
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.data.transforms import NormalRotation, NormalScale, RandomFlip
from posekit.models import create_model
from posekit.models.families.top_down import TopDownTask
from posekit.train.hooks import Hook, Log
from posekit.train.trainer import Trainer, fit_rounds

TIMES = {"seconds", "clips_per_second", "memory_mb"}
SCORES = [10.0, 30.0, 40.0, 20.0]  # of the epochs: the best of round 1 is its last, of 2 its first
ITERATIONS = 2


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def people():
    root = ensure_sample("MPII", smoke=True)
    found = data.load("MPII", "train", root)
    return found.rows(range(4 * ITERATIONS))


def settings_of(**given):
    given = {"dataset": "MPII", "source": "sample", "epochs": 2, "rounds": 2, **given}
    given |= {"eval_every": 1, "device": "cpu", "optimiser": "adam", "schedule": "onecycle"}
    return resolve("lpn", given).settings


def train(folder, people, settings, die_in_epoch=None):
    """Train a tiny LPN in rounds, perhaps dying inside an epoch."""
    folder.mkdir(exist_ok=True)
    joints, size = people.skeleton, (32, 32)
    shake = [NormalScale(0.2), NormalRotation(20.0), RandomFlip(0.5)]
    framing = Framing(size, 1.25, half_pixel=False, fill=0)
    clips = Clips(people, joints, 1, framing, transforms=shake)
    torch.manual_seed(settings.seed)
    model = create_model("lpn_50", len(joints), width=0.125)
    begun = []  # the weights that each epoch of this process started from

    class Watch(Hook):
        def on_epoch_start(self, epoch, steps):
            self.epoch = epoch
            begun.append({k: v.clone() for k, v in model.state_dict().items()})

        def on_step(self, step, batch, loss):
            if self.epoch == die_in_epoch and step == 0:
                raise Killed

    log = Log(folder / "log.jsonl")
    trainer = Trainer(
        TopDownTask(model, joints, settings.sigma),
        loader(clips, 4, True, 0, False),
        lambda: SCORES[len(log.records)],
        settings,
        choose_machine("cpu"),
        [log, Watch()],
    )
    best = fit_rounds(trainer, folder / "checkpoints")
    return [{k: v for k, v in r.items() if k not in TIMES} for r in log.records], best, begun


def weights(path):
    return torch.load(path, weights_only=True)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, people):
    """An uninterrupted run: its folder, log, best checkpoints and the start of every epoch."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, *train(folder, people, settings_of())


def test_a_round_starts_from_the_best_weights_with_a_fresh_optimiser(straight):
    folder, log, best, begun = straight
    assert [(r["round"], r["epoch"], r["val"]) for r in log] == [
        (1, 1, 10.0),
        (1, 2, 30.0),
        (2, 3, 40.0),
        (2, 4, 20.0),
    ]
    assert [r["lr"] for r in log[:2]] == [r["lr"] for r in log[2:]]  # the schedule starts again
    folder = folder / "checkpoints"
    first, last = (weights(folder / f"round-{n}" / "last.pt") for n in (1, 2))
    assert same(begun[2], weights(folder / "round-1" / "best.pt")["model"])
    assert not same(begun[2], begun[0])
    for state in (first, last):  # Adam counts its steps: round 2 has only its own
        steps = {int(s["step"]) for s in state["optimiser"]["state"].values()}
        assert steps == {2 * ITERATIONS}
    assert best.best == folder / "round-2" / "best.pt"
    assert weights(best.best)["epoch"] == 1  # within the round


def test_a_round_starts_from_the_best_not_the_last_epoch(tmp_path, people, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SCORES", [30.0, 10.0, 5.0, 6.0])
    _, best, begun = train(tmp_path / "a", people, settings_of())
    kept = weights(tmp_path / "a" / "checkpoints" / "round-1" / "best.pt")["model"]
    assert same(begun[2], kept) and same(begun[1], kept)
    assert best.best.parent.name == "round-1"  # a round that made nothing better is not kept


@pytest.mark.parametrize("epoch", [2, 3, 4], ids=["in round 1", "between", "in round 2"])
def test_resume_in_any_round_ends_with_the_same_numbers(tmp_path, people, straight, epoch):
    folder, whole, best, _ = straight
    with pytest.raises(Killed):
        train(tmp_path, people, settings_of(), die_in_epoch=epoch)
    resumed, found, begun = train(tmp_path, people, settings_of())
    assert resumed == whole and len(begun) == 5 - epoch
    assert found.best.relative_to(tmp_path) == best.best.relative_to(folder)
    for name in ("round-1/last.pt", "round-2/last.pt", "round-2/best.pt"):
        a, b = (weights(f / "checkpoints" / name)["model"] for f in (folder, tmp_path))
        assert same(a, b)


def test_one_round_is_ordinary_training(tmp_path, people):
    log, best, _ = train(tmp_path / "a", people, settings_of(rounds=1))
    assert "round" not in log[0] and best.best == tmp_path / "a" / "checkpoints" / "best.pt"
