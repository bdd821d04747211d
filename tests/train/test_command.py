"""`posekit train`: the record says how the run ended, and a resumed run equals a whole one."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from posekit.__main__ import main
from posekit.errors import PosekitError
from posekit.train.hooks import Log
from posekit.workflows import training as lab

WORDS = "train lpm PennAction -p source sample -p epochs 2 -p eval_every 1 -p workers 0".split()
OF_TIME = {"seconds", "clips_per_second", "memory_mb"}


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """Chooses the folder of all runs, by name."""
    monkeypatch.setenv("POSEKIT_SMOKE", "1")

    def choose(name):
        monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / name))
        return tmp_path / name

    return choose


def content(reports):
    """What the only run left that does not depend on the clock, and its folder."""
    (file,) = reports.glob("*/metrics.json")
    lines = file.with_name("log.jsonl").read_text().splitlines()
    log = [{k: v for k, v in json.loads(line).items() if k not in OF_TIME} for line in lines]
    record = json.loads(file.read_text())
    assert record.pop("train_seconds") > 0 and record.pop("started")
    return record, log, file.parent


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_an_error_ends_the_run(reports, monkeypatch, error, status):
    folder = reports("a")

    def load(exp):
        raise error

    monkeypatch.setattr(lab, "load", load)
    if error is KeyboardInterrupt:
        assert main(WORDS) == 130
    else:
        with pytest.raises(error):
            main(WORDS)
    (file,) = folder.glob("*/metrics.json")
    assert json.loads(file.read_text())["status"] == status


def test_a_resumed_run_equals_an_uninterrupted_one(reports, monkeypatch):
    whole = reports("whole")
    assert main(WORDS) == 0
    parts = reports("parts")

    def stop(log, record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt
        write(log, record)

    write = Log.on_epoch
    with monkeypatch.context() as patch:
        patch.setattr(Log, "on_epoch", stop)
        assert main(WORDS) == 130
    (file,) = parts.glob("*/metrics.json")
    stopped = json.loads(file.read_text())
    assert (stopped["status"], stopped["epochs_done"]) == ("interrupted", 1)
    assert main(WORDS) == 0

    (record, log, folder), (again, log_again, resumed) = content(whole), content(parts)
    assert again == record and record["status"] == "finished"
    assert log_again == log and [line["epoch"] for line in log] == [1, 2]
    one, two = (np.load(run / "predictions.npz") for run in (folder, resumed))
    assert all(np.array_equal(one[name], two[name]) for name in one.files)
    assert (folder / "weights.safetensors").stat().st_size > 0


def test_looking_at_a_training_changes_nothing(reports):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = "train lsdnet COCO -p source sample -p epochs 2 -p width 0.03 -p workers 0".split()
    watched = "-p tensorboard True -p tensorboard_every 5 -p debug_every 2".split()
    plain = reports("plain")
    assert main(words) == 0
    looked_at = reports("watched")
    assert main(words + watched) == 0
    (record, log, folder), (again, same, other) = content(plain), content(looked_at)
    assert same == log and again == record  # the same fingerprint, too
    weights, others = (load_file(run / "weights.safetensors") for run in (folder, other))
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert not (folder / "debug").exists()
    names = sorted(path.name for path in (other / "debug").iterdir())
    assert names == ["epoch-002-joints-sample.png", "epoch-002-maps-sample.png"]
    events = EventAccumulator(str(other / "tensorboard")).Reload()
    points = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    steps = [point.step for point in points["iteration/loss"]]
    assert steps == [0, 5] and len(points["lr"]) == len(log)
    assert all(0 <= point.value <= 100 for point in points["iteration/accuracy"])
    assert points["iteration/lr"][-1].value == pytest.approx(log[-1]["lr"])
    assert events.Tags()["images"] == ["debug/joints", "debug/maps"]


@pytest.mark.parametrize(
    ("dataset", "metric"), [("LSP", "torso"), ("PennAction", "box"), ("MPII", "PCKh")]
)
def test_the_hourglass_is_trained_where_pose_machines_are(reports, dataset, metric):
    """In batches whose last one may have a single clip."""
    folder = reports("hourglass")
    assert main(f"train hourglass {dataset} -p workers 0".split()) == 0
    record, _, run = content(folder)
    assert record["status"] == "finished" and metric in record["metric"]
    assert record["dataset"] == dataset and record["metrics"]["Mean"] >= 0
    clips = len(np.load(run / "predictions.npz")["frame"])
    assert clips == record["n_samples"] > 0


def test_a_notebook_trains_in_two_processes(reports):
    """The notebook's own process has the weights and the log of those that torchrun started."""
    folder = reports("two")
    given = {"dataset": "PennAction", "source": "sample", "width": 0.0625, "num_processes": 2}
    exp = lab.start("lpm", dict(given, epochs=2, eval_every=1))
    lab.load(exp)
    lab.build(exp)
    with pytest.raises(PosekitError, match="without hooks"):
        lab.train(exp, hooks=[Log(folder / "mine")])
    log = lab.train(exp)
    assert log["epoch"].tolist() == [1, 2] and log["val"].notna().all()
    assert exp.run.record.epochs_done == 2 and exp.run.record.status == "running"
    stored = load_file(exp.run.folder / "weights.safetensors")
    ours = exp.task.model.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in stored.items())
    lab.evaluate(exp)
    assert exp.run.record.metrics["Mean"] >= 0


def test_a_process_that_fails_stops_the_notebook_with_one_message(reports, capfd):
    reports("failed")
    given = {"dataset": "PennAction", "source": "sample", "width": 0.0625, "num_processes": 2}
    exp = lab.start("lpm", dict(given, epochs=1))
    lab.load(exp)
    lab.build(exp)
    (exp.run.folder / "checkpoints").mkdir()
    (exp.run.folder / "checkpoints" / "last.pt").write_bytes(b"damaged")
    with pytest.raises(PosekitError, match="training in 2 processes stopped"):
        lab.train(exp)
    assert "last.pt cannot be used" in capfd.readouterr().out
