"""OKS, duplicate removal and COCO's AP."""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posekit.errors import PosekitError
from posekit.metrics import oks
from posekit.metrics.coco_ap import coco_keypoint_ap, result_texts
from posekit.metrics.keypoint_ap import COCO_METRICS, Detections

GOLDEN = Path(__file__).parents[1] / "golden" / "topdown"
DATA = json.loads((GOLDEN / "func_oks_coco_eval.json").read_text())
EVAL = DATA["coco_eval"]
PERSONS = np.array(DATA["persons"]["keypoints"])
AREA, SCORE = (np.array(DATA["persons"][name]) for name in ("area", "score"))


def coco_results(image_ids, keypoints, keypoint_scores, scores):
    """Detections as COCO's results format, one record after another."""
    triplets = np.concatenate([keypoints, keypoint_scores[..., None]], -1, dtype=float)
    triplets = triplets.reshape(len(triplets), 3 * triplets.shape[1]).round(3)
    columns = (column.tolist() for column in (image_ids, triplets, scores))
    return [
        {"image_id": image, "category_id": 1, "keypoints": joints, "score": score}
        for image, joints, score in zip(*columns, strict=True)
    ]


def oks_matrix(predicted, truth, visible, areas):
    """OKS (D, G) of every prediction (D, K, 2) to every person (G, K, 2)."""
    return oks.similarity(predicted[:, None], truth[None], visible[None], areas[None])


def to_first(counted):
    """OKS of person 0 to the others as detections are compared: areas averaged."""
    areas = (AREA[0] + AREA[1:]) / 2
    return oks_matrix(PERSONS[:1, :, :2], PERSONS[1:, :, :2], counted, areas)[0]


def test_similarity_of_detections():
    confident = PERSONS[..., 2] > 0.4
    everything = np.ones_like(confident[1:])
    np.testing.assert_allclose(to_first(everything), DATA["oks_iou_0_vs_rest"], rtol=1e-5)
    both = confident[1:] & confident[0]
    np.testing.assert_allclose(to_first(both), DATA["oks_iou_in_vis_0_4_correct"], rtol=1e-5)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_suppression_of_one_image(threshold):
    people = (np.ones(6, int), PERSONS[..., :2], SCORE, AREA, threshold)
    assert oks.oks_nms(*people).tolist() == DATA["nms"][f"oks_nms_{threshold}"]
    assert oks.soft_oks_nms(*people).tolist() == DATA["nms"][f"soft_oks_nms_{threshold}"]


def coco_inputs():
    predicted = np.array(EVAL["preds"])
    boxes = np.array(EVAL["boxes_cx_cy_sx_sy_area_score"])
    images = np.array([int(path[-16:-4]) for path in EVAL["image_paths"]])
    scores = oks.rescore(predicted[..., 2], boxes[:, 5], EVAL["in_vis_thre"])
    return images, predicted, scores, boxes[:, 4]


@pytest.mark.parametrize("kind", list(EVAL["results"]))
def test_coco_evaluation(kind):
    images, predicted, scores, areas = coco_inputs()
    name, threshold = kind.split("_")
    suppress = oks.soft_oks_nms if name == "soft" else oks.oks_nms
    kept = suppress(images, predicted[..., :2], scores, areas, float(threshold))
    golden = EVAL["results"][kind]
    expected = np.array(golden["results_image_score"])
    assert images[kept].tolist() == expected[:, 0].tolist()
    np.testing.assert_allclose(scores[kept], expected[:, 1], rtol=1e-5)
    results = coco_results(
        images[kept], predicted[kept, :, :2], predicted[kept, :, 2], scores[kept]
    )
    truth, before = copy.deepcopy(EVAL["dataset"]), copy.deepcopy(results)
    found = coco_keypoint_ap(truth, results)
    coco_keypoint_ap(truth, results, evaluator="pycocotools")
    np.testing.assert_allclose(list(found.values()), list(golden["stats"].values()), rtol=1e-5)
    assert list(found) == list(COCO_METRICS) and isinstance(found["AP"], float)
    assert truth == EVAL["dataset"] and results == before  # pycocotools writes into its inputs


def test_ground_truth_as_a_file_and_a_part_of_the_images(tmp_path, capsys):
    images, predicted, scores, _ = coco_inputs()
    results = coco_results(images, predicted[..., :2], predicted[..., 2], scores)
    assert json.loads(json.dumps(results)) == results
    file = tmp_path / "person_keypoints_val.json"
    file.write_text(json.dumps(EVAL["dataset"]))
    whole = coco_keypoint_ap(EVAL["dataset"], results)
    assert coco_keypoint_ap(file, results) == coco_keypoint_ap(file, results) == whole
    part = {
        name: [row for row in EVAL["dataset"][name] if row[key] <= 2]
        for name, key in (("images", "id"), ("annotations", "image_id"))
    }
    expected = coco_keypoint_ap(
        {**EVAL["dataset"], **part}, [r for r in results if r["image_id"] <= 2]
    )
    assert coco_keypoint_ap(file, results, image_ids=np.array([1, 2])) == expected != whole
    for chosen in (None, [1, 2]):
        ours, theirs = (
            coco_keypoint_ap(file, results, chosen, evaluator=name)
            for name in ("posekit", "pycocotools")
        )
        assert list(ours) == list(theirs)
        np.testing.assert_allclose([*ours.values()], [*theirs.values()], rtol=0, atol=1e-12)
    assert capsys.readouterr().out == ""
    file.write_text(json.dumps({**EVAL["dataset"], **part}))
    few = [r for r in results if r["image_id"] <= 2]
    assert coco_keypoint_ap(file, few) == expected, "the columns of another file are not kept"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), people=st.integers(0, 5))
def test_the_text_of_results_is_what_json_writes(seed, people):
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1e-3, 1, 100, 1e6], (people, 17, 2))
    points = rng.choice([rng.normal(size=sizes.shape) * sizes, np.round(sizes), -0.0 * sizes])
    points[rng.random(sizes.shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    images, heights = rng.integers(0, 600_000, people), rng.normal(size=(people, 17))
    scores = rng.random(people) * rng.choice([0, 1e-17, 1e-5, 1, 1e20], people)
    expected = json.dumps(coco_results(images, points, heights, scores))
    texts = result_texts(Detections(images, points.round(3), scores, heights.round(3)))
    assert f"[{', '.join(texts)}]" == expected


def test_bad_coco_input_is_refused(tmp_path):
    images, predicted, scores, _ = coco_inputs()
    results = coco_results(images, predicted[..., :2], predicted[..., 2], scores)
    truth = EVAL["dataset"]

    def refuse(match, gt=truth, **change):
        with pytest.raises(PosekitError, match=match):
            coco_keypoint_ap(gt, [{**results[0], **change}] if change else results)

    refuse("does not list", image_id=99)
    refuse("keypoints of shape .51", keypoints=[0.0] * 34)
    refuse("field score holds values that are not finite", score=float("nan"))
    with pytest.raises(PosekitError, match="the evaluator 'coco'"):
        coco_keypoint_ap(truth, results, evaluator="coco")
    refuse("missing.json is missing", gt=tmp_path / "missing.json")
    (tmp_path / "cut.json").write_text('{"images": [')
    refuse("not readable json", gt=tmp_path / "cut.json")
    first, *others = truth["annotations"]
    for match, change in (
        ("field images is not a list of records", {"images": None}),
        ("image 0 has no field id", {"images": [{"file_name": "a.jpg"}]}),
        ("field annotations is not a list of records", {"annotations": [None]}),
        ("annotation 0 has no field keypoints", {"annotations": [first | {"keypoints": [1, 2]}]}),
        ("field area holds values", {"annotations": [first | {"area": None}, *others]}),
        (
            "annotation 0 has the image_id 99, which",
            {"annotations": [first | {"image_id": 99}, *others]},
        ),
        ("2 annotations share the id", {"annotations": [first, *truth["annotations"]]}),
        ("no category 1", {"categories": []}),
    ):
        refuse(match, gt=truth | change)
    with pytest.raises(PosekitError, match="no results"):
        coco_keypoint_ap(truth, [])
    with pytest.raises(PosekitError, match="has no field score"):
        coco_keypoint_ap(truth, [{k: v for k, v in results[0].items() if k != "score"}])
    with pytest.raises(PosekitError, match=r"\[7\] are not"):
        coco_keypoint_ap(truth, results, image_ids=[1, 7])
    with pytest.raises(PosekitError, match="keypoints 3, scores 2"):
        oks.oks_nms(np.ones(3), np.zeros((3, 17, 2)), np.ones(2), np.ones(3))


@pytest.mark.real
def test_the_annotations_score_1_on_real_files():
    root = os.environ.get("POSEKIT_REAL_DATA")
    if not root:
        pytest.skip("POSEKIT_REAL_DATA is not set")
    file = Path(root) / "coco" / "annotations" / "person_keypoints_val2017.json"
    people = [a for a in json.loads(file.read_text())["annotations"] if a["num_keypoints"]]
    images = np.array([a["image_id"] for a in people])
    triplets = np.array([a["keypoints"] for a in people], float).reshape(-1, 17, 3)
    results = coco_results(
        images, triplets[..., :2], triplets[..., 2], np.linspace(0.1, 1, len(people))
    )
    found = coco_keypoint_ap(file, results)
    np.testing.assert_allclose(list(found.values()), 1, rtol=1e-9)


def test_oks_against_pycocotools():
    """The stored numbers, and random people against pycocotools itself."""
    from pycocotools.cocoeval import COCOeval

    stored = DATA["pycoco_oks"]
    truth = [a for a in EVAL["dataset"]["annotations"] if a["image_id"] == 1]
    rng = np.random.default_rng(3)
    people = rng.uniform(0, 300, (5, 17, 2)).round(1)
    shown = rng.random((5, 17)) < 0.6
    shown[:, 0] = True
    drawn = people[rng.integers(0, 5, 9)] + rng.normal(0, 12, (9, 17, 2))
    random_truth = [
        {
            "id": i + 1,
            "area": float(rng.uniform(2000, 30000)),
            "bbox": [0, 0, 300, 300],
            "keypoints": np.concatenate([p, 2.0 * s[:, None]], -1).ravel().tolist(),
        }
        for i, (p, s) in enumerate(zip(people, shown, strict=True))
    ]
    random_found = [
        {"keypoints": np.concatenate([p, np.ones((17, 1))], -1).ravel().tolist(), "score": -i}
        for i, p in enumerate(drawn)
    ]

    def ours(truth, found):
        truth_points = np.array([a["keypoints"] for a in truth], float).reshape(-1, 17, 3)
        points = np.array([d["keypoints"] for d in found]).reshape(-1, 17, 3)[..., :2]
        areas = np.array([a["area"] for a in truth])
        return oks_matrix(points, truth_points[..., :2], truth_points[..., 2] > 0, areas)

    order = stored["rows_order_of_detections_sorted_by_score"]
    found = ours(truth, [stored["detections"][i] for i in order])
    # Column 0 is a person without keypoints, which pycocotools compares with its box.
    np.testing.assert_allclose(found[:, 1:], np.array(stored["oks"])[:, 1:], rtol=1e-5)

    evaluation = COCOeval(iouType="keypoints")
    evaluation._gts[1, 1], evaluation._dts[1, 1] = random_truth, random_found
    np.testing.assert_allclose(
        ours(random_truth, random_found), evaluation.computeOks(1, 1), rtol=1e-12, atol=1e-300
    )


def test_mean_oks():
    truth = np.zeros((3, 17, 2))
    predicted = truth.copy()
    visible = np.ones((3, 17), bool)
    visible[2] = False  # nobody to compare with
    predicted[1, 3:] = np.nan
    assert oks.mean_oks(predicted, truth, visible, np.full(3, 900.0)) == pytest.approx(
        (1 + 3 / 17) / 2
    )
    assert np.isnan(oks.mean_oks(predicted[2:], truth[2:], visible[2:], np.ones(1)))


def test_rescore_leaves_weak_keypoints_out():
    scores = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.0]])
    np.testing.assert_allclose(oks.rescore(scores, np.array([0.5, 1.0])), [0.35, 0.0])


def one_by_one(images, keypoints, scores, areas, threshold, limit=None):
    """Both suppressions by the book: one image, one detection at a time."""
    kept = []
    for image in np.unique(images):
        left = {int(i): float(scores[i]) for i in np.flatnonzero(images == image)}
        taken = 0
        while left and (limit is None or taken < limit):
            best = max(left, key=lambda i: (left[i], -i))
            del left[best]
            kept.append(best)
            taken += 1
            for i in list(left):
                area = np.array([(areas[best] + areas[i]) / 2])
                pair = keypoints[[best]], keypoints[[i]], np.ones((1, 17), bool)
                overlap = oks_matrix(*pair, area)[0, 0]
                if limit is not None:
                    left[i] *= np.exp(-(overlap**2) / threshold)
                elif overlap > threshold:
                    del left[i]
    return kept


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 40), threshold=st.sampled_from([0.2, 0.5, 0.9]))
def test_suppression_equals_a_greedy_loop(seed, n, threshold):
    rng = np.random.default_rng(seed)
    images = rng.integers(10, 10 + rng.integers(1, 6), n)
    bodies = rng.uniform(0, 200, (4, 17, 2))
    keypoints = bodies[rng.integers(0, 4, n)] + rng.normal(0, rng.uniform(1, 20), (n, 17, 2))
    people = (images, keypoints, rng.random(n).round(1), rng.uniform(4e3, 4e4, n), threshold)
    assert oks.oks_nms(*people).tolist() == one_by_one(*people)
    limit = int(rng.integers(1, 12))
    distinct = (*people[:2], rng.random(n), *people[3:])
    assert oks.soft_oks_nms(*distinct, limit).tolist() == one_by_one(*distinct, limit)


def test_both_rules_of_soft_nms_lower_as_the_reference_does():
    record = DATA["rescore"]
    given = np.array(record["scores"]), np.array(record["overlap"]), record["thresh"]
    for rule in ("gaussian", "linear"):
        np.testing.assert_allclose(oks.lowered(*given, rule), record[rule], rtol=1e-3, atol=1e-6)


def test_the_borders_of_duplicates():
    """What is as similar as the threshold stays in hard suppression, and is lowered in soft."""
    people = np.ones(25, int), np.repeat(PERSONS[:1, :, :2], 25, 0), np.ones(25), np.full(25, 900.0)
    assert oks.oks_nms(*people).tolist() == [0]
    assert oks.oks_nms(*people, threshold=1.0).tolist() == list(range(25))
    assert oks.soft_oks_nms(*people).tolist() == list(range(20))
    lowered = oks.lowered(np.ones(3), np.array([0.4, 0.5, 0.6]), 0.5, "linear")
    np.testing.assert_allclose(lowered, [1, 0.5, 0.4])
    np.testing.assert_allclose(oks.lowered(np.ones(1), np.array([0.5]), 0.5), np.exp(-0.5))


def test_an_area_of_0_and_people_without_joints():
    pose, seen = PERSONS[:1, :, :2], np.ones((1, 17), bool)
    assert oks.similarity(pose, pose, seen, np.zeros(1)) == 1
    assert oks.similarity(pose, pose + 1, seen, np.zeros(1)) == 0
    assert oks.similarity(pose, pose, ~seen, np.ones(1)) == 0


def test_one_joint_is_enough_for_a_person_and_for_its_score():
    pose, seen = PERSONS[:1, :, :2], np.arange(17)[None] == 3
    assert oks.similarity(pose, pose, seen, np.ones(1)) == 1
    np.testing.assert_allclose(oks.rescore(np.where(seen, 0.6, 0.1), np.array([0.5])), [0.3])


def test_a_pose_that_is_no_number_is_no_duplicate():
    poses = np.repeat(PERSONS[:1, :, :2], 3, 0)
    poses[1, 5] = np.nan
    people = np.ones(3, int), poses, np.array([0.9, 0.8, 0.7]), np.full(3, 900.0)
    assert oks.oks_nms(*people).tolist() == [0, 1]
    assert oks.soft_oks_nms(*people, limit=2).tolist() == [0, 1]
