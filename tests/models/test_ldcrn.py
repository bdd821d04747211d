"""LDCRN against the authors' code."""

import pytest
import torch
from topdown import blank, gradients_flow, read, same_cost, same_layout, same_outputs, sizes

from posekit.models import cost, create_model

GOLDENS = {"model_ldcrn_coco_256x192": 17, "model_ldcrn_mpii_256x256": 16}


@pytest.mark.parametrize("stem", GOLDENS)
def test_layout(stem):
    same_layout(blank("ldcrn", GOLDENS[stem]), read(stem))


@pytest.mark.parametrize("stem", sizes(list(GOLDENS)[:1], list(GOLDENS)[1:]))
def test_heatmaps(stem):
    same_outputs(blank("ldcrn", GOLDENS[stem]), read(stem))


@pytest.mark.parametrize(
    ("keypoints", "size", "params", "gmacs"),
    sizes(
        [
            (17, (256, 192), 7_894_897, 6.544),
        ],
        [
            (17, (384, 288), 7_894_897, 14.724),
            (16, (256, 256), 7_894_864, 8.725),
        ],
    ),
)
def test_cost(keypoints, size, params, gmacs):
    same_cost(blank("ldcrn", keypoints), size, params, gmacs)


def test_it_saves_what_the_paper_claims():
    images = torch.empty(1, 3, 256, 192, device="meta")
    light, full = cost(blank("ldcrn", 17), images), cost(blank("hrnet_w32", 17), images)
    assert round(100 * (1 - light.params / full.params)) == 72
    assert round(100 * (1 - light.gmacs / full.gmacs)) == 14


def test_training_reaches_every_parameter():
    gradients_flow(create_model("ldcrn", 5, width=0.25))
