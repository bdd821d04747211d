"""Several processes train as one does."""

import itertools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from posekit.__main__ import main
from posekit.errors import PosekitError
from posekit.train import distributed

# Trains a small LPM without dropout on 10 clips: batches of 4, 4 and 2, held out are 5 clips.
SCRIPT = """
import sys
from pathlib import Path
from types import SimpleNamespace
import torch
from posekit import data
from posekit.config.machine import Machine
from posekit.config.resolve import resolve
from posekit.data.clips import Clips, loader
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.geometry.skeletons import POSE_MACHINE
from posekit.models import create_model
from posekit.models.families.pose_machine import PoseMachineTask
from posekit.train import distributed
from posekit.train.checkpoints import Checkpoints
from posekit.train.hooks import Hook, Log
from posekit.train.trainer import Trainer
from posekit.workflows.training.fitting import validation

people = data.load("PennAction", "train", ensure_sample("PennAction", smoke=True))

def train(folder, frames):
    number, count = distributed.share()

    def batches(first, n_clips, shuffle):
        rows = people.rows(range(first, first + n_clips * frames))
        clips = Clips(rows, POSE_MACHINE, frames, Framing((32, 32), 1.25))
        return loader(clips, 4, shuffle, 0, False, (number, count))

    torch.manual_seed(number)  # the processes start with the weights of the first one
    model = create_model("lpm", width=0.0625, weight_init="he").eval()
    model.train = lambda mode=True: model
    model.register_buffer("statistic", torch.zeros(()))
    machine = Machine(torch.device("cpu"), torch.float32, 0)
    given = {"source": "sample", "optimiser": "sgd", "lr": 1e-5, "epochs": 2, "eval_every": 1}
    settings = resolve("lpm", given).settings
    held_out, gradients = batches(24, 5, False), []
    task = PoseMachineTask(model, 4.0, 8.0, "sum")
    experiment = SimpleNamespace(task=task, val=held_out.dataset, machine=machine)

    class Watch(Hook):
        def on_step(self, step, batch, loss):
            model.statistic += number
            found = {name: p.grad for name, p in model.named_parameters()}
            gradients.append({k: v if v is None else v.clone() for k, v in found.items()})

    def score():
        assert model.statistic == 0
        return validation(experiment, held_out)

    log = Log(folder / "log.jsonl")
    hooks = [Watch(), log] if distributed.is_first() else [Watch()]
    trainer = Trainer(task, batches(0, 10, True), score, settings, machine, hooks)
    trainer.fit(Checkpoints(folder / "checkpoints"))
    assert len(gradients) == 2 * 3
    torch.save([gradients, model.state_dict()], folder / f"{number} of {count}")

    odd = batches(0, 9, True)  # nobody waits for the last, smaller share
    assert len(odd.sampler) == -(-9 // count)
    Trainer(task, odd, score, settings, machine).fit(Checkpoints(folder / "odd"))

with distributed.process_group():
    number, count = distributed.share()
    assert distributed.from_first(lambda: {"of": number}) == {"of": 0}
    assert distributed.gather(number) == list(range(count)) * distributed.is_first()
    assert distributed.mean(torch.tensor(float(number))) == (count - 1) / 2
    for frames in (1, 2):
        train(Path(sys.argv[1], str(frames)), frames)
"""
TIMES = {"seconds", "clips_per_second", "memory_mb"}


def launch(*command, **environment):
    """Run a Python program in two processes; returns what they print."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def close(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        if value is None or two[name] is None:
            assert value is None and two[name] is None, name
        else:
            scale = float(value.abs().max())
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5 * scale, msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of a training in one process and of the same training in two."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for folder, frames in itertools.product(folders, "12"):
        (folder / frames).mkdir()
    script = folders[1] / "script.py"
    script.write_text(SCRIPT)
    launch(script, folders[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), str(folders[0])])
        runpy.run_path(str(script))
    return folders


@pytest.mark.parametrize("frames", ["1", "2"])
def test_two_processes_train_as_one(trained, frames):
    one, two = (folder / frames for folder in trained)
    files = [one / "0 of 1", two / "0 of 2", two / "1 of 2"]
    (alone, weights), *others = (torch.load(file, weights_only=True) for file in files)
    unused = {name for name, gradient in alone[0].items() if gradient is None}
    assert unused == ({"gates_h.weight", "gates_h.bias"} if frames == "1" else set())
    for gradients, state in others:
        for a, b in zip(alone, gradients, strict=True):
            close(a, b)
        close(weights, state)

    logs = [(folder / "log.jsonl").read_text().splitlines() for folder in (one, two)]
    for a, b in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert a.keys() == b.keys() >= {"loss", "val", "lr"}
        for name in a.keys() - TIMES:
            assert b[name] == pytest.approx(a[name], rel=1e-5), name
    last = [torch.load(f / "checkpoints" / "last.pt", weights_only=True) for f in (one, two)]
    close(*(state["model"] for state in last))


def test_training_without_a_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    given = ["-p", "epochs", "1", "-p", "source", "sample"]
    assert main(["train", "lpm", "PennAction", *given]) == 0
    (record,) = tmp_path.glob("lpm-*/metrics.json")
    assert json.loads(record.read_text())["status"] == "finished"
    assert "report.html" in capsys.readouterr().out
    assert not torch.distributed.is_initialized()
    assert main(["train", "lpm", "PennAction", "-p", "epoch", "1"]) == 2


def test_torchrun_leaves_one_run(tmp_path):
    command = "-m posekit train lpn COCO -p source sample -p epochs 1 -p rounds 2 -p workers 0"
    said = launch(*command.split(), POSEKIT_SMOKE="1", POSEKIT_REPORTS=str(tmp_path))
    (record,) = tmp_path.glob("*/metrics.json")
    assert json.loads(record.read_text())["status"] == "finished"
    log = [json.loads(line) for line in record.with_name("log.jsonl").read_text().splitlines()]
    assert [(r["round"], r["epoch"]) for r in log] == [(1, 1), (2, 2)]
    assert said.count("epoch 2/2") == 1 and said.count("report.html") == 1


@pytest.mark.skipif("POSEKIT_SLOW" not in os.environ, reason="a minute: POSEKIT_SLOW is not set")
def test_two_agents_lose_a_worker_and_finish(tmp_path):
    """As two machines would: torchrun restarts all processes, which go on from the checkpoint."""
    reports = tmp_path / "reports"
    words = "-p source sample -p epochs 8 -p eval_every 8 -p width 0.0625".split()
    agent = "--nnodes 2 --nproc-per-node 1 --max-restarts 2 --rdzv-backend c10d".split()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "torch.distributed.run", *agent, "--rdzv-endpoint", place]
    command += ["-m", "posekit", "train", "lpm", "PennAction", *words]
    environment = os.environ | {"POSEKIT_SMOKE": "1", "POSEKIT_REPORTS": str(reports)}
    agents = [
        subprocess.Popen(command, env=environment | {"OMP_NUM_THREADS": "1"}, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]  # fmt: skip
    end = time.monotonic() + 240
    while sum(len(log.read_text().splitlines()) for log in reports.glob("*/log.jsonl")) < 3:
        assert time.monotonic() < end
        time.sleep(0.1)
    children = Path(f"/proc/{agents[1].pid}/task/{agents[1].pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    printed = [one.communicate(timeout=240)[0] for one in agents]
    assert [one.returncode for one in agents] == [0, 0], printed
    (file,) = reports.glob("*/metrics.json")
    record = json.loads(file.read_text())
    assert record["status"] == "finished" and record["epochs_done"] == 8
    lines = (file.parent / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 9))
    assert sum("continuing" in text for text in printed) == 1


def test_shared_batch_normalisation_needs_gpus(monkeypatch):
    """One process has nothing to share."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    assert distributed.parallel(network, sync_batchnorm=True) is network
    monkeypatch.setattr(distributed, "share", lambda: (0, 2))
    with pytest.raises(PosekitError, match="sync_batchnorm=True needs GPUs"):
        distributed.parallel(network, sync_batchnorm=True)
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in network.modules())
