"""Targets and decoders of the top-down networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posekit.errors import PosekitError
from posekit.geometry import codecs
from posekit.geometry import crops as geometry
from posekit.geometry.skeletons import COCO

GOLDEN = Path(__file__).parents[1] / "golden" / "topdown"
TARGETS = json.loads((GOLDEN / "func_target.json").read_text())
DECODE = json.loads((GOLDEN / "func_decode.json").read_text())

MAPS = torch.tensor(DECODE["heatmaps"])


def same(found, expected, atol=1e-5, rtol=0.0):
    found = torch.as_tensor(found).double()
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), atol=atol, rtol=rtol
    )


def to_image(cells):
    """Final keypoints of the golden crops: cells of a stride-4 map to image pixels."""
    H, W = MAPS.shape[-2:]
    size = (4 * H, 4 * W)
    pixels = codecs.cells_to_pixels(cells.double(), size, (H, W), half_pixel=False).numpy()
    matrices = [
        geometry.crop_matrix(np.array(centre), 200 * scale[0], size, half_pixel=False)
        for centre, scale in zip(DECODE["center"], DECODE["scale"], strict=True)
    ]
    return geometry.transform(geometry.invert(np.stack(matrices)), pixels)


@pytest.mark.parametrize("case", TARGETS["cases"], ids=lambda c: f"sigma {c['sigma']}")
def test_targets(case):
    points, visible = torch.tensor(case["joints"]), torch.tensor(case["vis"]) > 0
    size, cells = case["image_size"][::-1], case["heatmap_size"][::-1]
    maps, weights = codecs.rounded_gaussian_maps(
        points, visible, size, cells, case["sigma"], reference_mode=True
    )
    same(weights, case["target_weight"])
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
            assert codecs.argmax(maps[k])[0].tolist() == joint["argmax_xy"]
    patch = maps[12][maps[12].any(1)][:, maps[12].any(0)]
    same(patch, case["patch_joint12"], atol=1e-6)


@pytest.mark.parametrize("case", TARGETS["cases"], ids=lambda c: f"sigma {c['sigma']}")
def test_an_empty_map_is_trained_only_when_faithful(case):
    points, visible = torch.tensor(case["joints"]), torch.tensor(case["vis"]) > 0
    arguments = (points, visible, case["image_size"][::-1], case["heatmap_size"][::-1])
    old_maps, _ = codecs.rounded_gaussian_maps(*arguments, case["sigma"], reference_mode=True)
    maps, weights = codecs.rounded_gaussian_maps(*arguments, case["sigma"])
    assert torch.equal(maps, old_maps)
    assert torch.equal(weights > 0, maps.flatten(1).any(1))
    edge = points.new_tensor([[-4.0 * (3 * case["sigma"] + 1.5), 40.0]])  # patch ends at cell -1
    for reference_mode in (True, False):
        maps, weights = codecs.rounded_gaussian_maps(
            edge, torch.tensor([True]), *arguments[2:], case["sigma"], reference_mode
        )
        assert weights.item() == reference_mode and not maps.any()


def test_targets_are_batched_and_ignore_what_is_not_visible():
    points = torch.rand(2, 3, 5, 2) * 64
    visible = torch.rand(2, 3, 5) > 0.3
    visible[0, 0, 0] = False
    points[0, 0, 0] = np.nan
    maps, weights = codecs.rounded_gaussian_maps(points, visible, (64, 48), (16, 12), 2.0)
    assert maps.shape == (2, 3, 5, 16, 12) and torch.isfinite(maps).all()
    alone, weight = codecs.rounded_gaussian_maps(
        points[1, 2, 3:4], visible[1, 2, 3:4], (64, 48), (16, 12), 2.0
    )
    assert torch.equal(maps[1, 2, 3:4], alone) and torch.equal(weights[1, 2, 3:4], weight)
    assert not maps[~visible].any() and not weights[~visible].any()


def test_argmax_and_quarter_offset():
    cells, scores = codecs.decode_cells(MAPS, "argmax")
    same(cells, DECODE["get_max_preds"]["coords"])
    same(scores[..., None], np.reshape(DECODE["get_max_preds"]["maxvals"], (2, 8, 1)).tolist())
    same(to_image(cells), DECODE["final_preds_no_post_process"], rtol=1e-5)
    cells, _ = codecs.decode_cells(MAPS, "quarter")
    same(cells, DECODE["heatmap_coords_after_quarter_offset"])
    same(to_image(cells), DECODE["final_preds"], rtol=1e-5)


def test_soft_argmax_of_lpn_and_lp_net():
    official, lp_net = DECODE["softargmax_official"], DECODE["softargmax_reference001"]
    for beta in (160, 100, 10):
        cells, _ = codecs.decode_cells(MAPS, "soft_argmax", beta=beta)
        same(cells, official[f"beta{beta}"], atol=1e-4)
    cells, scores = codecs.decode_cells(MAPS, "soft_argmax_official")
    same(scores, np.reshape(official["maxvals_at_rounded"], (2, 8)).tolist())
    same(to_image(cells), official["final_preds_beta160_with_quarter_offset"], 1e-3)
    cells, scores = codecs.decode_cells(MAPS, "soft_argmax_lp_net")
    same(cells, lp_net["coords_masked"], atol=1e-4)
    same(scores, np.reshape(lp_net["maxvals"], (2, 8)).tolist())
    same(to_image(cells), lp_net["final_preds"], 1e-3)


def test_flip_test_with_shift():
    flip = DECODE["flip"]
    plain, mirrored = torch.tensor(flip["output"]), torch.tensor(flip["output_flipped"])
    back = mirrored.flip(-1)[:, COCO.flip]
    same(back, flip["flip_back"], atol=1e-6)
    same((plain + back) / 2, flip["averaged_without_shift"], atol=1e-6)
    same((plain + codecs.shift_right(back)) / 2, flip["averaged_with_shift"], atol=1e-6)


inside = st.tuples(st.floats(30, 160), st.floats(30, 220))


@settings(max_examples=80, deadline=None)
@given(point=inside, sigma=st.sampled_from([2.0, 3.0]))
def test_round_trips(point, sigma):
    """DARK undoes an unbiased Gaussian; a rounded one is read back within half a cell."""
    size, cells = (256, 192), (64, 48)
    points, visible = torch.tensor([point]), torch.tensor([True])
    unbiased = codecs.gaussian_maps(points, visible, size, cells, 4 * sigma, half_pixel=False)
    rounded, _ = codecs.rounded_gaussian_maps(points, visible, size, cells, sigma)

    def error(maps, method):
        found, _ = codecs.decode_cells(maps, method, sigma_cells=sigma)
        pixels = codecs.cells_to_pixels(found, size, cells, half_pixel=False)
        return (pixels - points).abs().max().item()

    assert error(unbiased, "dark") <= 0.5
    assert error(rounded, "quarter") <= 2.0 + 1e-4
    assert error(rounded, "soft_argmax") <= 2.0 + 1e-2


def test_dark_is_exact_on_gaussians_that_are_not_cut():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    centres = torch.tensor([[20.3, 30.45], [11.0, 50.0], [35.5, 9.74]], dtype=torch.float64)
    offset = torch.stack([x, y], -1) - centres[:, None, None]
    maps = torch.exp(-offset.square().sum(-1) / 8)
    cells, _ = codecs.argmax(maps)
    found = codecs.dark(maps, cells)
    # The smoothing is cut at 2.5 sigma, so a trace of bias is left.
    torch.testing.assert_close(found, centres, atol=0.01, rtol=0)


def test_dark_leaves_flat_maps_and_borders_alone():
    maps = torch.zeros(3, 40, 30)
    maps[1] = 0.7
    maps[2, 0, 1] = 1.0
    cells, scores = codecs.decode_cells(maps, "dark")
    assert cells.tolist() == [[0, 0], [0, 0], [1, 0]] and scores[2] == 1
    middle = torch.full((3, 2), 15.0)
    assert torch.equal(codecs.dark(maps, middle)[:2], middle[:2])


@pytest.mark.parametrize("method", codecs.DECODERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 8)], ids=str)
def test_small_maps_are_read(method, size):
    cells, _ = codecs.decode_cells(MAPS[:1, :2, : size[0], : size[1]], method)
    assert cells.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_argmax_takes_the_first_of_equals_and_any_type(dtype):
    maps = torch.zeros(2, 6, 5, dtype=dtype, requires_grad=True)
    peaks = torch.zeros_like(maps)
    peaks[0, 2, 3] = peaks[0, 2, 4] = peaks[0, 5, 0] = 2
    cells, scores = codecs.argmax(maps + peaks)
    assert cells.tolist() == [[3, 2], [0, 0]] and scores.tolist() == [2, 0]
    assert cells.dtype == scores.dtype == dtype


@pytest.mark.parametrize("method", codecs.DECODERS)
def test_maps_of_a_diverged_network_do_not_stop_the_evaluation(method):
    maps = torch.stack([torch.full((16, 12), float("nan")), MAPS[0, 0]])
    cells, scores = codecs.decode_cells(maps[None], method)
    alone, score = codecs.decode_cells(MAPS[:1, :1], method)
    assert scores[0, 0].isnan()
    assert torch.equal(cells[:, 1:], alone) and torch.equal(scores[:, 1:], score)


def test_unknown_names_are_refused():
    with pytest.raises(PosekitError, match="choose one of argmax"):
        codecs.decode_cells(MAPS, "unbiased")
    with pytest.raises(PosekitError, match="choose pure"):
        codecs.soft_argmax(MAPS, variant="lpn")
