"""Simple Baselines against the published code."""

import pytest
import torch
from topdown import blank, gradients_flow, read, same_cost, same_layout, same_outputs, sizes

from posekit.errors import PosekitError
from posekit.models import create_model

GOLDENS = {
    "model_pose_resnet_50_coco_256x192": ("pose_resnet_50", 17),
    "model_pose_resnet_50_mpii_256x256": ("pose_resnet_50", 16),
    "model_pose_resnet_101_coco_256x192": ("pose_resnet_101", 17),
    "model_pose_resnet_152_coco_256x192": ("pose_resnet_152", 17),
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
            ("pose_resnet_50", 17, (256, 192), 33_999_697, 5.426),
            ("pose_resnet_101", 17, (256, 192), 52_991_825, 9.063),
            ("pose_resnet_152", 17, (256, 192), 68_635_473, 12.699),
        ],
        [
            ("pose_resnet_50", 17, (384, 288), 33_999_697, 12.209),
            ("pose_resnet_50", 16, (256, 256), 33_999_440, 7.234),
            ("pose_resnet_101", 16, (256, 256), 52_991_568, 12.083),
            ("pose_resnet_152", 17, (384, 288), 68_635_473, 28.573),
            ("pose_resnet_152", 16, (256, 256), 68_635_216, 16.931),
        ],
    ),
)
def test_cost(name, keypoints, size, params, gmacs):
    same_cost(blank(name, keypoints), size, params, gmacs)


def test_training_reaches_every_parameter():
    gradients_flow(create_model("pose_resnet_50", 5, width=0.125))


def test_it_is_fed_as_its_weights_were_trained():
    about = blank("pose_resnet_50", 17).description
    assert about.colour == "BGR"
    # The numbers of R, G, B on the channels B, G, R: that is how the weights came about.
    assert [round(255 * v, 3) for v in (0.485, 0.456, 0.406)] == list(about.mean)
    assert [round(255 * v, 3) for v in (0.229, 0.224, 0.225)] == list(about.std)


def test_sizes_that_do_not_divide_are_refused():
    model = create_model("pose_resnet_50", 5, width=0.125)
    with pytest.raises(PosekitError, match="250x192.*multiples of 32"):
        model(torch.zeros(1, 3, 250, 192))
    with pytest.raises(PosekitError, match=r"expected images \(B, 3, h, w\)"):
        model(torch.zeros(1, 1, 256, 192))
