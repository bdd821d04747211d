"""lp_net against its own code."""

import pytest
import torch
from topdown import blank, gradients_flow, read, same_cost, same_layout, same_outputs, sizes

from posekit.models import create_model
from posekit.models.lp_net import ContextBlock

GOLDENS = {
    "model_lp_net_50_gcb_coco_256x192": True,
    "model_lp_net_50_nogcb_coco_256x192": False,
}


@pytest.mark.parametrize(("stem", "gcb"), GOLDENS.items())
def test_heatmaps(stem, gcb):
    model, record = blank("lp_net_50", 17, gcb=gcb), read(stem)
    same_layout(model, record)
    same_outputs(model, record)


@pytest.mark.parametrize(
    ("depth", "gcb", "params", "gmacs", "keys"),
    sizes(
        [
            (50, True, 2_897_109, 1.0666, 520),
            (50, False, 2_731_665, 1.0664, 328),
        ],
        [
            (101, True, 5_339_397, 1.5020, 1030),
            (101, False, 5_025_169, 1.5017, 634),
            (152, True, 7_355_093, 1.9393, 1540),
            (152, False, 6_917_777, 1.9388, 940),
        ],
    ),
)
def test_cost(depth, gcb, params, gmacs, keys):
    model = blank(f"lp_net_{depth}", 17, gcb=gcb)
    same_cost(model, (256, 192), params, gmacs)
    assert len(model.state_dict()) == keys


@pytest.mark.parametrize("gcb", [True, False])
def test_training_reaches_every_parameter(gcb):
    gradients_flow(create_model("lp_net_50", 5, width=0.25, gcb=gcb))


def test_a_context_block_starts_by_halving():
    x = torch.rand(2, 16, 4, 4)
    torch.testing.assert_close(create_model("lp_net_50", 5, width=0.25).layer1[0].gcb4(x), x / 2)


def test_networks_with_and_without_context_do_not_disturb_each_other():
    kinds = [create_model("lp_net_50", 5, width=0.1, gcb=gcb) for gcb in (True, False, True)]
    found = [isinstance(model.layer4[0].gcb4, ContextBlock) for model in kinds]
    assert found == [True, False, True]
