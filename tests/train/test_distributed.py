"""Several processes train as one does."""

import json
import os
import subprocess
import sys

import torch

from posekit.__main__ import main

SCRIPT = """
import sys
from pathlib import Path
import torch
from posekit import data
from posekit.data.clips import Clips, loader
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.models import create_model
from posekit.geometry.skeletons import POSE_MACHINE
from posekit.train import distributed
from posekit.models.families.pose_machine import PoseMachineTask

people = data.load("PennAction", "train", ensure_sample("PennAction", smoke=True))
clips = Clips(people.rows(people.sequence <= 4), POSE_MACHINE, 2, Framing((32, 32), 1.25))
torch.manual_seed(0)
model = create_model("lpm", width=0.0625, weight_init="he").eval()  # without dropout
task = PoseMachineTask(model, 4.0, 8.0, "sum")

def gradients(share):
    model.zero_grad()
    batch = next(iter(loader(clips, 4, True, 0, False, share)))
    task.loss(task.outputs(batch["images"]), batch).backward()
    return len(batch["rows"])

with distributed.joined():
    number, count = distributed.place()
    assert gradients((0, 1)) == 4
    whole = [p.grad.clone() for p in model.parameters()]
    assert gradients((number, count)) == 4 // count
    model.stage1.conv1.bias.grad = None if number else model.stage1.conv1.bias.grad
    kept = model.stage1.conv1.bias.grad
    kept = None if kept is None else kept / count
    distributed.average_gradients(model)
    for (name, p), expected in zip(model.named_parameters(), whole, strict=True):
        if name == "stage1.conv1.bias":
            assert kept is None or torch.allclose(p.grad, kept)
        else:
            scale = float(expected.abs().max())
            torch.testing.assert_close(p.grad, expected, rtol=1e-4, atol=1e-5 * scale, msg=name)
    assert distributed.from_first(lambda: {"of": number}) == {"of": 0}
    assert distributed.mean(torch.tensor(float(number))) == (count - 1) / 2
    parts = [key for key in loader(clips, 4, True, 0, False, (number, count)).sampler]
    assert len(parts) == -(-len(clips) // count)
    Path(sys.argv[1], f"{number} of {count}").touch()
"""


def test_two_processes_have_the_gradients_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launch, "--nproc-per-node", "2", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in tmp_path.glob("* of *")} == {"0 of 2", "1 of 2"}


def test_training_without_a_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    wishes = ["-p", "epochs", "1", "-p", "source", "sample"]
    assert main(["train", "lpm", "PennAction", *wishes]) == 0
    (record,) = tmp_path.glob("lpm-*/metrics.json")
    assert json.loads(record.read_text())["status"] == "finished"
    assert "report.html" in capsys.readouterr().out
    assert not torch.distributed.is_initialized()
    assert main(["train", "lpm", "PennAction", "-p", "epoch", "1"]) == 2
