"""What people add from outside the package, by the lines of the README's How to extend."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

import posekit
from posekit import models
from posekit.data import DATASETS, dataset, scoring
from posekit.data.dataset import Sample
from posekit.data.transforms import by_kind
from posekit.errors import PosekitError
from posekit.geometry import skeletons
from posekit.inference.open_network import open_estimator
from posekit.models import registry
from posekit.reporting.record import read_record
from posekit.workflows import conversion, evaluation
from posekit.workflows import training as lab

README = Path(__file__).parents[1] / "README.md"
CPU = torch.device("cpu")


def blocks() -> dict[str, str]:
    """The README's headings below How to extend, each with its block of Python."""
    section = README.read_text(encoding="utf-8").split("\n## How to extend\n")[1].split("\n## ")[0]
    parts = section.split("\n### ")[1:]
    found = {part.partition("\n")[0]: re.search(r"```python\n(.*?)```", part, re.S) for part in parts}
    return {heading: match[1] for heading, match in found.items()}


def draw(folder: Path, split: str, count: int, rng: np.random.Generator) -> None:
    """Write images of five dots, and their places as text."""
    lines = []
    for number in range(count):
        points = rng.uniform(8, 56, 2) + rng.uniform(-8, 8, (5, 2)) + np.c_[[0, -9, 9, -6, 6], [-12, 0, 0, 12, 12]]
        image = np.full((72, 72, 3), 40, np.uint8)
        for x, y in points:
            cv2.circle(image, (round(x), round(y)), 2, (250, 200, 90), -1)
        cv2.imwrite(str(folder / f"{split}{number}.png"), image)
        lines.append(" ".join([f"{split}{number}.png", *(f"{v:.2f}" for v in points.ravel())]))
    (folder / f"{split}.txt").write_text("\n".join(lines))


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder with toy_pose.py, which holds the README's blocks, and toy/, the data."""
    (tmp_path / "toy_pose.py").write_text("\n\n".join(blocks().values()))
    (tmp_path / "toy").mkdir()
    rng = np.random.default_rng(0)
    draw(tmp_path / "toy", "train", 8, rng)
    draw(tmp_path / "toy", "test", 4, rng)
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tables = (registry._builders, DATASETS, skeletons.SKELETONS)
    before = [dict(table) for table in tables]
    yield tmp_path
    sys.modules.pop("toy_pose", None)
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)


def parameters(outside: Path, **changes) -> dict:
    return {
        "network": "toy_pose:ToyNet",
        "dataset": "toy_pose:SPEC",
        "data_root": str(outside),
        "hidden": 8,
        "epochs": 2,
        "batch_size": 4,
        "image_size": [64, 64],
        "holdout": 0.25,
        "device": "cpu",
        "workers": 0,
        **changes,
    }


@pytest.fixture
def trained(outside):
    """Everything of the toy module in one run."""
    import toy_pose

    exp = lab.start("simplebaseline", parameters(outside))
    lab.load(exp, transforms=[toy_pose.Fog(0.5)])
    lab.sample_grid(exp)
    lab.codec_check(exp)
    lab.build(exp)
    exp.task.criterion = toy_pose.soft_l1
    lab.first_loss(exp)
    lab.train(exp)
    lab.curves(exp)
    exp.table = lab.evaluate(exp)
    lab.error_gallery(exp)
    lab.heatmaps(exp)
    exp.summary = lab.finish(exp)
    return exp


def test_all_of_it_trains_together_under_its_own_name(trained):
    assert trained.run.folder.name.startswith("toynet-Toy-2")
    record = read_record(trained.run.folder)
    assert (record.model, record.paper, record.dataset) == ("ToyNet", "toynet", "Toy")
    assert record.status == "finished" and record.epochs_done == 2 and not record.published
    assert record.metric == "closeness" and record.metrics.keys() == {"Head", "Hand", "Mean"}
    assert not trained.table["result"].str.startswith("published").any()
    assert "ToyNet on Toy" in trained.summary
    state = trained.task.model.state_dict()
    assert state["heatmaps.weight"].shape[:2] == (5, 8)


def test_it_is_evaluated_from_its_folder_and_by_name(trained, outside):
    folder = trained.run.folder
    given = {"dataset": "Toy", "data_root": str(outside), "device": "cpu", "workers": 0}
    exp = evaluation.start({"model": str(folder), **given})
    evaluation.load(exp)
    evaluation.build(exp)
    evaluation.evaluate(exp)
    assert exp.run.record.metrics == read_record(folder).metrics
    assert posekit.score("toy_pose:SPEC", folder, root=outside).mean == pytest.approx(exp.run.record.headline)

    named = {"model": "toy_pose:ToyNet", "weights": str(folder / "weights.safetensors")}
    exp = evaluation.start({**named, **given})
    evaluation.load(exp)
    evaluation.build(exp)
    assert torch.equal(exp.task.model.heatmaps.weight, trained.task.model.heatmaps.weight)
    exp = evaluation.start({"model": "toy_pose:ToyNet", "image_size": [64, 64], **given})
    evaluation.load(exp)
    evaluation.build(exp)
    evaluation.evaluate(exp)
    assert exp.run.record.model == "ToyNet" and not exp.run.record.published


def test_it_poses_and_is_exported_and_converted(trained, outside):
    folder = trained.run.folder
    estimator = open_estimator(str(folder), CPU)
    assert estimator.name == "ToyNet" and estimator.skeleton.name == "star"
    image = cv2.imread(str(outside / "toy" / "test0.png"))
    found = estimator.estimate(image, np.array([[4.0, 4, 60, 60]]))
    assert found.keypoints.shape == (1, 5, 2)

    done = conversion.start({"weights": str(folder)})
    conversion.load(done)
    conversion.save(done)
    conversion.export(done)
    conversion.finish(done)
    assert "ToyNet.onnx" in done.written and done.folder.name.startswith("convert-ToyNet-")
    again = open_estimator(str(done.folder / "ToyNet.onnx"), CPU)
    other = again.estimate(image, np.array([[4.0, 4, 60, 60]]))
    assert again.skeleton.name == "star"
    np.testing.assert_allclose(other.heatmaps, found.heatmaps, atol=1e-4)


def test_another_process_finds_what_a_run_folder_names(trained, outside):
    code = (
        "import sys, torch\n"
        "from posekit.inference.open_network import open_estimator\n"
        "found = open_estimator(sys.argv[1], torch.device('cpu'))\n"
        "print(found.name, found.skeleton.name)"
    )
    command = [sys.executable, "-c", code, str(trained.run.folder)]
    done = subprocess.run(command, cwd=outside, capture_output=True, text=True)
    assert done.stdout.split() == ["ToyNet", "star"], done.stderr


def test_the_metadata_of_weights_name_no_module(trained):
    """Reading a weight file of somebody else imports nothing."""
    with safe_open(trained.run.folder / "weights.safetensors", "pt") as file:
        noted = file.metadata()
    assert (noted["model"], noted["dataset"], noted["hidden"]) == ("ToyNet", "Toy", "8")
    assert "toy_pose" not in json.dumps(noted)
