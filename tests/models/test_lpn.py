"""LPN against the official code."""

import pytest
import torch
from topdown import blank, gradients_flow, read, same_cost, same_layout, same_outputs, sizes

from posekit.errors import PosekitError
from posekit.models import create_model

GOLDENS = {
    "model_lpn_50_gc_coco_256x192": ("lpn_50", 17, "gc"),
    "model_lpn_50_se_coco_256x192": ("lpn_50", 17, "se"),
    "model_lpn_50_noatt_coco_256x192": ("lpn_50", 17, None),
    "model_lpn_50_gc_mpii_256x256": ("lpn_50", 16, "gc"),
    "model_lpn_101_gc_coco_256x192": ("lpn_101", 17, "gc"),
    "model_lpn_152_gc_coco_256x192": ("lpn_152", 17, "gc"),
}


def network(name, keypoints, attention):
    return blank(name, keypoints, attention=attention)


@pytest.mark.parametrize("stem", GOLDENS)
def test_layout(stem):
    same_layout(network(*GOLDENS[stem]), read(stem))


@pytest.mark.parametrize("stem", sizes(list(GOLDENS)[:3], list(GOLDENS)[3:]))
def test_heatmaps(stem):
    same_outputs(network(*GOLDENS[stem]), read(stem))


@pytest.mark.parametrize(
    ("depth", "attention", "params", "gmacs", "keys"),
    sizes(
        [
            (50, "gc", 2_911_153, 1.0697, 466),
            (50, "se", 2_902_673, 1.0666, 370),
            (50, None, 2_732_689, 1.0664, 338),
        ],
        [
            (101, "gc", 5_353_458, 1.5069, 908),
            (101, "se", 5_335_441, 1.5021, 710),
            (101, None, 5_026_193, 1.5017, 644),
            (152, "gc", 7_377_459, 1.9462, 1350),
            (152, "se", 7_350_929, 1.9393, 1050),
            (152, None, 6_918_801, 1.9388, 950),
        ],
    ),
)
def test_cost(depth, attention, params, gmacs, keys):
    model = network(f"lpn_{depth}", 17, attention)
    same_cost(model, (256, 192), params, gmacs)
    assert len(model.state_dict()) == keys


def test_cost_for_mpii():
    same_cost(network("lpn_50", 16, "gc"), (256, 256), 2_910_896, 1.4252)


@pytest.mark.parametrize("attention", ["gc", "se", None])
def test_training_reaches_every_parameter(attention):
    gradients_flow(create_model("lpn_50", 5, width=0.25, attention=attention))


def test_global_context_starts_as_the_identity():
    attention = create_model("lpn_50", 5, width=0.25).layer1[0].att
    x = torch.rand(2, 16, 4, 4)
    assert torch.equal(attention(x), x)


def test_only_the_weights_for_mpii_eat_rgb():
    assert blank("lpn_50", 16).description.colour == "RGB"
    assert blank("lpn_50", 17).description.colour == "BGR"


def test_an_unknown_attention_is_refused():
    with pytest.raises(PosekitError, match="attention='cbam' must be 'gc' or 'se' .*gc, se, none"):
        create_model("lpn_50", 5, attention="cbam")
