"""HRNet against the published code."""

import pytest
import torch
from topdown import blank, gradients_flow, read, same_cost, same_layout, same_outputs, sizes

from posekit.models import create_model

GOLDENS = {
    "model_hrnet_w32_coco_256x192": ("hrnet_w32", 17),
    "model_hrnet_w32_mpii_256x256": ("hrnet_w32", 16),
    "model_hrnet_w48_coco_256x192": ("hrnet_w48", 17),
    "model_hrnet_w48_mpii_256x256": ("hrnet_w48", 16),
}


@pytest.mark.parametrize("stem", GOLDENS)
def test_layout(stem):
    same_layout(blank(*GOLDENS[stem]), read(stem))


@pytest.mark.parametrize("stem", sizes(list(GOLDENS)[:1], list(GOLDENS)[1:]))
def test_heatmaps(stem):
    same_outputs(blank(*GOLDENS[stem]), read(stem))


@pytest.mark.parametrize(
    ("name", "keypoints", "size", "params", "gmacs"),
    sizes(
        [
            ("hrnet_w32", 17, (256, 192), 28_536_113, 7.645),
            ("hrnet_w48", 17, (256, 192), 63_595_745, 15.692),
        ],
        [
            ("hrnet_w32", 17, (384, 288), 28_536_113, 17.201),
            ("hrnet_w32", 16, (256, 256), 28_536_080, 10.193),
            ("hrnet_w48", 17, (384, 288), 63_595_745, 35.307),
            ("hrnet_w48", 16, (256, 256), 63_595_696, 20.922),
        ],
    ),
)
def test_cost(name, keypoints, size, params, gmacs):
    same_cost(blank(name, keypoints), size, params, gmacs)


def test_training_reaches_every_parameter():
    gradients_flow(create_model("hrnet_w32", 5, width=0.25))


def test_initial_weights_are_the_papers():
    torch.manual_seed(0)
    for name, value in create_model("hrnet_w32", 5, width=0.5).named_parameters():
        if value.ndim == 4 and value.numel() > 1e4:
            assert float(value.detach().std()) == pytest.approx(1e-3, rel=0.05), name
