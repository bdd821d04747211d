"""Targets of the pose machines and of the top-down networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from posekit.data.framing import Framing
from posekit.geometry.crops import invert, transform
from posekit.geometry.decoding import argmax
from posekit.geometry.heatmaps import (
    cell_centres,
    cells_to_pixels,
    centre_map,
    gaussian_maps,
    resampled,
    rounded_gaussian_maps,
    with_background,
)

GOLDEN = Path(__file__).parents[1] / "golden"
TARGETS = json.loads((GOLDEN / "topdown" / "func_target.json").read_text())["cases"]


def golden(name):
    return json.loads((GOLDEN / "pose_machines" / f"{name}.json").read_text())


def test_paper_targets_and_background():
    for case in golden("heatmaps")["paper_label"]:
        points = torch.tensor(case["points_xyv"], dtype=torch.float64)
        size = (case["size"],) * 2
        cells = (case["size"] // case["stride"],) * 2
        visible = points[:, 2] >= 0  # labelled, occluded or not
        maps = gaussian_maps(points[:, :2], visible, size, cells, case["sigma"])
        expected = torch.tensor(case["maps"], dtype=torch.float64)
        torch.testing.assert_close(maps, expected, atol=1e-5, rtol=0)
        background = with_background(maps)[-1]
        expected = torch.tensor(case["background"], dtype=torch.float64)
        torch.testing.assert_close(background, expected, atol=1e-5, rtol=0)


def test_mobilepose_targets():
    label = golden("heatmaps")["reference_label"]
    size, cells = (label["image_size"],) * 2, (label["label_size"],) * 2
    sigma = label["sigma"] * size[0] / cells[0]
    for joint in label["joints"]:
        point = torch.tensor([joint["point"]], dtype=torch.float64)
        visible = (point > 0).all(-1)
        maps = gaussian_maps(point, visible, size, cells, sigma, half_pixel=False)[0]
        expected = torch.zeros(cells, dtype=torch.float64)
        for row, column, value in joint["nonzero"]:
            expected[row, column] = value
        torch.testing.assert_close(maps, expected, atol=1e-6, rtol=0)


def test_centre_map_is_mobileposes_transposed():
    for case in golden("heatmaps")["reference_center"]["cases"]:
        x, y = case["center"]
        centre = torch.tensor([[x, y]], dtype=torch.float64)
        ours = centre_map((256, 256), 21.0, centre, centre)[0, 0]
        for row, column, value in case["samples"]:
            assert ours[column, row].item() == pytest.approx(value, abs=1e-5)
        assert ours.sum().item() == pytest.approx(case["sum"], rel=1e-6)


def test_invisible_keypoints_draw_nothing():
    points = torch.tensor([[np.nan, 3.0], [40.0, 40.0]])
    maps = gaussian_maps(points, torch.tensor([False, True]), (64, 64), (8, 8), 8.0)
    assert maps[0].abs().sum() == 0 and maps[1].max() > 0.7
    assert torch.isfinite(maps).all()


@pytest.mark.parametrize("case", TARGETS, ids=lambda c: f"sigma {c['sigma']}")
def test_targets_of_the_top_down_networks(case):
    points, visible = torch.tensor(case["joints"]), torch.tensor(case["vis"]) > 0
    size, cells = case["image_size"][::-1], case["heatmap_size"][::-1]
    maps, weights = rounded_gaussian_maps(
        points, visible, size, cells, case["sigma"], reference_mode=True
    )
    expected = torch.tensor(case["target_weight"], dtype=weights.dtype)
    torch.testing.assert_close(weights, expected, atol=1e-5, rtol=0)
    for k, joint in enumerate(case["per_joint"]):
        if not weights[k]:
            assert not maps[k].any()
            continue
        assert maps[k].sum().item() == pytest.approx(joint["sum"], rel=1e-5, abs=1e-6)
        assert maps[k].max().item() == pytest.approx(joint["max"], abs=1e-6)
        y, x = torch.nonzero(maps[k], as_tuple=True)
        if len(x):
            box = [x.min().item(), y.min().item(), x.max().item(), y.max().item()]
            assert box == joint["nonzero_box_x0y0x1y1"]
            assert argmax(maps[k])[0].tolist() == joint["argmax_xy"]
    patch = maps[12][maps[12].any(1)][:, maps[12].any(0)]
    expected = torch.tensor(case["patch_joint12"], dtype=patch.dtype)
    torch.testing.assert_close(patch, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("half_pixel", [True, False])
@pytest.mark.parametrize("framed", [True, False])
def test_resampled_maps_say_what_the_other_crop_has_at_the_same_place(half_pixel, framed):
    """Maps that hold the x and y of their own pixels then hold where each pixel lies there."""
    size, cells = (96, 128), (24, 16)
    framing = Framing(size, 1.0, half_pixel=framed)
    across = cell_centres(16, 128, half_pixel, torch.zeros(1)).expand(24, 16)
    down = cell_centres(24, 96, half_pixel, torch.zeros(1))[:, None].expand(24, 16)
    own = torch.stack([across, down])[None]
    for scale in (0.8, 1.3):
        here, there = (framing.matrix(np.array([12.0, 7.0]), 40.0 / s) for s in (1, scale))
        pixels = torch.stack([across, down], -1).double().numpy()
        expected = transform(there, transform(invert(here), pixels))
        expected = torch.tensor(expected).permute(2, 0, 1).float()
        found = resampled(own, framing.zoom(scale), size, half_pixel)[0]
        inside = slice(6, -6), slice(5, -5)
        torch.testing.assert_close(found[:, *inside], expected[:, *inside], atol=1e-3, rtol=0)
    inside = resampled(torch.ones(1, 1, *cells), framing.zoom(2.0), size, half_pixel)[0, 0] > 0.5
    assert inside.float().mean() == pytest.approx(0.25, abs=0.08)  # nothing is known outside


@pytest.mark.parametrize("case", TARGETS, ids=lambda c: f"sigma {c['sigma']}")
def test_an_empty_map_is_trained_only_in_reference_mode(case):
    points, visible = torch.tensor(case["joints"]), torch.tensor(case["vis"]) > 0
    arguments = (points, visible, case["image_size"][::-1], case["heatmap_size"][::-1])
    old_maps, _ = rounded_gaussian_maps(*arguments, case["sigma"], reference_mode=True)
    maps, weights = rounded_gaussian_maps(*arguments, case["sigma"])
    assert torch.equal(maps, old_maps)
    assert torch.equal(weights > 0, maps.flatten(1).any(1))
    edge = points.new_tensor([[-4.0 * (3 * case["sigma"] + 1.5), 40.0]])  # patch ends at cell -1
    for reference_mode in (True, False):
        maps, weights = rounded_gaussian_maps(
            edge, torch.tensor([True]), *arguments[2:], case["sigma"], reference_mode
        )
        assert weights.item() == reference_mode and not maps.any()


def test_targets_are_batched_and_ignore_what_is_not_visible():
    points = torch.rand(2, 3, 5, 2) * 64
    visible = torch.rand(2, 3, 5) > 0.3
    visible[0, 0, 0] = False
    points[0, 0, 0] = np.nan
    maps, weights = rounded_gaussian_maps(points, visible, (64, 48), (16, 12), 2.0)
    assert maps.shape == (2, 3, 5, 16, 12) and torch.isfinite(maps).all()
    alone, weight = rounded_gaussian_maps(
        points[1, 2, 3:4], visible[1, 2, 3:4], (64, 48), (16, 12), 2.0
    )
    assert torch.equal(maps[1, 2, 3:4], alone) and torch.equal(weights[1, 2, 3:4], weight)
    assert not maps[~visible].any() and not weights[~visible].any()


@pytest.mark.parametrize("half_pixel", [True, False])
def test_the_places_of_cells(half_pixel):
    """At stride 8 cell 1 lies at pixel 11.5, or at 8."""
    across, down = (cell_centres(n, 8 * n, half_pixel, torch.zeros(1)) for n in (4, 3))
    assert across.tolist() == [8 * n + 3.5 * half_pixel for n in range(4)]
    cells = torch.cartesian_prod(torch.arange(4.0), torch.arange(3.0))
    pixels = cells_to_pixels(cells, (24, 32), (3, 4), half_pixel)
    assert torch.equal(pixels, torch.cartesian_prod(across, down))
    maps = torch.rand(1, 2, 3, 4)
    assert resampled(maps, np.eye(2, 3), (24, 32), half_pixel) is maps


def test_the_usual_centre_map_is_about_the_middle_of_the_crop():
    found = centre_map((5, 8), 2.0, torch.zeros(1))
    assert found.shape == (1, 1, 5, 8) and torch.equal(found, found.flip(-1, -2))
    # The middle is between columns 3 and 4, in row 2.
    assert found[0, 0, 2, 3].item() == pytest.approx(np.exp(-0.25 / 8))
    assert found[0, 0, 1, 3].item() == pytest.approx(np.exp(-1.25 / 8))


def test_the_borders_of_a_rounded_target():
    """With sigma 1 a patch reaches 3 cells: of cell -3 to 10 of 8 something is seen."""
    cells = torch.arange(-4.0, 12.0)
    points = torch.stack([4 * cells, torch.full_like(cells, 8.0)], -1)
    points[:4, 0] -= 2.5  # truncation goes towards zero
    seen = torch.ones(len(cells), dtype=torch.bool)
    maps, weights = rounded_gaussian_maps(points, seen, (32, 32), (8, 8), 1.0)
    assert weights.tolist() == [0, *[1] * 14, 0] and maps[4].max() == 1
    assert maps[4, 2, :5].tolist() == pytest.approx([1, np.exp(-0.5), np.exp(-2), np.exp(-4.5), 0])
