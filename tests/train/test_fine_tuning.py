"""Weights of a network with other joints: the head is fitted by names, the rest may be frozen."""

from types import SimpleNamespace

import pytest
import torch

from posekit import create_model
from posekit.config.families import settings_of
from posekit.data.own.spec import make_skeleton
from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO, LSP
from posekit.train.fine_tuning import FrozenBackbone, start_from
from posekit.weights import save_weights

OWN = make_skeleton("cat", ("tail", "nose", "left_ear"), (), (), ())
SMALL = {"width": 0.125}


@pytest.fixture
def coco(tmp_path):
    """A network of COCO's joints and its file."""
    torch.manual_seed(1)
    model = create_model("pose_resnet_50", 17, **SMALL)
    save_weights(model, tmp_path / "coco.safetensors", {"skeleton": "coco"})
    return model, tmp_path / "coco.safetensors"


@pytest.mark.parametrize("kind", ["own", "published"])
def test_joints_of_the_same_name_keep_their_maps(coco, tmp_path, kind):
    model, path = coco
    if kind == "published":  # says nothing of its joints, and has 17
        path = tmp_path / "pose.pth"
        torch.save({"state_dict": model.state_dict()}, path)
    fresh = create_model("pose_resnet_50", 3, **SMALL)
    tail = fresh.final_layer.weight[0].clone()
    said = start_from(fresh, OWN, str(path))
    assert "of the last layer 2 of 3 joints (nose, left_ear)" in said
    assert torch.equal(
        fresh.final_layer.weight[1:], model.final_layer.weight[COCO.index("nose", "left_ear")]
    )
    assert torch.equal(fresh.final_layer.weight[0], tail)
    assert torch.equal(fresh.conv1.weight, model.conv1.weight)


def test_the_same_joints_are_loaded_as_they_are(coco):
    model, path = coco
    fresh = create_model("pose_resnet_50", 17, **SMALL)
    assert start_from(fresh, COCO, str(path)).startswith("loaded all")
    assert torch.equal(fresh.final_layer.weight, model.final_layer.weight)


def test_another_network_is_refused(coco):
    with pytest.raises(PosekitError, match="does not fit hrnet_w32"):
        start_from(create_model("hrnet_w32", 3, **SMALL), OWN, str(coco[1]))
    with pytest.raises(PosekitError, match="does not fit pose_resnet_50"):
        start_from(create_model("pose_resnet_50", 3, width=0.25), OWN, str(coco[1]))


def test_the_backbone_is_frozen_for_some_epochs():
    kind = settings_of("pose_resnet_50")
    values = {"network": "pose_resnet_50", "image_size": (64, 64), "frozen_epochs": 2, **SMALL}
    settings = kind.model_construct(**values)
    hook = FrozenBackbone(settings, OWN)
    model = create_model("pose_resnet_50", 3, **SMALL)
    hook.trainer = SimpleNamespace(task=SimpleNamespace(model=model))
    hook.on_epoch_start(2, 1)
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    assert free == {"final_layer.weight", "final_layer.bias"}
    hook.on_epoch_start(3, 1)
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(PosekitError, match="needs a network of any joints"):
        FrozenBackbone(settings_of("cpm").model_construct(network="cpm", frozen_epochs=1), LSP)
