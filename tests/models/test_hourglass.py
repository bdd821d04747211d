"""Stacked hourglasses against the ported code."""

import pytest
import torch
from topdown import (
    blank,
    filled,
    gradients_flow,
    read,
    same_cost,
    same_layout,
    same_outputs,
    same_values,
    sizes,
    wave,
)

from posekit.errors import PosekitError
from posekit.models import create_model

GOLDENS = {
    "model_hourglass_s2_j16_256x256": ("hourglass_2", 16),
    "model_hourglass_s8_coco_256x192": ("hourglass_8", 17),
}


@pytest.mark.parametrize("stem", GOLDENS)
def test_layout(stem):
    same_layout(blank(*GOLDENS[stem]), read(stem))


@pytest.mark.parametrize("stem", sizes([], list(GOLDENS)[1:]))
def test_heatmaps(stem):
    same_outputs(blank(*GOLDENS[stem]), read(stem))


@torch.no_grad()
def test_heatmaps_of_all_stacks():
    record = read("model_hourglass_s2_j16_256x256")
    model = blank("hourglass_2", 16).to_empty(device="cpu").eval()
    model.load_state_dict(filled(record["keys"]), strict=True)
    last, model.training = model(wave([1, 3, 256, 256])), True  # statistics stay fixed
    stacks = model(wave([1, 3, 256, 256]))
    assert len(stacks) == 2 and torch.equal(stacks[-1], last)
    same_values(stacks[0], record["output_first"])
    same_values(last, record["output"])


@pytest.mark.parametrize(
    ("name", "keypoints", "size", "params", "gmacs"),
    sizes(
        [
            ("hourglass_8", 17, (256, 192), 25_598_472, 21.083),
            ("hourglass_4", 17, (256, 192), 13_020_612, 11.524),
            ("hourglass_2", 17, (256, 192), 6_731_682, 6.744),
            ("hourglass_1", 17, (256, 192), 3_587_217, 4.354),
        ],
        [
            ("hourglass_8", 16, (256, 256), 25_594_624, 28.094),
            ("hourglass_4", 16, (256, 256), 13_018_816, 15.357),
            ("hourglass_2", 16, (256, 256), 6_730_912, 8.989),
            ("hourglass_1", 16, (256, 256), 3_586_960, 5.805),
        ],
    ),
)
def test_cost(name, keypoints, size, params, gmacs):
    same_cost(blank(name, keypoints), size, params, gmacs)


def test_training_reaches_every_parameter():
    gradients_flow(create_model("hourglass_2", 5, width=0.125), size=128)


def test_a_size_that_does_not_fold_is_refused():
    with pytest.raises(PosekitError, match="256x224.*multiples of 64"):
        create_model("hourglass_1", 5, width=0.1)(torch.zeros(1, 3, 256, 224))
