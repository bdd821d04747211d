"""What every network of the registry must do, at a small width."""

import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import create_model, list_models

SIZE = 64
POSE_MACHINES = ["cpm", "cpm_mobilepose", "lpm", "lpm_mobilepose", "lpm_mobilepose_unshared"]


def run(model):
    """Forward pass on random inputs of the described kind."""
    about = model.description
    torch.manual_seed(1)
    shape = (2, 5, 3, SIZE, SIZE) if about.kind == "clip" else (2, 3, SIZE, SIZE)
    inputs = [torch.rand(shape) - 0.5]
    if about.centre_map:
        inputs.append(torch.rand(2, 1, SIZE, SIZE))
    maps = model(*inputs)
    return maps if isinstance(maps, torch.Tensor) else torch.stack(list(maps), dim=1)


@pytest.mark.parametrize("name", POSE_MACHINES)
def test_network(name):
    torch.manual_seed(0)
    model = create_model(name, num_keypoints=5, width=0.1)
    about = model.description
    assert about.name == name and about.num_keypoints == 5
    assert about.kind in ("clip", "image") and about.colour == "RGB"

    maps = run(model)
    assert maps.shape[0] == 2 and maps.shape[-3] == 5 + about.background
    assert maps.isfinite().all()
    maps.square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(grad.isfinite().all() for grad in gradients)

    model.eval()
    with torch.no_grad():
        assert torch.equal(run(model), run(model))


def test_names():
    assert set(POSE_MACHINES) <= set(list_models())
    assert list_models("lpm*") == sorted(name for name in list_models() if name.startswith("lpm"))
    assert list_models("no such network") == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lpn", {}, "'lpn'; did you mean .*lpm"),
        ("nothing like it", {}, "there are: .*cpm"),
        ("lpm", {"widht": 1}, "'widht'; did you mean width"),
        ("lpm", {"width": 0}, "width=0"),
        ("lpm", {"width": "wide"}, "width='wide'"),
        ("lpm", {"init": "ones"}, "init='ones'"),
        ("lpm", {"num_keypoints": 0}, "num_keypoints=0"),
    ],
)
def test_impossible_networks_are_refused(name, options, message):
    with pytest.raises(PosekitError, match=message):
        create_model(name, **options)
