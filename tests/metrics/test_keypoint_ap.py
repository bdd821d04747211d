"""Keypoint AP over arrays, held against pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO as Index
from pycocotools.cocoeval import COCOeval

from posekit.metrics.keypoint_ap import COCO_METRICS, Detections, Truth, match, summarise


def random_people(rng, n_images, ties):
    """People of all sizes, crowds, people without joints, images without anybody."""
    images = 7 * np.arange(1, n_images + 1)
    image = rng.permutation(np.repeat(images, rng.poisson(2, n_images)))
    boxes = rng.uniform((0, 0, 8, 8), (300, 300, 200, 200), (len(image), 4))
    keypoints = boxes[:, None, :2] + rng.random((len(image), 17, 2)) * boxes[:, None, 2:]
    visible = rng.random((len(image), 17)) < rng.random((len(image), 1))
    crowd = rng.random(len(image)) < 0.1
    visible[crowd | (rng.random(len(image)) < 0.2)] = False
    counted = visible.any(1) & ~crowd
    areas = 0.6 * boxes[:, 2] * boxes[:, 3]
    truth = Truth(images, image, keypoints, visible, boxes, areas, crowd, counted)
    found_image = rng.permutation(np.repeat(images, rng.poisson(6, n_images) * 4))
    near = [rng.choice(np.r_[np.flatnonzero(image == i), -1]) for i in found_image]
    everywhere = rng.uniform(0, 400, (len(near), 17, 2))
    noise = rng.choice([0, 2, 8, 20], (len(near), 1, 1)) * rng.normal(size=everywhere.shape)
    points = np.where(np.array(near)[:, None, None] < 0, everywhere, 0)
    if len(image):
        points = np.where(points, points, keypoints[near] + noise)
    scores = rng.random(len(near))
    return truth, Detections(found_image, points, scores.round(1) if ties else scores)


def pycocotools(truth, found, images=None):
    def triplets(points, third):
        return np.concatenate([points, third[..., None]], -1).reshape(len(points), -1).tolist()

    columns = (truth.image, truth.areas, truth.boxes, truth.crowd, truth.visible.sum(1))
    rows = zip(*(c.tolist() for c in columns), strict=True)
    joints = triplets(truth.keypoints, 2.0 * truth.visible)
    index = Index()
    index.dataset = {
        "images": [{"id": i} for i in truth.images.tolist()],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            dict(id=n, category_id=1, image_id=i, area=a, bbox=b, iscrowd=c, num_keypoints=v)
            | {"keypoints": joints[n - 1]}
            for n, (i, a, b, c, v) in enumerate(rows, 1)
        ],
    }
    points = triplets(found.keypoints, np.ones(found.keypoints.shape[:2]))
    results = [
        {"image_id": i, "category_id": 1, "keypoints": k, "score": s}
        for i, k, s in zip(found.image.tolist(), points, found.scores.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
        evaluation = COCOeval(index, index.loadRes(results), "keypoints")
        if images is not None:
            evaluation.params.imgIds = sorted(images)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n_images=st.integers(1, 12), ties=st.booleans())
def test_the_ten_numbers_are_those_of_pycocotools(seed, n_images, ties):
    truth, found = random_people(np.random.default_rng(seed), n_images, ties)
    if not len(found.scores):
        return
    matches = match(truth, found)
    numbers = summarise(matches)
    assert list(numbers) == list(COCO_METRICS)
    np.testing.assert_allclose([*numbers.values()], pycocotools(truth, found), atol=1e-12)
    some = set(truth.images[::2].tolist())
    part = [*summarise(matches, some).values()]
    np.testing.assert_allclose(part, pycocotools(truth, found, some), atol=1e-12)


def test_an_example_by_hand():
    """Two people; the surest detection is beside them, the others are right: AP 2/3, AR 1."""
    points = np.zeros((2, 17, 2)) + np.array([100, 300])[:, None, None]
    areas, nobody = np.full(2, 50.0**2), np.zeros(2, bool)
    truth = Truth(
        images=np.array([1, 2]),
        image=np.array([1, 2]),
        keypoints=points,
        visible=np.ones((2, 17), bool),
        boxes=np.tile([0.0, 0, 50, 50], (2, 1)),
        areas=areas,
        crowd=nobody,
        counted=~nobody,
    )
    found = Detections(np.array([1, 1, 2]), points[[0, 0, 1]], np.array([0.9, 0.8, 0.7]))
    found.keypoints[0] += 1000
    # Precision at the two right detections: 1/2 and 2/3, the best one to the right counts: 2/3.
    numbers = summarise(match(truth, found))
    assert numbers["AP"] == numbers["AP50"] == pytest.approx(2 / 3)
    assert numbers["AR"] == 1
    assert numbers["APL"] == -1
