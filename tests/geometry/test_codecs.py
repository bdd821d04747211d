import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posekit.geometry import codecs

GOLDEN = Path(__file__).parents[1] / "golden" / "pose_machines"


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def test_paper_targets_and_background():
    for case in golden("heatmaps")["paper_label"]:
        points = torch.tensor(case["points_xyv"], dtype=torch.float64)
        size = (case["size"],) * 2
        cells = (case["size"] // case["stride"],) * 2
        visible = points[:, 2] >= 0  # labelled, occluded or not
        maps = codecs.gaussian_maps(points[:, :2], visible, size, cells, case["sigma"])
        expected = torch.tensor(case["maps"], dtype=torch.float64)
        torch.testing.assert_close(maps, expected, atol=1e-5, rtol=0)
        background = codecs.with_background(maps)[-1]
        expected = torch.tensor(case["background"], dtype=torch.float64)
        torch.testing.assert_close(background, expected, atol=1e-5, rtol=0)


def test_mobilepose_targets():
    label = golden("heatmaps")["reference_label"]
    size, cells = (label["image_size"],) * 2, (label["label_size"],) * 2
    sigma = label["sigma"] * size[0] / cells[0]
    for joint in label["joints"]:
        point = torch.tensor([joint["point"]], dtype=torch.float64)
        visible = (point > 0).all(-1)
        maps = codecs.gaussian_maps(point, visible, size, cells, sigma, half_pixel=False)[0]
        expected = torch.zeros(cells, dtype=torch.float64)
        for row, column, value in joint["nonzero"]:
            expected[row, column] = value
        torch.testing.assert_close(maps, expected, atol=1e-6, rtol=0)


def test_centre_map_is_mobileposes_transposed():
    for case in golden("heatmaps")["reference_center"]["cases"]:
        x, y = case["center"]
        centre = torch.tensor([[x, y]], dtype=torch.float64)
        ours = codecs.centre_map((256, 256), 21.0, centre, centre)[0, 0]
        for row, column, value in case["samples"]:
            assert ours[column, row].item() == pytest.approx(value, abs=1e-5)
        assert ours.sum().item() == pytest.approx(case["sum"], rel=1e-6)


def test_argmax_and_quarter_offset():
    data = golden("decode_pck")
    for which in ("pred", "target"):
        maps = torch.tensor(data[which], dtype=torch.float64).reshape(data["shape"])
        cells, scores = codecs.argmax(maps)
        cells = codecs.quarter_offset(maps, cells) * (scores > 0)[..., None]
        expected = torch.tensor(data[f"decoded_{which}_xy"], dtype=torch.float64)
        torch.testing.assert_close(cells, expected, atol=1e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(20, 107),
    y=st.floats(20, 107),
    half_pixel=st.booleans(),
    cells=st.sampled_from([16]),
)
def test_round_trip_stays_within_a_cell(x, y, half_pixel, cells):
    """A drawn keypoint is read back within half a cell; enlarged maps do better."""
    point = torch.tensor([[[x, y]]])
    visible = torch.ones(1, 1, dtype=torch.bool)
    maps = codecs.gaussian_maps(point, visible, (128, 128), (cells, cells), 10.0, half_pixel)
    found, _ = codecs.decode(maps, (128, 128), half_pixel)
    error = (found - point).abs().max().item()
    assert error <= (1.6 if half_pixel else 4.0)


def test_invisible_keypoints_draw_nothing():
    points = torch.tensor([[np.nan, 3.0], [40.0, 40.0]])
    maps = codecs.gaussian_maps(points, torch.tensor([False, True]), (64, 64), (8, 8), 8.0)
    assert maps[0].abs().sum() == 0 and maps[1].max() > 0.7
    assert torch.isfinite(maps).all()
