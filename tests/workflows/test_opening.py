"""What a notebook's cells do to the record of its run."""

import gc
from types import SimpleNamespace

import pytest
import torch

from posekit.config.resolve import resolve
from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.reporting.record import read_record
from posekit.workflows import training
from posekit.workflows.training import opening
from posekit.workflows.training.building import find_backbone
from posekit.workflows.training.opening import open_run


@pytest.fixture
def cells(monkeypatch, tmp_path):
    """The callbacks that a notebook's shell calls after each cell."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    callbacks = []
    events = SimpleNamespace(register=lambda event, callback: callbacks.append(callback))
    monkeypatch.setattr(opening, "get_ipython", lambda: SimpleNamespace(events=events))
    return callbacks


def a_run():
    return open_run(resolve("lpm", {"source": "sample"}), resume=True)


def after(error=None):
    return SimpleNamespace(error_in_exec=error, error_before_exec=None)


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "running"), (ValueError("no"), "failed"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_cell_that_fails_marks_the_run(cells, error, status):
    run = a_run()
    cells[-1](after(error))
    assert read_record(run.folder).status == status
    run.end("finished")
    cells[-1](after(ValueError("later")))
    assert read_record(run.folder).status == "finished"


def test_a_run_that_the_notebook_drops_is_continued(cells):
    folder = a_run().folder
    gc.collect()
    cells[-1](after(ValueError("not of this run")))
    assert read_record(folder).status == "interrupted"
    assert a_run().folder == folder


@pytest.fixture
def full(monkeypatch, tmp_path):
    """The parameters of a full run, on a folder of data that holds nothing to read."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coco").mkdir()
    return {"data_root": str(tmp_path), "source": "real", "workers": 0}


@pytest.mark.parametrize(
    ("paper", "file"),
    [("simplebaseline", "resnet50-19c8e357.pth"), ("hrnet", "hrnet_w32-36af842e.pth")],
)
def test_a_recipe_that_starts_from_imagenet_asks_for_its_file(full, tmp_path, paper, file):
    with pytest.raises(PosekitError) as caught:
        training.start(paper, full)
    asked = str(caught.value)
    assert file in asked and "github.com" in asked and "-p backbone none" in asked
    folders = "models/pytorch", "data/weights", "torch/hub/checkpoints"
    assert all(str(tmp_path / folder) in asked for folder in folders)
    assert not (tmp_path / "reports").exists()
    assert training.start(paper, full | {"backbone": "none"}).settings.backbone is None
    # Another release of the network will do, the paper's own comes first.
    release = f"{file.partition('-')[0]}-0123abcd.pth"
    places = [f"torch/hub/checkpoints/{release}", f"models/pytorch/imagenet/{file}"]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(b"")
        assert find_backbone(training.start(paper, full).settings) == tmp_path / place
    own = training.start(paper, full | {"backbone": places[0]}).settings
    assert find_backbone(own) == tmp_path / places[0]
    with pytest.raises(PosekitError, match="absent.pth: no such file of ImageNet weights"):
        training.start(paper, full | {"backbone": "absent.pth"})


@pytest.mark.parametrize("given", [{"network": "ldcrn"}, {"width": 0.5}, {"init": "run"}])
def test_networks_without_published_backbones_are_not_asked_for_one(full, tmp_path, given):
    (tmp_path / "run").mkdir()
    assert find_backbone(training.start("hrnet", full | given).settings) is None


def test_weights_to_start_from_are_read_as_they_were_trained(full, tmp_path):
    (tmp_path / "PennAction").mkdir()
    torch.save(create_model("lpm_mobilepose").state_dict(), tmp_path / "lpm_MPII_best.tar")
    full |= {"recipe": "mobilepose", "dataset": "PennAction", "init": "lpm_MPII_best.tar"}
    with pytest.raises(PosekitError, match="add -p trained_on MPII if its name is right, else LSP"):
        training.start("lpm", full)
    exp = training.start("lpm", full | {"trained_on": "mpii"})
    assert exp.settings.build(None).description.mean[0] == pytest.approx(255 * 120.22911)


def test_a_continued_run_keeps_its_precision_on_another_cpu(cells, monkeypatch):
    def begun_on(**instructions):
        found = {"avx512_bf16": False} | instructions
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
        return training.start("lpm", {"source": "sample", "precision": "auto", "device": "cpu"})

    first = begun_on(avx512_bf16=True)
    folder = first.run.folder
    assert read_record(folder).precision == first.machine.precision == "bf16"
    first.run.end("interrupted")
    again = begun_on()
    assert (again.run.folder, again.machine.precision) == (folder, "bf16")
    again.run.end("finished")
    assert begun_on().machine.precision == "fp32"
