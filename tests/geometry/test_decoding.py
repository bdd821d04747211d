"""Keypoints read off heat maps: pose machines, top-down networks, and what a drawn one gives."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from posekit.errors import PosekitError
from posekit.geometry import crops as geometry
from posekit.geometry.decoding import (
    DECODERS,
    argmax,
    dark,
    decode,
    decode_enlarged,
    mirrored,
    quarter_offset,
    shift_right,
    soft_argmax,
)
from posekit.geometry.heatmaps import cells_to_pixels, gaussian_maps, rounded_gaussian_maps
from posekit.geometry.skeletons import COCO

GOLDEN = Path(__file__).parents[1] / "golden"
DECODE = json.loads((GOLDEN / "topdown" / "func_decode.json").read_text())

MAPS = torch.tensor(DECODE["heatmaps"])


def cells_of(maps, method, **options):
    """What `decode` finds in cells: as if a crop had the size of the map."""
    return decode(maps, tuple(maps.shape[-2:]), method, **options)


def same(found, expected, atol=1e-5, rtol=0.0):
    found = torch.as_tensor(found).double()
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), atol=atol, rtol=rtol
    )


def to_image(cells):
    """Final keypoints of the golden crops: cells of a stride-4 map to image pixels."""
    H, W = MAPS.shape[-2:]
    size = (4 * H, 4 * W)
    pixels = cells_to_pixels(cells.double(), size, (H, W), half_pixel=False).numpy()
    matrices = [
        geometry.crop_matrix(np.array(centre), 200 * scale[0], size, half_pixel=False)
        for centre, scale in zip(DECODE["center"], DECODE["scale"], strict=True)
    ]
    return geometry.transform(geometry.invert(np.stack(matrices)), pixels)


def test_quarter_offset_of_mobilepose():
    data = json.loads((GOLDEN / "pose_machines" / "decode_pck.json").read_text())
    for which in ("pred", "target"):
        maps = torch.tensor(data[which], dtype=torch.float32).reshape(data["shape"])
        cells, _ = cells_of(maps, "quarter")
        expected = torch.tensor(data[f"decoded_{which}_xy"], dtype=torch.float32)
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
    maps = gaussian_maps(point, visible, (128, 128), (cells, cells), 10.0, half_pixel)
    found, _ = decode_enlarged(maps, (128, 128)) if half_pixel else decode(maps, (128, 128))
    error = (found - point).abs().max().item()
    assert error <= (1.6 if half_pixel else 4.0)


def test_argmax_and_quarter_offset():
    cells, scores = cells_of(MAPS, "argmax")
    same(cells, DECODE["get_max_preds"]["coords"])
    same(scores[..., None], np.reshape(DECODE["get_max_preds"]["maxvals"], (2, 8, 1)).tolist())
    same(to_image(cells), DECODE["final_preds_no_post_process"], rtol=1e-5)
    cells, _ = cells_of(MAPS, "quarter")
    same(cells, DECODE["heatmap_coords_after_quarter_offset"])
    same(to_image(cells), DECODE["final_preds"], rtol=1e-5)


def test_soft_argmax_of_lpn_and_lp_net():
    official, lp_net = DECODE["softargmax_official"], DECODE["softargmax_reference001"]
    for beta in (160, 100, 10):
        cells, _ = cells_of(MAPS, "soft_argmax", beta=beta)
        same(cells, official[f"beta{beta}"], atol=1e-4)
    cells, scores = cells_of(MAPS, "soft_argmax_official")
    same(scores, np.reshape(official["maxvals_at_rounded"], (2, 8)).tolist())
    same(to_image(cells), official["final_preds_beta160_with_quarter_offset"], 1e-3)
    cells, scores = cells_of(MAPS, "soft_argmax_lp_net")
    same(cells, lp_net["coords_masked"], atol=1e-4)
    same(scores, np.reshape(lp_net["maxvals"], (2, 8)).tolist())
    same(to_image(cells), lp_net["final_preds"], 1e-3)


def test_flip_test_with_shift():
    flip = DECODE["flip"]
    plain, mirrored = torch.tensor(flip["output"]), torch.tensor(flip["output_flipped"])
    back = mirrored.flip(-1)[:, COCO.flip]
    same(back, flip["flip_back"], atol=1e-6)
    same((plain + back) / 2, flip["averaged_without_shift"], atol=1e-6)
    same((plain + shift_right(back)) / 2, flip["averaged_with_shift"], atol=1e-6)


inside = st.tuples(st.floats(30, 160), st.floats(30, 220))


@settings(max_examples=80, deadline=None)
@given(point=inside, sigma=st.sampled_from([2.0, 3.0]))
def test_round_trips(point, sigma):
    """DARK undoes an unbiased Gaussian; a rounded one is read back within half a cell."""
    size, cells = (256, 192), (64, 48)
    points, visible = torch.tensor([point]), torch.tensor([True])
    unbiased = gaussian_maps(points, visible, size, cells, 4 * sigma, half_pixel=False)
    rounded, _ = rounded_gaussian_maps(points, visible, size, cells, sigma)

    def error(maps, method):
        pixels, _ = decode(maps, size, method, sigma_cells=sigma)
        return (pixels - points).abs().max().item()

    assert error(unbiased, "dark") <= 0.5
    assert error(rounded, "quarter") <= 2.0 + 1e-4
    assert error(rounded, "soft_argmax") <= 2.0 + 1e-2


def test_dark_is_exact_on_gaussians_that_are_not_cut():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    centres = torch.tensor([[20.3, 30.45], [11.0, 50.0], [35.5, 9.74]], dtype=torch.float64)
    offset = torch.stack([x, y], -1) - centres[:, None, None]
    maps = torch.exp(-offset.square().sum(-1) / 8)
    cells, _ = argmax(maps)
    found = dark(maps, cells)
    # The smoothing is cut at 2.5 sigma, so a trace of bias is left.
    torch.testing.assert_close(found, centres, atol=0.01, rtol=0)


def test_dark_leaves_flat_maps_and_borders_alone():
    maps = torch.zeros(3, 40, 30)
    maps[1] = 0.7
    maps[2, 0, 1] = 1.0
    cells, scores = cells_of(maps, "dark")
    assert cells.tolist() == [[0, 0], [0, 0], [1, 0]] and scores[2] == 1
    middle = torch.full((3, 2), 15.0)
    assert torch.equal(dark(maps, middle)[:2], middle[:2])


@pytest.mark.parametrize("method", DECODERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 8)], ids=str)
def test_small_maps_are_read(method, size):
    cells, _ = cells_of(MAPS[:1, :2, : size[0], : size[1]], method)
    assert cells.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_argmax_takes_the_first_of_equals_and_any_type(dtype):
    maps = torch.zeros(2, 6, 5, dtype=dtype, requires_grad=True)
    peaks = torch.zeros_like(maps)
    peaks[0, 2, 3] = peaks[0, 2, 4] = peaks[0, 5, 0] = 2
    cells, scores = argmax(maps + peaks)
    assert cells.tolist() == [[3, 2], [0, 0]] and scores.tolist() == [2, 0]
    assert cells.dtype == scores.dtype == dtype


@pytest.mark.parametrize("method", DECODERS)
def test_maps_of_a_diverged_network_do_not_stop_the_evaluation(method):
    maps = torch.stack([torch.full((16, 12), float("nan")), MAPS[0, 0]])
    cells, scores = cells_of(maps[None], method)
    alone, score = cells_of(MAPS[:1, :1], method)
    assert scores[0, 0].isnan()
    assert torch.equal(cells[:, 1:], alone) and torch.equal(scores[:, 1:], score)


def test_unknown_names_are_refused():
    with pytest.raises(PosekitError, match="choose one of argmax"):
        cells_of(MAPS, "unbiased")
    with pytest.raises(PosekitError, match="choose pure"):
        soft_argmax(MAPS, variant="lpn")


def test_peaks_that_a_quarter_offset_moves():
    """A peak in columns or rows 0, 1 and the last stays; maps need four of both."""
    maps = torch.zeros(2, 5, 6)
    maps[0] = torch.arange(6.0)  # rises to the right
    maps[1] = -torch.arange(5.0)[:, None]  # rises upwards
    places = torch.cartesian_prod(torch.arange(6.0), torch.arange(5.0))
    inside = ((places > 1) & (places < torch.tensor([5, 4]))).all(-1)
    for index, step in enumerate(([0.25, 0], [0, -0.25])):
        moved = torch.stack([quarter_offset(maps[index], place) - place for place in places])
        assert torch.equal(moved, inside[:, None] * torch.tensor(step))
    small = torch.arange(4.0).expand(4, 4)
    assert quarter_offset(small, torch.tensor([2.0, 2.0])).tolist() == [2.25, 2]
    assert quarter_offset(small[:3], torch.tensor([2.0, 1.0])).tolist() == [2, 1]


def test_peaks_that_dark_moves():
    """Not within two cells of the border, and not on maps that are not concave."""
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="ij")
    for axis, last in ((0, 9), (1, 11)):
        for cell in range(last + 1):
            place = torch.full((2,), 5.0)
            place[axis] = cell
            centre = place + 0.3
            maps = torch.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 8)
            moved = dark(maps, place)[1 - axis] != 5
            assert moved == (2 <= cell <= last - 2), (axis, cell)
            assert torch.equal(dark(1 - maps, place), place)


def test_mirrored_maps():
    maps = torch.rand(2, 17, 4, 3)
    found = mirrored(maps, COCO)
    assert torch.equal(found, maps.flip(-1)[:, list(COCO.flip)])
    assert torch.equal(mirrored(found, COCO), maps) and not torch.equal(found, maps.flip(-1))


def test_maps_that_reach_0_alone_are_put_at_the_first_cell():
    maps = torch.full((1, 8, 6), -1.0)
    maps[0, 3, 4] = 0.0
    for method in DECODERS:
        cells, scores = cells_of(maps, method)
        expected = [4, 3] if method in ("soft_argmax", "soft_argmax_official") else [0, 0]
        torch.testing.assert_close(cells.round(), torch.tensor([expected]).float())
        assert scores == 0
    maps[0, 3, 4] = 1e-3
    assert cells_of(maps, "argmax")[0].tolist() == [[4, 3]]


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_dark_by_the_book(sigma):
    """One Newton step on the logarithm of the map that scipy smooths; one of its bumps slants."""
    y, x = np.mgrid[:40.0, :30.0]
    maps = np.exp(-((x - 14.3) ** 2 + (y - 20.2) ** 2) / 12)
    maps += np.exp(-((x - 16.0) ** 2 + (y - 21.5) ** 2 - 1.7 * (x - 16) * (y - 21.5)) / 9)
    row, column = np.unravel_index(maps.argmax(), maps.shape)
    smooth = gaussian_filter(maps, sigma, radius=round(2.5 * sigma), mode="constant")
    along_y, along_x = np.gradient(np.log(smooth))
    at = row, column
    hessian = np.array([[g[at] for g in np.gradient(along)[::-1]] for along in (along_x, along_y)])
    step = -np.linalg.solve(hessian, [along_x[at], along_y[at]])
    assert 0.05 < np.abs(step).min() and abs(hessian[0, 1]) > 0.005
    found = dark(torch.tensor(maps), torch.tensor([float(column), float(row)]).double(), sigma)
    np.testing.assert_allclose(found, [column, row] + step, atol=1e-6)
