"""Losses of the top-down networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from posekit.errors import PosekitError
from posekit.metrics.pck import heatmap_accuracy
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


def test_accuracy_is_the_references_mistake_only_when_asked():
    record = json.loads(FILE.read_text())["accuracy"]
    maps, target = (np.array(record[name]) for name in ("pred", "target"))
    mean, shares = heatmap_accuracy(maps, target, reference_mode=True)
    assert mean == pytest.approx(record["avg_acc"]) and (~np.isnan(shares)).sum() == record["cnt"]
    np.testing.assert_allclose(shares, record["acc"][1:], rtol=1e-6)
    wide = np.zeros((1, 1, 10, 40))
    wide[0, 0, 5, 20] = 1
    near = np.roll(wide, 1, -1)  # a quarter of a tenth of the width, a whole tenth of the height
    assert heatmap_accuracy(near, wide)[0] == 1
    assert heatmap_accuracy(near, wide, reference_mode=True)[0] == 0
    assert np.isnan(heatmap_accuracy(wide, 0 * wide)[0])
