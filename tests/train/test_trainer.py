"""Training: exact resume, equal logs for equal seeds, the recipes' optimisers."""

import json

import pytest
import torch

from posekit import data
from posekit.config.machine import choose_machine
from posekit.config.resolve import resolve
from posekit.data.clips import Clips, loader
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.data.transforms import RandomFlip, RandomRotation, RandomScale
from posekit.errors import PosekitError
from posekit.geometry.skeletons import POSE_MACHINE
from posekit.models import create_model
from posekit.models.families.pose_machine import PoseMachineTask
from posekit.train.checkpoints import Checkpoints
from posekit.train.hooks import Hook, Log
from posekit.train.optimiser import lr_factor, make_optimiser
from posekit.train.trainer import Trainer

TIMES = {"seconds", "clips_per_second", "memory_mb"}


def settings_of(**given):
    given = {"source": "sample", "epochs": 3, "eval_every": 1, "device": "cpu", **given}
    return resolve("lpm", given).settings


class Killed(Exception):
    pass


class Die(Hook):
    """Ends training in the middle of an epoch."""

    def __init__(self, epoch):
        self.dies_in = epoch

    def on_epoch_start(self, epoch, steps):
        self.epoch = epoch

    def on_step(self, step, batch, loss):
        if self.epoch == self.dies_in and step == 0:
            raise Killed


def train(folder, settings, *hooks, trainer=Trainer, scores=(10.0, 30.0, 20.0)):
    """Train a tiny LPM; returns log, network and checkpoints."""
    people = data.load("PennAction", "train", ensure_sample("PennAction", smoke=True))
    people = people.rows(people.sequence <= 4)
    shake = [RandomScale((0.8, 1.2)), RandomRotation(30.0), RandomFlip(0.5)]
    clips = Clips(people, POSE_MACHINE, 2, Framing((32, 32), 1.25), transforms=shake)
    torch.manual_seed(settings.seed)
    model = create_model("lpm", width=0.0625)
    task = PoseMachineTask(model, 8.0, 8.0, settings.loss)

    log, checkpoints = Log(folder / "log.jsonl"), Checkpoints(folder / "checkpoints")
    scores = iter(scores[len(log.records) :])
    batches = loader(clips, 4, True, 0, False)
    made = trainer(
        task, batches, lambda: next(scores), settings, choose_machine("cpu"), [log, *hooks]
    )
    made.fit(checkpoints)
    return [{k: v for k, v in r.items() if k not in TIMES} for r in log.records], model, checkpoints


def test_resume_in_mid_epoch_ends_with_the_same_numbers(tmp_path):
    settings = settings_of(optimiser="adamw")
    for name in "ab":
        (tmp_path / name).mkdir()
    whole, straight, _ = train(tmp_path / "a", settings)
    with pytest.raises(Killed):
        train(tmp_path / "b", settings, Die(epoch=3))
    with (tmp_path / "b" / "log.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')  # a line that the crash cut off
    resumed, continued, checkpoints = train(tmp_path / "b", settings)
    assert resumed == whole and [r["epoch"] for r in whole] == [1, 2, 3]
    lines = (tmp_path / "b" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    for a, b in zip(straight.parameters(), continued.parameters(), strict=True):
        assert torch.equal(a, b)
    best = torch.load(checkpoints.best, weights_only=True)
    assert best["epoch"] == 2  # the highest validation score, not the last


def test_seed_decides(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    first, second = (train(tmp_path / name, settings_of(epochs=1))[0] for name in "ab")
    other = train(tmp_path / "c", settings_of(epochs=1, seed=1))[0]
    assert first == second != other


def test_hooks_see_every_step_and_a_subclass_changes_one(tmp_path):
    """Hooks and a trainer as a notebook may define them."""
    seen = []

    class Watch(Hook):
        def on_start(self, epochs):
            seen.append(("start", epochs))

        def on_epoch_start(self, epoch, steps):
            seen.append(("epoch", epoch, steps))

        def on_step(self, step, batch, loss):
            assert batch["images"].dtype == torch.uint8 and not loss.requires_grad
            seen.append(("step", step, loss.item()))

        def on_epoch(self, record):
            assert not (tmp_path / "checkpoints" / "last.pt").exists()
            seen.append(("record", record["loss"]))

    class Frozen(Trainer):
        def train_step(self, batch):
            return torch.ones(())

    log, model, _ = train(tmp_path, settings_of(epochs=1), Watch(), trainer=Frozen)
    steps = seen[1][2]
    expected = [("start", 0), ("epoch", 1, steps), *(("step", n, 1.0) for n in range(steps))]
    assert steps > 1 and seen == [*expected, ("record", 1.0)] and log[0]["loss"] == 1
    torch.manual_seed(0)
    untrained = create_model("lpm", width=0.0625)
    for a, b in zip(untrained.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_explodes_is_named(tmp_path):
    with pytest.raises(PosekitError, match="no longer a number.*lower lr"):
        train(tmp_path, settings_of(optimiser="sgd", lr=1e30, clip_grad=0.0, schedule="step"))


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    class LastUpdate(Trainer):
        def train_epoch(self, epoch, number):
            self.spoil = epoch == 1
            return super().train_epoch(epoch, number)

        def train_step(self, batch):
            loss = super().train_step(batch)
            if self.spoil:  # the loss before this update was a number
                with torch.no_grad():
                    next(self.task.model.parameters())[0] = float("nan")
                return torch.zeros(())
            return loss

    with pytest.raises(PosekitError, match="a weight .epoch 2. is no longer a number"):
        train(tmp_path, settings_of(), trainer=LastUpdate)
    state = Checkpoints(tmp_path / "checkpoints").load_last()
    assert state["epoch"] == 1
    assert all(value.isfinite().all() for value in state["model"].values())


def test_an_unreadable_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(PosekitError, match="last.pt.*resume=never"):
        train(tmp_path, settings_of())


def test_factors_of_the_papers():
    """CPM: biases learn twice as fast, stage 1 five times, and biases do not decay."""
    settings = resolve("cpm", {"dataset": "LSP", "source": "sample"}).settings.model_copy(
        update={
            "lr": 1.0,
            "bias_lr_factor": 2.0,
            "first_stage_lr_factor": 5.0,
            "weight_decay": 0.1,
            "optimiser": "sgd",
        }
    )
    model = create_model("cpm", width=0.0625)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in make_optimiser(model, settings).param_groups
        for p in group["params"]
    }
    assert found["stage1.conv1.weight"] == (5.0, 0.1) and found["stage1.conv1.bias"] == (10.0, 0.0)
    assert found["trunk.conv1.weight"] == (1.0, 0.1) and found["trunk.conv1.bias"] == (2.0, 0.0)
    assert set(found) == set(names.values())


def test_schedules():
    step = settings_of(schedule="step", lr_step=10, lr_gamma=0.5)
    assert [lr_factor(step, i, 100) for i in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]
    cycle = settings_of(schedule="onecycle")
    factors = [lr_factor(cycle, i, 100) for i in range(100)]
    assert max(factors) == factors[25] == 1 and factors[0] < 0.05 and factors[-1] < 0.01
    assert factors[:26] == sorted(factors[:26]) and factors[25:] == sorted(factors[25:])[::-1]


def test_a_device_that_is_not_there():
    with pytest.raises(PosekitError, match="device 'cuda:7'"):
        choose_machine("cuda:7")


def test_milestones_fall_after_their_epochs_and_one_sooner_when_faithful():
    given = {"source": "sample", "schedule": "milestones", "lr_milestones": [2, 3], "epochs": 4}
    for reference_mode, expected in ((False, [1, 1, 0.1, 0.01]), (True, [1, 0.1, 0.01, 0.01])):
        settings = resolve("hrnet", {**given, "reference_mode": reference_mode}).settings
        assert [lr_factor(settings, i, 40) for i in (9, 19, 20, 30)] == pytest.approx(expected)


class Watch(Hook):
    """Notes seeds, learning rates and records of a training, and its last batch."""

    def __init__(self):
        self.seeds, self.rates, self.records = [], [], []

    def on_epoch_start(self, epoch, steps):
        self.seeds.append(torch.initial_seed())
        assert not self.trainer.scaler.is_enabled()  # float32 needs none

    def on_step(self, step, batch, loss):
        self.rates.append(self.trainer.lr)
        self.batch = batch

    def on_epoch(self, record):
        self.records.append(record)


def test_of_equal_scores_the_first_is_the_best_and_only_scored_epochs_can_be(tmp_path):
    watch, settings = Watch(), settings_of(epochs=6, eval_every=2, schedule="onecycle", seed=2)
    log, _, checkpoints = train(tmp_path, settings, watch, scores=(10.0, 30.0, 30.0))
    assert [record.get("val") for record in log] == [None, 10, None, 30, None, 30]
    assert torch.load(checkpoints.best, weights_only=True)["epoch"] == 4
    assert watch.seeds == [2_000_006 + n for n in range(6)]
    total = len(watch.rates)
    expected = [settings.lr * lr_factor(settings, n, total) for n in range(total)]
    assert watch.rates == expected and len(set(expected)) > 6
    assert all(record["clips_per_second"] > 0 < record["memory_mb"] for record in watch.records)


def test_processes_draw_numbers_of_their_own(tmp_path, monkeypatch):
    watch = Watch()
    monkeypatch.setattr("posekit.train.distributed.share", lambda: (1, 1))  # the second one
    train(tmp_path, settings_of(epochs=1, seed=2), watch)
    assert watch.seeds == [2_000_006 + 99_991]


@pytest.mark.parametrize("first", [0, 1])
def test_the_loss_is_looked_at_in_the_first_iteration_and_the_last(tmp_path, first):
    class Diverges(Trainer):
        steps = 0

        def train_step(self, batch):
            self.steps += 1
            return torch.tensor(float("nan") if self.steps > first else 1.0)

    watch = Watch()
    with pytest.raises(PosekitError) as error:
        train(tmp_path, settings_of(epochs=1), watch, trainer=Diverges)
    steps = len(watch.rates) + 1
    assert steps == 1 + first
    assert f"the loss (epoch 1, iteration {steps})" in str(error.value)


def test_accuracy_by_hand(tmp_path):
    """A joint counts within a twentieth of each side of the crop, here 32 pixels: 1.6."""
    seen = []

    class Moved(Watch):
        def on_step(self, step, batch, loss):
            maps, joints = self.trainer.look(batch)
            assert joints.shape == batch["keypoints"].shape and maps.shape[:2] == joints.shape[:2]
            assert self.trainer.task.model.training
            for x, y in ((1.59, 0), (1.61, 0), (0, -1.59), (1.59, 1.59)):
                found = batch["keypoints"] + torch.tensor([x, y])
                self.trainer.task.decode = lambda maps, size, found=found: (found, None)
                seen.append(self.trainer.accuracy(batch))
            del self.trainer.task.decode

    train(tmp_path, settings_of(epochs=1), Moved())
    assert seen[:4] == [100, 0, 100, 0]
