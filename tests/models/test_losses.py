import json
from pathlib import Path

import numpy as np
import pytest
import torch

from posekit.models.families.losses import heatmap_loss

GOLDEN = Path(__file__).parents[1] / "golden" / "pose_machines" / "loss.json"


def wave(function, step, shape):
    index = np.arange(np.prod(shape))
    return torch.tensor(np.round(0.5 + 0.5 * function(step * index), 5).reshape(shape))


def test_caffe_and_mobilepose_losses():
    golden = json.loads(GOLDEN.read_text())
    maps = wave(np.sin, 0.13, golden["output"]["shape"])
    target = wave(np.cos, 0.29, golden["label"]["shape"])
    target = torch.cat([target[:, :1], target], 1)  # the initial belief is about frame 1
    weights = torch.ones(maps.shape[:3])
    total = heatmap_loss(maps, target, weights, "sum").item()
    assert total == pytest.approx(golden["caffe_euclidean_sum_6stages"], rel=1e-6)
    mean = heatmap_loss(maps, target, weights, "mean").item()
    assert 2 * mean == pytest.approx(golden["mean_squared_error_6stages"], rel=1e-6)
    # MobilePose-master multiplies by its S stages where it means to divide: S^2 times our mean.
    stages = maps.shape[1]
    assert stages**2 * mean == pytest.approx(golden["reference_loss_6stages"], rel=1e-6)
    later = heatmap_loss(maps[:, 1:], target[:, 1:], weights[:, 1:], "mean").item()
    assert 5**2 * later == pytest.approx(
        golden["reference_loss_5stages_of_cpm_drop_first"], rel=1e-6
    )


def test_joints_that_are_not_annotated_do_not_matter():
    maps, target = torch.rand(2, 3, 4, 5, 5), torch.rand(2, 3, 4, 5, 5)
    weights = torch.ones(2, 3, 4)
    weights[:, :, 1] = 0
    before = heatmap_loss(maps, target, weights)
    maps[:, :, 1] = 99
    assert heatmap_loss(maps, target, weights) == before


def test_the_error_by_hand():
    """One map of 2 x 2 cells of each of two people, in half weight; another that counts nothing."""
    maps, target = torch.zeros(2, 1, 2, 2, 2), torch.zeros(2, 1, 2, 2, 2)
    maps[0, 0, 0, 0, 0], maps[1, 0, 0, 1, 1], maps[0, 0, 1] = 2.0, 4.0, 7.0
    weights = torch.tensor([[[0.5, 0.0]], [[0.5, 0.0]]])
    assert heatmap_loss(maps, target, weights) == (4 + 16) * 0.5 / 2 / 2
    assert heatmap_loss(maps, target, weights, "mean") == (4 + 16) * 0.5 / 2 / 16
