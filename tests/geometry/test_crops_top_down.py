"""Boxes, crops and half bodies of the top-down networks."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posekit.geometry import crops as geometry
from posekit.geometry.skeletons import COCO

GOLDEN = Path(__file__).parents[1] / "golden" / "topdown"


def golden(name):
    return json.loads((GOLDEN / f"func_{name}.json").read_text())


def crop_matrix(case):
    """The golden's matrix in our words: the shift moves the centre, and its rotation is opposite.

    The references turn the box, we turn the picture.
    """
    scale = 200 * np.array(case["scale"])
    centre = np.array(case["center"]) + scale * case.get("shift", 0)
    size = tuple(case["output_size"][::-1])
    return geometry.crop_matrix(centre, scale[0], size, -case.get("rot", 0), half_pixel=False)


def test_matrices_and_points():
    for case in golden("affine")["affine"]:
        matrix = crop_matrix(case)
        matrix = geometry.invert(matrix) if case["inv"] else matrix
        # Golden matrices come from float32 points.
        np.testing.assert_allclose(matrix, case["matrix"], rtol=1e-6, atol=2e-5)
        np.testing.assert_allclose(matrix[:, :2], np.array(case["matrix"])[:, :2], atol=1e-6)
        mapped = geometry.transform(matrix, np.array(case["points"]))
        np.testing.assert_allclose(mapped, case["mapped"], rtol=1e-5, atol=1e-3)
    for case in golden("affine")["transform_preds"]:
        found = geometry.transform(geometry.invert(crop_matrix(case)), np.array(case["coords"]))
        np.testing.assert_allclose(found, case["result"], rtol=1e-5)


def test_warped_picture():
    warp = golden("affine")["warp"]
    image = np.array(warp["image"], np.uint8)
    for case in warp["cases"]:
        matrix = crop_matrix({**warp, **case})
        crop = cv2.warpAffine(image, matrix, tuple(warp["output_size"]), flags=cv2.INTER_LINEAR)
        for row in (8, 20):
            difference = np.abs(crop[row].astype(int) - case[f"row{row}"])
            assert difference.max() <= 1
        assert abs(int(crop.sum()) - case["sum"]) <= crop.size


def test_flip_is_that_of_the_mirrored_image():
    """Mirroring the crop about w / 2 equals cropping the mirrored image, turned the other way."""
    for case in golden("augment_core")["fliplr"]:
        points = np.array(case["joints"])
        visible = np.array(case["vis"]) > 0
        order = np.arange(len(points))
        for a, b in case["pairs"]:
            order[[a, b]] = order[[b, a]]
        centre, size = np.array([100.0, 80.0]), (256, 192)
        mirrored_centre = np.array([case["width"] - 1 - centre[0], centre[1]])
        ours = geometry.crop_matrix(centre, 90.0, size, 20.0, flip=True, half_pixel=False)
        theirs = geometry.crop_matrix(mirrored_centre, 90.0, size, -20.0, half_pixel=False)
        found = geometry.transform(ours, points)[order][visible[order]]
        expected = geometry.transform(theirs, np.array(case["out_joints"]))[visible[order]]
        np.testing.assert_allclose(found, expected, atol=1e-9)
        assert visible[order].tolist() == (np.array(case["out_vis"]) > 0).tolist()


def test_half_pixel_is_the_only_difference_of_square_crops():
    arguments = (np.array([30.0, 40.0]), 50.0, (64, 64), 15.0)
    centred = geometry.crop_matrix(*arguments)
    corner = geometry.crop_matrix(*arguments, half_pixel=False)
    np.testing.assert_allclose(corner - centred, [[0, 0, 0.5], [0, 0, 0.5]], atol=1e-12)


def corners(xywh):
    xywh = np.asarray(xywh, float)
    return np.concatenate([xywh[..., :2], xywh[..., :2] + xywh[..., 2:]], -1)


def test_boxes_of_one_aspect():
    for case in golden("records")["box2cs"]:
        centre, size = geometry.aspect_box(corners(case["box"]), case["aspect_ratio"])
        np.testing.assert_allclose(centre, case["center"], rtol=1e-5)
        np.testing.assert_allclose(size / 200, case["scale"], rtol=1e-5)
    records = golden("records")
    detections = [d for d in records["detections"] if d["category_id"] == 1]
    centres, sizes = geometry.aspect_box(corners([d["bbox"] for d in detections]), 0.75)
    expected = records["detection_records"]
    np.testing.assert_allclose(centres, [r["center"] for r in expected], rtol=1e-5)
    np.testing.assert_allclose(sizes / 200, [r["scale"] for r in expected], rtol=1e-5)


def test_coco_records():
    data = golden("records")
    images = {i["id"]: (i["height"], i["width"]) for i in data["coco_dataset"]["images"]}
    people = [
        a
        for a in data["coco_dataset"]["annotations"]
        if a["area"] > 0 and not a["iscrowd"] and max(a["keypoints"])
    ]
    people.sort(key=lambda a: a["image_id"])
    sizes = np.array([images[a["image_id"]] for a in people])
    boxes, keep = geometry.clean_boxes(np.array([a["bbox"] for a in people]), sizes)
    centres, sizes = geometry.aspect_box(boxes[keep], 0.75)
    expected = data["coco_records_aspect_0_75"]
    assert len(expected) == len(centres)
    np.testing.assert_allclose(centres, [r["center"] for r in expected], rtol=1e-5)
    np.testing.assert_allclose(sizes / 200, [r["scale"] for r in expected], rtol=1e-5)


def test_boxes_outside_the_image_are_dropped():
    boxes = np.array([[700.0, 10, 50, 50], [-30, 0, 10, 10], [600, 400, 100, 100]])
    cleaned, keep = geometry.clean_boxes(boxes, np.array([[480, 640]] * 3))
    assert keep.tolist() == [False, True, True]  # left of the image: kept, from x = 0 as in COCO
    np.testing.assert_allclose(cleaned[1:], [[0, 0, 9, 9], [600, 400, 639, 479]])


@given(
    st.tuples(*[st.floats(-50, 90)] * 2, *[st.floats(1, 150)] * 2),
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
)
def test_cutting_boxes(box, size):
    """Inside the picture whatever comes in, nothing changes when it is done again."""
    size = np.array([size], float)
    cut, inside = geometry.clean_boxes(np.array([box]), size[:, ::-1])
    low, high = cut[:, :2], cut[:, 2:]
    if inside.all():
        assert (low >= 0).all() and (high <= size - 1).all() and (low >= box[:2]).all()
        again, _ = geometry.clean_boxes(np.concatenate([low, high - low + 1], 1), size[:, ::-1])
        np.testing.assert_allclose(again, cut, atol=1e-9)
    else:
        assert (np.array(box[:2]) > size - 1).any()


class Coin:
    """A generator that always throws the same."""

    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value


@pytest.mark.parametrize("side, value", [("randn_below_0.5", 0.0), ("randn_above_0.5", 0.99)])
def test_half_bodies(side, value):
    data = golden("augment_core")["half_body"]
    upper = np.isin(np.arange(len(COCO)), data["upper_body_ids"])
    for case in data["cases"]:
        found = geometry.half_body_box(
            np.array(case["joints"]),
            np.array(case["vis"]) > 0,
            upper,
            Coin(value),
            case["aspect_ratio"],
        )
        expected = case["result"][side]
        assert (found is None) == (expected is None)
        if expected:
            np.testing.assert_allclose(found[0], expected["center"], rtol=1e-5)
            np.testing.assert_allclose(found[1] / 200, expected["scale"], rtol=1e-5)


def test_joints_in_one_place_are_no_half_body():
    upper, rng = np.arange(6) < 3, np.random.default_rng(0)
    assert geometry.half_body_box(np.full((6, 2), 9.0), np.ones(6, bool), upper, rng, 0.75) is None


def test_half_body_coin():
    """Heads in half of the cases, in 0.69 of them as in the references."""
    keypoints = np.array([[0.0, 0], [1, 0], [2, 0], [0, 50], [1, 50], [2, 50]])
    everywhere, upper = np.ones(6, bool), np.arange(6) < 3
    for reference_mode, share in ((False, 0.5), (True, 0.69)):
        rng = np.random.default_rng(1)
        boxes = [
            geometry.half_body_box(
                keypoints, everywhere, upper, rng, 0.75, reference_mode=reference_mode
            )
            for _ in range(4000)
        ]
        heads = np.mean([centre[1] == 0 for centre, _ in boxes])
        assert abs(heads - share) < 0.03


def test_how_many_joints_make_a_half():
    """Three of the upper half, else three of the lower one, else what there is of the upper."""
    keypoints = np.array([[0.0, 0], [4, 0], [2, 0], [0, 50], [4, 50], [2, 50]])
    upper = np.arange(6) < 3
    for count_up, count_down, row in ((3, 3, 0), (2, 3, 50), (2, 2, 0), (3, 0, 0), (0, 2, None)):
        visible = np.r_[np.arange(3) < count_up, np.arange(3) < count_down]
        found = geometry.half_body_box(keypoints, visible, upper, Coin(0.0), 0.75)
        assert (found and found[0][1]) == row
    centre, size = geometry.half_body_box(keypoints, np.ones(6, bool), upper, Coin(0.6), 0.75)
    assert centre.tolist() == [2, 50] and size.tolist() == [6, 8]
