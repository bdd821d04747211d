"""The generated sample of COCO: what the official tools and our reader make of it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from posekit.data import DATASETS, load, sample
from posekit.data.coco import reader as coco
from posekit.data.sample.bodies import dress
from posekit.data.sample.motion import pose
from posekit.geometry.skeletons import COCO


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.ensure_sample("COCO", tmp_path_factory.mktemp("sample"), smoke=True)


def _content(root: Path, split: str) -> dict:
    return json.loads(coco.label_file(root / "coco", split).read_text())


@pytest.mark.parametrize(("split", "people"), [("train", 8), ("test", 4)])
def test_people_lie_in_their_pictures(root: Path, split: str, people: int) -> None:
    table = load("COCO", split, root, source="sample")
    assert len(table) >= people and len(table.notes) == 0
    h, w = np.array([table.read(row).shape[:2] for row in range(len(table))]).T
    last = np.stack([w, h], -1) - 1
    assert (table.boxes[:, :2] >= 0).all() and (table.boxes[:, 2:] <= last).all()
    seen = table.visible & ~table.occluded
    low, high = table.boxes[:, None, :2] - 1, table.boxes[:, None, 2:] + 1
    inside = ((table.keypoints >= low) & (table.keypoints <= high)).all(-1)
    assert inside[seen].all()
    side = (table.boxes[:, 2:] - table.boxes[:, :2]).prod(-1)
    assert ((0.15 * side < table.reference**2) & (table.reference**2 < side)).all()


def test_counts_of_each_kind(root: Path) -> None:
    train, test = DATASETS["COCO"].sample.smoke_size
    contents = _content(root, "train"), _content(root, "test")
    assert [len(c["images"]) for c in contents] == [train, test]
    everybody = [a for c in contents for a in c["annotations"]]
    assert len({a["id"] for a in everybody}) == len(everybody)
    for annotation in everybody:
        flags = np.array(annotation["keypoints"])[2::3]
        assert annotation["num_keypoints"] == (flags > 0).sum()
        assert annotation["iscrowd"] == 0 or not flags.any()
    assert sum(a["iscrowd"] for a in everybody) == 1
    assert any(not a["iscrowd"] and a["num_keypoints"] == 0 for a in everybody)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_official_tools_read_it(root: Path) -> None:
    official = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    table = load("COCO", "test", root, source="sample")
    truth = official.COCO(str(coco.label_file(root / "coco", "test")))
    for annotation in truth.anns.values():
        mask = truth.annToMask(annotation)
        assert mask.sum() == pytest.approx(
            annotation["area"], rel=0.3 - 0.3 * annotation["iscrowd"]
        )
    points = np.concatenate([table.keypoints, np.ones((len(table), 17, 1))], -1)
    results = [
        {"image_id": int(name[-16:-4]), "category_id": 1, "keypoints": p.ravel(), "score": 1.0}
        for name, p in zip(table.image, points, strict=True)
    ]
    score = evaluation.COCOeval(truth, truth.loadRes(results), "keypoints")
    score.evaluate()
    score.accumulate()
    score.summarize()
    assert score.stats[0] == pytest.approx(1)


def test_detector_finds_most_people(root: Path) -> None:
    people = load("COCO", "test", root, source="sample")
    found = load("COCO", "test", root, source="sample", boxes="detections")
    assert (0 < found.score).all() and (found.score <= 1).all()
    assert not np.isin(found.boxes, people.boxes).all(-1).any()
    hits = []
    for box, name in zip(people.boxes, people.image, strict=True):
        others = found.boxes[found.image == name]
        size = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        both = size.clip(0).prod(-1)
        union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(-1) - both
        hits.append((both / union).max(initial=0) > 0.5)
    assert np.mean(hits) >= 0.6


@pytest.mark.parametrize("front", [True, False])
def test_face_is_the_persons_own(front: bool) -> None:
    rng = np.random.default_rng(3)
    joints = pose(rng, 1, "squats", upright=True, front=front)
    gaze = joints.pop("gaze")
    joints = {name: 200 * points + 200 for name, points in joints.items()} | {"gaze": gaze}
    figure = dress(rng, joints, 200, front)
    for part in ("eye", "ear"):
        right, left = figure.face[f"right_{part}"][0, 0], figure.face[f"left_{part}"][0, 0]
        assert (right < left) == front
    if front:  # the eyes are where they are drawn
        middles = [p.outline[0].mean(0) for p in figure.parts if p.name == "head"]
        for side in ("right", "left"):
            away = np.linalg.norm(np.array(middles) - figure.face[f"{side}_eye"][0], axis=-1)
            assert away.min() < 0.5
    skull = next(p.outline[0] for p in figure.parts if p.name == "head").astype(np.float32)
    for name in figure.face if front else ("right_ear", "left_ear"):
        x, y = figure.face[name][0].tolist()
        assert cv2.pointPolygonTest(cv2.convexHull(skull), (x, y), False) > 0 or name == "nose"


def test_faces_of_people_seen_from_behind_are_not_annotated(root: Path) -> None:
    flags = np.array([a["keypoints"] for a in _content(root, "train")["annotations"]])[:, 2::3]
    nose, ear = COCO.index("nose", "left_ear")
    behind = (flags[:, nose] == 0) & (flags[:, ear] == 2)
    assert behind.any() and not flags[behind][:, COCO.index("left_eye", "right_eye")].any()
