"""How boxes become crops: pose machines' squares and the top-down networks' aspect boxes."""

from dataclasses import replace

import numpy as np
import pytest

from posekit.config.resolve import resolve
from posekit.data import load
from posekit.data.framing import Framing, well_centred
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.geometry import crops as geometry

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


def test_people_are_well_centred_by_hand():
    """In a crop of 100 x 100 pixels: 0.45 of one joint is 25.3 pixels, 0.65 of 17 are 18.6."""
    keypoints, visible = np.zeros((6, 17, 2)), np.zeros((6, 17), bool)
    for row, (count, distance) in enumerate([(1, 25), (1, 26), (17, 18), (17, 19), (0, 0), (2, 0)]):
        visible[row, :count] = True
        keypoints[row, :count, 0] = distance
    keypoints[5, :2, 0] = -40, 40  # their mean counts, not how far apart they are
    keypoints[:2, 1:] = 1e6  # nobody annotated them
    kept = well_centred(keypoints + 50, visible, np.full((6, 2), 50.0), np.full(6, 1e4))
    assert kept.tolist() == [True, False, True, False, False, True]


def test_data_are_selected_for_training_alone(tmp_path):
    given = {"source": "sample", "select_data": True}
    settings, plain = (resolve("hrnet", g).settings for g in (given, {"source": "sample"}))
    people, framing = load("COCO", "train", ensure_sample("COCO", smoke=True)), plain.framing()
    assert plain.training_people(people, framing) is people
    moved = replace(people, boxes=people.boxes.copy())
    moved.boxes[::2] += 1000
    chosen = settings.training_people(moved, framing)
    assert chosen.annotation_id.tolist() == people.annotation_id[1::2].tolist()
    assert (
        chosen.notes[-1] == f"select_data keeps {len(chosen)} of {len(people)} people to train on"
    )
    with pytest.raises(
        PosekitError, match=f"select_data keeps none of {len(people)} people: leave"
    ):
        settings.training_people(replace(people, boxes=people.boxes + 1000), framing)
