import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from posekit.geometry import crops as geometry

coordinates = st.floats(-500, 500)


@given(coordinates, coordinates, st.floats(5, 900), st.floats(-180, 180), st.booleans())
def test_crop_maps_the_centre_to_the_middle_and_back(x, y, side, rotation, flip):
    matrix = geometry.crop_matrix(np.array([x, y]), side, (64, 48), rotation, flip)
    points = np.array([[x, y], [x + 3, y - 7]])
    crop = geometry.transform(matrix, points)
    np.testing.assert_allclose(crop[0], [23.5, 31.5], atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(crop[1] - crop[0]), 64 / side * np.hypot(3, 7), rtol=1e-6
    )
    back = geometry.transform(geometry.invert(matrix), crop)
    np.testing.assert_allclose(back, points, atol=1e-6 * max(side, 1))


@given(st.integers(0, 5), st.floats(-180, 180), st.booleans(), st.booleans())
def test_many_crops_at_once_are_those_one_by_one(count, rotation, flip, half_pixel):
    rng = np.random.default_rng(count)
    centres, sides = rng.uniform(-500, 500, (count, 2)), rng.uniform(5, 900, count)
    options = (64, 48), rotation, flip, half_pixel
    together = geometry.crop_matrix(centres, sides, *options)
    assert together.shape == (count, 2, 3)
    for centre, side, matrix in zip(centres, sides, together, strict=True):
        np.testing.assert_array_equal(geometry.crop_matrix(centre, side, *options), matrix)


def test_square_fills_the_crop_edge_to_edge():
    """A 10 px square covers pixels 0..9, its edges -0.5 and 9.5 fall on the crop's edges."""
    matrix = geometry.crop_matrix(np.array([4.5, 4.5]), 10.0, (40, 40))
    np.testing.assert_allclose(
        geometry.transform(matrix, np.array([[-0.5, -0.5], [9.5, 9.5]])), [[-0.5] * 2, [39.5] * 2]
    )


def test_flip_is_w_minus_1_minus_x():
    plain = geometry.crop_matrix(np.array([10.0, 20.0]), 30.0, (32, 32), 25.0)
    flipped = geometry.crop_matrix(np.array([10.0, 20.0]), 30.0, (32, 32), 25.0, flip=True)
    points = np.array([[1.0, 2.0], [15.0, 30.0]])
    a, b = geometry.transform(plain, points), geometry.transform(flipped, points)
    np.testing.assert_allclose(b[:, 0], 31 - a[:, 0])
    np.testing.assert_allclose(b[:, 1], a[:, 1])


def test_boxes():
    boxes = np.array([[0.0, 0, 10, 20], [5, -5, 30, 10]])
    centres, sides = geometry.box_to_square(boxes, 1.5)
    np.testing.assert_allclose(centres, [[5, 10], [17.5, 2.5]])
    np.testing.assert_allclose(sides, [30, 37.5])
    np.testing.assert_allclose(geometry.union_box(boxes), [0, -5, 30, 20])
    pairs = np.stack([boxes, boxes[::-1] + 1])
    np.testing.assert_allclose(geometry.union_box(pairs), [[0, -5, 30, 20], [1, -4, 31, 21]])
    box = geometry.keypoint_box(
        np.array([[[1.0, 2], [3, 9], [50, 50]]]), np.array([[True, True, False]])
    )
    np.testing.assert_allclose(box, [[1, 2, 3, 9]])
    hidden = geometry.keypoint_box(np.zeros((1, 2, 2)), np.zeros((1, 2), bool))
    assert np.isnan(hidden).all()


def test_boxes_by_hand():
    boxes = np.array([[0.0, 0, 10, 20], [5, 10, 15, 30], [50, 50, 50, 50]])
    assert geometry.box_to_square(boxes)[1].tolist() == [20, 20, 0]
    iou = geometry.box_iou(boxes, boxes[::-1])
    np.testing.assert_allclose(iou, [[0, 50 / 350, 1], [0, 1, 50 / 350], [0, 0, 0]])
    np.testing.assert_allclose(geometry.resized(boxes[:2], 2), [[-5, -10, 15, 30], [0, 0, 20, 40]])
    boxes = np.array([[3.0, 4, 1, 1], [3, 4, 0, 0.5], [8, 0, 2, 2], [9, 5, 9, 9], [7, 0, 2, 2]])
    cut, inside = geometry.clean_boxes(boxes, np.array([[6, 9]] * 5))
    assert inside.tolist() == [True, True, True, False, True]
    assert cut[inside].tolist() == [[3, 4, 3, 4], [3, 4, 3, 4], [8, 0, 8, 1], [7, 0, 8, 1]]


def test_maps_one_after_another():
    first = geometry.crop_matrix(np.array([10.0, 20.0]), 30.0, (32, 24), 25.0)
    second = geometry.crop_matrix(np.array([3.0, 4.0]), 9.0, (16, 16), -70.0, flip=True)
    points = np.array([[1.0, 2.0], [15.0, 30.0]])
    both = geometry.transform(geometry.compose(second, first), points)
    expected = geometry.transform(second, geometry.transform(first, points))
    np.testing.assert_allclose(both, expected, atol=1e-9)


def test_a_positive_rotation_turns_the_picture_clockwise():
    matrix = geometry.crop_matrix(np.array([10.0, 10.0]), 21.0, (21, 21), 90.0)
    np.testing.assert_allclose(geometry.transform(matrix, np.array([[10.0, 4]])), [[16, 10]])
