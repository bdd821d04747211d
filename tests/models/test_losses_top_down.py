"""Losses of the top-down networks."""

import json
from pathlib import Path

import pytest
import torch

from posekit.errors import PosekitError
from posekit.models.families.losses import joints_mse, ohkm

FILE = Path(__file__).parents[1] / "golden" / "topdown" / "func_loss_accuracy.json"
GOLDEN = json.loads(FILE.read_text())["loss"]
VALUES = GOLDEN["values"]
MAPS, TARGET, WEIGHTS = (
    torch.tensor(GOLDEN[name], dtype=torch.float64)
    for name in ("output", "target", "target_weight")
)
ONES = torch.ones_like(WEIGHTS)


@pytest.mark.parametrize(
    "loss, name",
    [
        (lambda: joints_mse(MAPS, TARGET, WEIGHTS), "mse_weighted"),
        (lambda: joints_mse(MAPS, TARGET, ONES), "mse_unweighted"),
        (lambda: joints_mse(MAPS[:1], TARGET[:1], WEIGHTS[:1]), "mse_weighted_batch1"),
        (lambda: ohkm(MAPS, TARGET, WEIGHTS), "ohkm_weighted_top8"),
        (lambda: ohkm(MAPS, TARGET, ONES), "ohkm_unweighted_top8"),
        (lambda: ohkm(MAPS, TARGET, WEIGHTS, 3), "ohkm_weighted_top3"),
    ],
)
def test_golden_losses(loss, name):
    assert loss().item() == pytest.approx(VALUES[name], rel=1e-6)


def test_ohkm_of_all_joints_is_the_mean_also_for_one_person():
    for people in (1, 3):
        part = MAPS[:people], TARGET[:people], ONES[:people]
        torch.testing.assert_close(ohkm(*part, MAPS.shape[1]), joints_mse(*part))


def test_only_the_worst_joints_learn():
    maps = TARGET.clone()
    maps[:, 4] += 1.0
    maps[:, 9] += 0.1
    maps.requires_grad_()
    ohkm(maps, TARGET, ONES, 1).backward()
    assert torch.nonzero(maps.grad.abs().sum((0, 2, 3))).flatten().tolist() == [4]


@pytest.mark.parametrize("topk", [0, 18])
def test_topk_has_to_fit_the_joints(topk):
    with pytest.raises(PosekitError, match="choose 1 to 17"):
        ohkm(MAPS, TARGET, WEIGHTS, topk)
