"""What people add from outside the package, by the lines of the README's How to extend."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import posekit
from posekit import models
from posekit.config.resolve import resolve
from posekit.data import DATASETS, Annotations, dataset, load, transforms
from posekit.data.predictions import Predictions
from posekit.errors import PosekitError
from posekit.geometry import skeletons
from posekit.inference.open_network import open_estimator
from posekit.models import registry
from posekit.models.families.pose_machine import PoseMachineTask
from posekit.reporting.record import read_record
from posekit.weights import save_weights
from posekit.workflows import conversion, evaluation
from posekit.workflows import training as lab
from posekit.workflows.efficiency import contenders

README = Path(__file__).parents[1] / "README.md"
CPU = torch.device("cpu")


def blocks() -> dict[str, str]:
    """The README's headings below How to extend, each with its block of Python."""
    text = README.read_text(encoding="utf-8")
    section = text.split("\n## How to extend\n")[1].split("\n## ")[0]
    found = re.findall(r"^### (.+?)$.*?^```python\n(.*?)^```", section, re.S | re.M)
    assert len(found) == section.count("\n### ") == section.count("```python")
    return dict(found)


def draw(folder: Path, split: str, count: int, rng: np.random.Generator) -> None:
    """Write images of five dots, and their places as text."""
    lines, star = [], np.array([[0, -12], [-9, 0], [9, 0], [-6, 12], [6, 12]])
    for number in range(count):
        points = rng.uniform(20, 52, 2) + rng.uniform(-6, 6, (5, 2)) + star
        image = np.full((72, 72, 3), 40, np.uint8)
        for x, y in points:
            cv2.circle(image, (round(x), round(y)), 2, (250, 200, 90), -1)
        cv2.imwrite(str(folder / f"{split}{number}.png"), image)
        lines.append(" ".join([f"{split}{number}.png", *(f"{v:.2f}" for v in points.ravel())]))
    (folder / f"{split}.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder with toy_pose.py, which holds the README's blocks, and toy/, the data."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "toy_pose.py").write_text("\n\n".join(blocks().values()))
    (folder / "toy").mkdir()
    rng = np.random.default_rng(0)
    draw(folder / "toy", "train", 8, rng)
    draw(folder / "toy", "test", 4, rng)
    tables = (registry._builders, DATASETS, skeletons.SKELETONS)
    before = [dict(table) for table in tables]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEKIT_REPORTS", str(folder / "reports"))
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield folder
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


@pytest.fixture(scope="module")
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


def people_of_test(outside: Path) -> Annotations:
    return load("toy_pose:SPEC", "test", outside)


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
    score = posekit.score("toy_pose:SPEC", folder, root=outside)
    assert score.mean == pytest.approx(exp.run.record.headline)

    named = {"model": "toy_pose:ToyNet", "weights": str(folder / "weights.safetensors")}
    exp = evaluation.start({**named, **given})
    evaluation.load(exp)
    evaluation.build(exp)
    assert torch.equal(exp.task.model.heatmaps.weight, trained.task.model.heatmaps.weight)
    exp = evaluation.start({"model": "toy_pose:ToyNet@random", "image_size": [64, 64], **given})
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
    assert "ToyNet.onnx" in conversion.finish(done)
    assert done.folder.name.startswith("convert-ToyNet-")
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


def test_reading_a_weight_file_imports_nothing(trained, outside):
    (outside / "hostile.py").write_text("raise SystemExit('imported')")
    file = outside / "theirs.safetensors"
    model = trained.task.model
    noted = {"skeleton": "star", "hidden": "8", "dataset": "hostile:SPEC"}
    save_weights(model, file, noted | {"model": "hostile:Net"})
    with pytest.raises(PosekitError, match="does not say which network it holds"):
        open_estimator(str(file), CPU)
    assert open_estimator(f"toy_pose:ToyNet@{file}", CPU).skeleton.name == "star"


def test_a_network_alone(outside):
    model = posekit.create_model("toy_pose:ToyNet", num_keypoints=3, hidden=4)
    about = model.description
    assert (about.name, about.stem, about.recipe) == ("ToyNet", "toynet", "simplebaseline")
    assert model(torch.zeros(2, 3, 32, 64)).shape == (2, 3, 8, 16)
    assert "toy_pose:ToyNet" not in posekit.list_models()
    with pytest.raises(PosekitError, match="no option of toy_pose:ToyNet is called 'hiden'"):
        posekit.create_model("toy_pose:ToyNet", hiden=4)
    with pytest.raises(PosekitError, match="create_model: hidden='8' must be"):
        posekit.create_model("toy_pose:ToyNet", hidden="8")


def test_a_network_of_a_notebook_cell(outside):
    """Registered under a name, and again when the cell runs a second time."""
    for _ in range(2):

        @models.register(models.Description(name="cell_net", paper="Mine", colour="BGR"))
        class CellNet(torch.nn.Module):
            def __init__(self, num_keypoints: int, grey: bool = False) -> None:
                super().__init__()
                self.conv = torch.nn.Conv2d(3, num_keypoints, 3, 4, 1)

            def forward(self, images):
                return self.conv(images)

    given = {"network": "cell_net", "source": "sample", "grey": True, "width": None}
    config = resolve("hrnet", given)
    assert (config.paper, config.network) == ("cell_net", "cell_net")
    assert config.settings.grey and "width" not in type(config.settings).model_fields
    exp = lab.start("simplebaseline", parameters(outside, network="cell_net", hidden=None))
    lab.load(exp)
    lab.build(exp)
    assert exp.run.folder.name.startswith("cell_net-Toy-")
    exp.run.end("interrupted")
    table = contenders(exp.settings)
    assert len(table) == 4 and next(iter(table)).startswith("cell_net, 256x192")


def test_names_of_papers_are_not_taken(outside):
    class HRNet(torch.nn.Conv2d):
        def __init__(self, num_keypoints: int) -> None:
            super().__init__(3, num_keypoints, 3, 4, 1)

    models.register(models.Description(name="HRNet", paper="Another"))(HRNet)
    assert models.describe("HRNet").stem == "hrnet_test_extending"
    with pytest.raises(PosekitError, match="network lpm: posekit has a network of this name"):
        models.register(models.Description(name="lpm", paper="Another"))(HRNet)
    with pytest.raises(PosekitError, match="family 'bottom_up' is none of pose_machine, top_down"):
        models.register(models.Description(name="x", paper="", family="bottom_up"))(HRNet)


def test_a_data_set_alone(outside):
    spec = dataset("toy_pose:SPEC")
    assert dataset("toy") is spec and posekit.skeleton("star") is spec.skeleton
    table = people_of_test(outside)
    assert len(table) == 4 and table.read(0).shape == (72, 72, 3)
    exact = posekit.score("Toy", table.keypoints, root=outside)
    assert exact.mean == 100 and exact.protocol.startswith("100 exp(")
    with pytest.raises(PosekitError, match=r"Toy: predictions of shape \(4, 4, 2\)"):
        posekit.score("Toy", table.keypoints[:, 1:], root=outside)
    with pytest.raises(PosekitError, match="no Toy data.*toy.zip from https://example.org/toy"):
        resolve("simplebaseline", parameters(outside, data_root=None))
    with pytest.raises(PosekitError, match=r"Toy: boxes is \(4, 2\), it has to be \(4, 4\)"):
        replace(table, boxes=table.boxes[:, :2])


def test_a_metric_alone(outside):
    import toy_pose

    people = people_of_test(outside)
    people.visible[0, 0] = False
    moved = people.keypoints + np.stack([0 * people.reference, people.reference], -1)[:, None]
    moved[0, 0] = 1e6  # of a joint that nobody has annotated
    poses = Predictions(moved, np.ones(people.visible.shape))
    score = toy_pose.Closeness().score(people, poses)
    assert score.mean == pytest.approx(100 / np.e) == score.per_joint["Head"]
    assert score.metric == "closeness" and score.table().shape == (1, 4)


def test_an_augmentation_alone(outside):
    import toy_pose

    crops = np.zeros((2, 8, 8, 3), np.uint8)
    sample = transforms.Sample(crops, np.zeros((2, 5, 2)), np.ones((2, 5), bool))
    foggy = toy_pose.Fog(0.5).apply(sample, np.random.default_rng(0))
    assert 0 < foggy.crops.max() < 128 and not crops.any()
    assert transforms.by_kind([toy_pose.Fog(0.5)])[1]
    with pytest.raises(PosekitError, match="is not a transform: give it a method place"):
        transforms.by_kind([toy_pose.Closeness()])


def test_a_loss_alone(outside):
    import toy_pose

    maps, target = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    target[:, 1] = 100
    assert toy_pose.soft_l1(maps, target, torch.tensor([[1.0, 0.0]])).item() == 0.25
    task = PoseMachineTask(posekit.create_model("lpm", width=0.0625), 8.0, 8.0)
    task.criterion = toy_pose.soft_l1
    batch = {
        "images": torch.zeros(1, 2, 3, 64, 64, dtype=torch.uint8),
        "keypoints": torch.zeros(1, 2, 14, 2),
        "visible": torch.ones(1, 2, 14, dtype=torch.bool),
    }
    assert task.loss(torch.zeros(1, 3, 15, 8, 8), batch) > 0


WRONG = """
from torch import nn
import torch


class Flat(nn.Conv2d):
    def __init__(self, num_keypoints):
        super().__init__(3, num_keypoints, 8, 8)

    def forward(self, images):
        return super().forward(images).flatten(1)


class One(nn.Conv2d):
    def __init__(self, num_keypoints):
        super().__init__(3, 1, 8, 8)


class NoCount(nn.Conv2d):
    def __init__(self, joints):
        super().__init__(3, joints, 8, 8)


def function(num_keypoints):
    return nn.Conv2d(3, num_keypoints, 8, 8)
"""


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("nowhere:Net", "ModuleNotFoundError: No module named 'nowhere'; write my_module:Name"),
        ("broken:Net", "network broken:Net: SyntaxError: "),
        ("wrong:Net", "module 'wrong' has no attribute 'Net'"),
        ("wrong:torch", "neither a torch.nn.Module nor registered with posekit.models.register"),
        ("wrong:function", "neither a torch.nn.Module nor registered"),
        ("wrong:NoCount", "network NoCount: it has to take num_keypoints"),
        ("wrong:Flat", "returns (1, 320) for (1, 3, 64, 64): expected are 5 maps, (B, 5, H, W)"),
        ("wrong:One", "network One returns (1, 1, 8, 8) for (1, 3, 64, 64): expected are 5 maps"),
        ("ToyNe", "choose one of"),
        (":", "network :: "),
    ],
)
def test_wrong_networks_are_refused_before_a_run_begins(outside, network, message):
    (outside / "broken.py").write_text("class")
    (outside / "wrong.py").write_text(WRONG)
    before = list((outside / "reports").glob("*"))
    with pytest.raises(PosekitError) as caught:
        lab.start("simplebaseline", parameters(outside, network=network, hidden=None))
    assert message in str(caught.value) and list((outside / "reports").glob("*")) == before
