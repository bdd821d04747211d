import pytest
import torch
from spots import CPU

from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO
from posekit.inference.open_network import open_estimator
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
        open_estimator("hourglass_1", CPU, image_size=size)


def test_a_home_that_does_not_exist_is_no_network():
    for source in ("~nosuchuser/x", "hrnet_w32@~nosuchuser/x"):
        with pytest.raises(PosekitError, match="no such"):
            open_estimator(source, CPU)
