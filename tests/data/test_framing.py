"""How boxes become crops: pose machines' squares and the top-down networks' aspect boxes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posekit.data.framing import Framing, TopDownAugmentation, UniformAugmentation, well_centred
from posekit.geometry import crops as geometry
from posekit.geometry.skeletons import COCO

GOLDEN = Path(__file__).parents[1] / "golden" / "topdown"

BOX = np.array([[100.0, 50, 140, 130]])  # 40 x 80


def test_a_pose_machine_sees_a_square():
    framing = Framing((64, 64), 1.5)
    centres, sides = framing.place(BOX)
    np.testing.assert_allclose(centres, [[120, 90]])
    np.testing.assert_allclose(sides, [120])
    np.testing.assert_allclose(framing.areas(sides), [120**2])


def test_a_top_down_network_sees_a_box_of_its_aspect():
    """HRNet: 40 x 80 becomes 60 x 80 at aspect 3 / 4, then 1.25 times as large."""
    framing = Framing((256, 192), 1.25, half_pixel=False, fill=0)
    centres, sides = framing.place(BOX)
    np.testing.assert_allclose([centres[0, 0], centres[0, 1], sides[0]], [120, 90, 75])
    np.testing.assert_allclose(framing.areas(sides), [75 * 100])
    matrix = framing.matrix(centres[0], sides[0])
    corners = np.array([[120 - 37.5, 90 - 50.0], [120, 90], [120 + 37.5, 90 + 50.0]])
    expected = [[0, 0], [96, 128], [192, 256]]
    np.testing.assert_allclose(geometry.transform(matrix, corners), expected, atol=1e-9)


def test_mpii_is_framed_as_hrnet_does():
    """Centre lowered by 15 of 200 pixels of scale, 1.25 times the box."""
    scale, centre = 2.0, np.array([300.0, 200.0])
    box = np.concatenate([centre - 100 * scale, centre + 100 * scale])[None]
    centres, sides = Framing((256, 256), 1.25, half_pixel=False, drop=15 / 200).place(box)
    np.testing.assert_allclose(centres, [[300, 200 + 15 * scale]])
    np.testing.assert_allclose(sides, [200 * scale * 1.25])


def draws(augmentation, n=3000, visible=17):
    rng = np.random.default_rng(0)
    keypoints = np.stack([np.linspace(0, 40, 17), np.linspace(0, 100, 17)], -1)
    seen = np.arange(17) < visible
    centre = np.array([20.0, 50.0])
    return [augmentation.draw(rng, centre, 100.0, keypoints, seen) for _ in range(n)]


def test_top_down_augmentation_has_the_papers_frequencies():
    """Shares are within five standard errors of their probabilities."""
    wild = TopDownAugmentation(COCO, 0.75, 0.3, 0.35, 45.0, 0.6, 0.5)
    found = draws(wild)
    for share, p in (
        (np.mean([d.flip for d in found]), 0.5),
        (np.mean([d.rotation != 0 for d in found]), 0.6),
        (np.mean([d.centre[1] != 50 for d in found]), 0.3),
    ):
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(found))
    assert max(abs(d.rotation) for d in found) <= 90
    whole = [d.side for d in found if d.centre[1] == 50]
    assert 65 <= min(whole) and max(whole) <= 135
    assert all(d.centre[1] == 50 for d in draws(wild, 200, visible=8))  # too few for half a body


@given(st.floats(0.5, 1.0), st.floats(1.0, 2.0), st.floats(0, 180))
def test_uniform_augmentation_stays_in_its_range(low, high, angle):
    for d in draws(UniformAugmentation((low, high), angle, 0.5), 20):
        assert 100 / high - 1e-9 <= d.side <= 100 / low + 1e-9 and abs(d.rotation) <= angle
        assert d.gain is None


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_probabilities_at_the_ends(prob):
    quiet = TopDownAugmentation(COCO, 0.75, prob, 0.0, 30.0, prob, prob)
    for d in draws(quiet, 50):
        assert d.flip == bool(prob) and (d.rotation != 0) == bool(prob)


def test_people_out_of_the_middle_are_those_of_the_reference():
    record = json.loads((GOLDEN / "func_augment_core.json").read_text())["select_data"]
    joints, seen, centres, scales = (
        np.array([r[name] for r in record["records"]])
        for name in ("joints", "vis", "center", "scale")
    )
    kept = well_centred(joints, seen > 0, centres, 200 * scales)
    assert np.flatnonzero(kept).tolist() == record["kept"]
