"""How boxes become crops: pose machines' squares and the top-down networks' aspect boxes."""

import numpy as np

from posekit.data.framing import Framing
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
