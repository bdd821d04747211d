import sys

import numpy as np
import pytest
import torch
from spots import CPU

from posekit import export_onnx
from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO
from posekit.inference.open_network import find_network, open_estimator
from posekit.models import create_model
from posekit.weights import save_weights


def test_weights_of_others_and_of_our_own(tmp_path):
    model = create_model("hourglass_1", 16)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "foreign.pth")
    opened = open_estimator(f"hourglass_1@{tmp_path / 'foreign.pth'}", CPU)
    assert opened.skeleton.name == "mpii" and opened.trained
    small = create_model("hourglass_1", 17, width=0.125)
    about = {"skeleton": "coco", "width": "0.125", "image_size": "[128, 64]"}
    save_weights(small, tmp_path / "own.safetensors", about)
    opened = open_estimator(str(tmp_path / "own.safetensors"), CPU)
    assert opened.framing.image_size == (128, 64) and opened.skeleton is COCO
    with pytest.raises(PosekitError, match="write NAME@foreign.pth"):
        open_estimator(str(tmp_path / "foreign.pth"), CPU)
    with pytest.raises(PosekitError, match="did you mean hrnet_w32"):
        open_estimator("hrnet_w33", CPU)


@pytest.mark.parametrize(
    "stored",
    [
        {"width": "abc"},
        {"width": "NaN"},
        {"width": "[1]"},
        {"width": "99"},
        {"image_size": "abc"},
        {"image_size": "[0, 0]"},
        {"image_size": "[" * 5000},
        {"skeleton": "dog"},
    ],
    ids=lambda stored: str(stored)[:30],
)
def test_metadata_that_make_no_network_are_refused(tmp_path, stored):
    path, [field] = tmp_path / "own.safetensors", stored
    save_weights(create_model("hourglass_1", 17, width=0.125), path, {"width": "0.125"} | stored)
    with pytest.raises(PosekitError, match=rf"own.safetensors: its metadata [^=]*{field}"):
        open_estimator(str(path), CPU)


@pytest.mark.parametrize("size", [(0, 0), (-64, 64), (64.5, 64), (8, 64), (64,), 64, ("a", 64)])
def test_impossible_crops_are_refused(size):
    with pytest.raises(PosekitError, match="cannot be opened with this:\n  image_size"):
        open_estimator("hourglass_1@random", CPU, image_size=size)


def test_a_home_that_does_not_exist_is_no_network():
    for source in ("~nosuchuser/x", "hrnet_w32@~nosuchuser/x"):
        with pytest.raises(PosekitError, match="no such"):
            open_estimator(source, CPU)


@pytest.fixture
def mobilepose(tmp_path):
    """A checkpoint of MobilePose-master: its channel k says k everywhere. Where it lies."""
    model = create_model("lpm_mobilepose")
    for layer, value in model.named_parameters():
        numbers = torch.arange(15) if layer.startswith(("conv7", "Mres5")) else 0
        value.data[...] = numbers if value.ndim == 1 else 0
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    path = tmp_path / "lpm_Penn_best.pth.tar"
    torch.save({"epoch": 40, "state_dict": state, "optimizer": {}}, path)
    return path


def test_a_file_of_mobilepose_is_not_opened_before_its_data_set_is_said(mobilepose, tmp_path):
    source, own = f"lpm_mobilepose@{mobilepose}", tmp_path / "own.safetensors"
    with pytest.raises(PosekitError, match="-p trained_on PennAction if its name is right, else"):
        open_estimator(source, CPU)
    small = {"image_size": (64, 64)}
    opened = open_estimator(source, CPU, trained_on="PennAction", **small)
    white = np.full((64, 64, 3), 255, np.uint8)
    scores = opened.estimate(white, np.array([[0.0, 0, 64, 64]])).scores[0]
    # A right ankle is what the repository calls the left one, its channel 5.
    assert scores.tolist() == [5, 4, 3, 2, 1, 0, 11, 10, 8, 9, 7, 6, 13, 12]
    assert opened.task.model.description.mean[0] == pytest.approx(255 * 2.163123717539921)
    plain = open_estimator(source, CPU, trained_on="MPII", **small)
    scores = plain.estimate(white, np.array([[0.0, 0, 64, 64]])).scores[0]
    assert scores.tolist() == list(range(14))
    # Our own files say it themselves, which no reader can undo.
    save_weights(opened.task.model, own)
    assert open_estimator(str(own), CPU).task.model.exchanged
    assert open_estimator(str(own), CPU, trained_on="LSP").task.model.exchanged
    save_weights(create_model("lpm_mobilepose"), own)
    assert open_estimator(str(own), CPU).task.model.description.trained_on is None


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("pose_resnet_50_384x288.pth", (384, 288)),
        ("384x288_d256x3_adam_lr1e-3/model_best.pth", (384, 288)),
        ("pose_resnet_50_256x192.pth.tar", (256, 192)),
        ("lr1e-3x140_1920x1080.pth", (256, 192)),  # the recipe's: no size of a crop
    ],
)
def test_the_crop_is_that_of_the_files_name(tmp_path, name, size):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    model = create_model("pose_resnet_50", 17, width=0.1)
    torch.save(model.state_dict(), path)
    found = find_network(f"pose_resnet_50@{path}", known={"width": 0.1})
    assert found.settings.image_size == size
    told = found.told(found.settings)
    assert told.endswith(f"crops of {size[0]}x{size[1]} by the file's name") == ("1920" not in name)
    other = found.settings.model_copy(update={"image_size": (128, 96)})
    said = f"crops of 128x96 although the file's NAME SAYS {size[0]}x{size[1]}"
    assert (said in found.told(other)) == ("1920" not in name)
    own = path.with_name("own_320x256.safetensors")
    save_weights(model, own, {"width": "0.1", "image_size": "[64, 64]", "skeleton": "coco"})
    opened = open_estimator(str(own), CPU)
    assert opened.framing.image_size == (64, 64)
    assert "crops of 64x64 although the file's NAME SAYS 320x256" in opened.story


def test_an_onnx_file_is_computed_by_the_runtime_that_is_named(tmp_path, monkeypatch):
    model, path = create_model("hourglass_1", 17, width=0.125).eval(), tmp_path / "net.onnx"
    export_onnx(model, path, (64, 64), "coco")
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
    monkeypatch.setenv("POSEKIT_ONNX_RUNTIME", "openvno")
    with pytest.raises(PosekitError, match="choose onnxruntime or openvino"):
        find_network(str(path))
    monkeypatch.setenv("POSEKIT_ONNX_RUNTIME", "openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(PosekitError, match=r"pip install 'posekit\[openvino\]'"):
        find_network(str(path))
    monkeypatch.undo()
    pytest.importorskip("openvino")
    monkeypatch.setenv("POSEKIT_ONNX_RUNTIME", "openvino")
    found = find_network(str(path))
    assert "computed by openvino" in found.story
    away = (found.onnx(images) - expected).abs().max() / expected.abs().max()
    assert 0 < away < 0.03
