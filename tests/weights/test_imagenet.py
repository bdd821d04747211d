"""ImageNet backbones: everything but the head, or refused."""

import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.weights.imagenet import init_backbone


def small(name="pose_resnet_50", width=0.125):
    return create_model(name, num_keypoints=3, width=width)


def as_classifier(model, *heads):
    """What an ImageNet file of this backbone holds: other heads, no step counts."""
    state = {
        key: torch.rand(value.shape)
        for key, value in model.state_dict().items()
        if not key.startswith(("deconv", "final")) and not key.endswith("num_batches_tracked")
    }
    return state | {head: torch.rand(3, 3) for head in heads}


@pytest.mark.parametrize(
    ("name", "head"), [("pose_resnet_50", "fc.weight"), ("hrnet_w32", "classifier.weight")]
)
def test_the_backbone_comes_from_the_file_and_the_head_stays(tmp_path, name, head):
    model = small(name)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    state = as_classifier(model, head)
    torch.save(state, tmp_path / "imagenet.pth")
    report = init_backbone(model, tmp_path / "imagenet.pth")
    for key, value in model.state_dict().items():
        assert torch.equal(value, state.get(key, start[key])), key
    assert set(report.loaded) == set(state) - {head}
    assert report.ignored == (head,)
    assert all(key.startswith(("deconv_layers", "final_layer")) for key in report.fresh)
    assert "final_layer.weight" in report.fresh


def test_hrnet_leaves_the_exchanges_it_has_not(tmp_path):
    model = small("hrnet_w32")
    spare = "stage4.2.fuse_layers.1.0.0.0.weight"
    torch.save(as_classifier(model, spare), tmp_path / "imagenet.pth")
    assert init_backbone(model, tmp_path / "imagenet.pth").ignored == (spare,)


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    model, state = small(), as_classifier(small())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    del state["layer4.0.conv1.weight"]
    state["conv1.weight"] = torch.zeros(64, 3, 7, 7)
    torch.save(state, tmp_path / "imagenet.pth")
    with pytest.raises(PosekitError, match="2 tensors .conv1.weight, layer4.0.conv1.weight."):
        init_backbone(model, tmp_path / "imagenet.pth")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_odd_tensors_and_networks_without_memory_are_refused(tmp_path):
    path, state = tmp_path / "imagenet.pth", as_classifier(small())
    torch.save(state, path)
    with torch.device("meta"):
        model = small()
    with pytest.raises(PosekitError, match="pose_resnet_50 has no memory for its numbers"):
        init_backbone(model, path)
    torch.save(state | {"bn1.bias": torch.empty(8, dtype=torch.bits8)}, path)
    with pytest.raises(PosekitError, match="imagenet.pth: bn1.bias: .*only dense tensors"):
        init_backbone(small(), path)


def test_networks_trained_from_scratch_are_refused():
    with pytest.raises(PosekitError, match="ldcrn is trained from scratch"):
        init_backbone(small("ldcrn"), "any.pth")
