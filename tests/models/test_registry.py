"""What every network of the registry must do, at a small width."""

import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import create_model, list_models

SIZE = 64
POSE_MACHINES = ["cpm", "cpm_mobilepose", "lpm", "lpm_mobilepose", "lpm_mobilepose_unshared"]
TOP_DOWN = {
    "RGB": ["hrnet_w32", "hrnet_w48", "ldcrn", "lsdnet_w32", "lsdnet_w48"],
    "BGR": [
        *(f"hourglass_{stacks}" for stacks in (1, 2, 4, 8)),
        *(f"{net}_{depth}" for net in ("lp_net", "lpn", "pose_resnet") for depth in (50, 101, 152)),
    ],
}
# The depths and sizes of one paper differ in numbers alone, which their own tests count.
ONE_EACH = "hourglass_2 hrnet_w32 ldcrn lp_net_50 lpn_50 lsdnet_w32 pose_resnet_50".split()


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


@pytest.mark.parametrize("name", POSE_MACHINES + ONE_EACH)
def test_network(name):
    torch.manual_seed(0)
    model = create_model(name, num_keypoints=5, width=0.1)
    about = model.description
    assert about.name == name and about.num_keypoints == 5
    assert about.kind in ("clip", "image")
    assert about.colour == ("BGR" if name in TOP_DOWN["BGR"] else "RGB")

    maps = run(model)
    assert maps.shape[0] == 2 and maps.shape[-3] == 5 + about.background
    assert maps.isfinite().all()
    maps.square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(grad.isfinite().all() for grad in gradients)

    model.eval()
    with torch.no_grad():
        assert torch.equal(run(model), run(model))


@pytest.mark.parametrize("colour", TOP_DOWN)
def test_top_down_networks_describe_themselves(colour):
    for name in TOP_DOWN[colour]:
        with torch.device("meta"):
            about = create_model(name, width=0.1).description
        assert (about.name, about.num_keypoints, about.colour) == (name, 17, colour)
        assert (about.kind, about.centre_map, about.half_pixel) == ("image", False, False)
        assert not about.background and about.skeleton is None and about.paper
        assert about.mean == (123.675, 116.28, 103.53) and about.std == (58.395, 57.12, 57.375)


def test_names():
    assert list_models() == sorted([*POSE_MACHINES, *TOP_DOWN["RGB"], *TOP_DOWN["BGR"]])
    assert list_models("lpm*") == sorted(name for name in list_models() if name.startswith("lpm"))
    assert list_models("no such network") == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lpn", {}, "'lpn': did you mean .*lpm"),
        ("nothing like it", {}, "there are cpm, "),
        ("lpm", {"widht": 1}, "'widht': did you mean width"),
        ("lpm", {"width": 0}, "width=0"),
        ("lpm", {"width": "wide"}, "width='wide'"),
        ("lpm", {"weight_init": "ones"}, "weight_init='ones'"),
        ("lpm", {"num_keypoints": 0}, "num_keypoints=0"),
    ],
)
def test_impossible_networks_are_refused(name, options, message):
    with pytest.raises(PosekitError, match=message):
        create_model(name, **options)
