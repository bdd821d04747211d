import json
import os

import cv2
import numpy as np
import pytest

from posekit.data import check, load
from posekit.data.coco import reader as coco
from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO

CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO.joints)}
MISSING_FIELD = "has no field {} of shape"


def image(i: int, /, **changed) -> dict:
    return {"id": i, "width": 32, "height": 24, "file_name": f"{i:012d}.jpg"} | changed


def person(i: int, image_id: int, /, **changed) -> dict:
    keypoints = np.zeros((17, 3))
    keypoints[5:8] = (4 + i, 6, 2), (8, 9.5, 1), (10, 12, 2)
    record = {
        "id": i,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": 49.0,
        "bbox": [2, 3, 20, 15],
        "keypoints": keypoints.ravel().tolist(),
    }
    return record | changed


def write(folder, name: str, images: list, people: list, /, **changed) -> None:
    path = folder / f"annotations/person_keypoints_{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": people, "categories": [CATEGORY]}
    path.write_text(json.dumps(content | changed))


def write_found(folder, found: list[tuple]) -> None:
    path = folder / coco.DETECTIONS["test"]
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("image_id", "category_id", "bbox", "score")
    path.write_text(json.dumps([dict(zip(names, f, strict=True)) for f in found]))


CROWD = {"size": [24, 32], "counts": [0, 768]}
PEOPLE = [
    person(1, 7),
    person(2, 9),
    person(3, 9, iscrowd=1, segmentation=CROWD),
    person(4, 7, keypoints=[0] * 51),
    person(5, 9, bbox=[28, 20, 20, 20]),
    person(6, 9, category_id=2),
    person(7, 9, bbox=[40, 3, 5, 5]),
    person(8, 9, area=0),
    person(9, 9, bbox=[31, 23, 9, 9]),
    person(10, 5, iscrowd=1),
]


@pytest.fixture
def folder(tmp_path, picture):
    root = tmp_path / "COCO"
    for name in coco.SETS.values():
        write(root, name, [image(9), image(7), image(5)], PEOPLE)
        for i in (5, 7, 9):
            picture(root / f"images/{name}/{i:012d}.jpg")
    return root


def test_people_with_keypoints_image_by_image(folder):
    table = load("coco", "test", folder.parent, source="sample")
    names = [f"images/val2017/{i:012d}.jpg" for i in (9, 9, 7)]
    assert table.image.tolist() == names and table.notes == ()
    assert table.sequence.tolist() == [1, 2, 3] and table.frame.tolist() == [1, 1, 1]
    assert table.keypoints[0, 4:8].tolist() == [[0, 0], [6, 6], [8, 9.5], [10, 12]]
    assert np.flatnonzero(table.visible[0]).tolist() == [5, 6, 7]
    assert np.flatnonzero(table.occluded[0]).tolist() == [6]
    assert table.reference.tolist() == [7, 7, 7] and table.score.tolist() == [1, 1, 1]
    assert table.boxes.tolist() == [[2, 3, 21, 17], [28, 20, 31, 23], [2, 3, 21, 17]]
    assert table.read(0).shape == (24, 32, 3)
    assert check("COCO", folder.parent) == []
    assert load("COCO", "train", folder.parent).image[0].startswith("images/train2017/")
    assert coco.label_file(folder, "test").name == "person_keypoints_val2017.json"


def test_repeated_images_count_once_and_must_agree(folder):
    write(folder, "val2017", [image(9), image(7), image(9), image(5), image(9)], PEOPLE)
    write_found(folder, [(9, 1, [1, 1, 5, 5], 0.5)])
    assert len(load("COCO", "test", folder.parent)) == 3
    found = load("COCO", "test", folder.parent, source="sample", boxes="detections")
    assert found.notes[1] == "2 of 3 images have no detected person"
    write(folder, "val2017", [image(9), image(7), image(9, width=33), image(5)], PEOPLE)
    with pytest.raises(PosekitError, match="several sizes for the id 9"):
        load("COCO", "test", folder.parent)


def test_detections(folder):
    write_found(
        folder,
        [
            (7, 1, [-3, 2, 10.5, 20], 0.25),
            (9, 1, [1, 2, 3, 4], 0.0),
            (7, 1, [0, 0, 8, 8], 0.75),
            (9, 2, [1, 2, 3, 4], 0.9),
            (9, 1, [1, 2, 0, 4], 0.9),
            (9, 1, [1, 2, 3, 4], -0.1),
            (11, 1, [1, 2, 3, 4], 0.9),
        ],
    )
    table = load("COCO", "test", folder.parent, source="sample", boxes="detections")
    assert table.score.tolist() == [0.0, 0.25, 0.75]
    assert table.boxes.tolist() == [[1, 2, 4, 6], [-3, 2, 7.5, 22], [0, 0, 8, 8]]
    assert [int(name[-16:-4]) for name in table.image] == [9, 7, 7]
    assert table.sequence.tolist() == [1, 2, 3]
    assert not table.visible.any() and not table.keypoints.any() and np.isnan(table.reference).all()
    assert table.notes == (
        "people as COCO_val2017_detections_AP_H_56_person.json has found them",
        "1 of 3 images have no detected person",
        "1 detections in images without labels are left out",
    )
    assert table.rows(np.array([2])).score.tolist() == [0.75]


def test_detections_that_do_not_fit(folder):
    with pytest.raises(PosekitError, match="is missing: put the person detections there"):
        load("COCO", "test", folder.parent, boxes="detections")
    write_found(folder, [(11, 1, [1, 2, 3, 4], 0.9)])
    with pytest.raises(PosekitError, match="no detection in the 3 images"):
        load("COCO", "test", folder.parent, boxes="detections")
    write_found(folder, [(9, 1, [1, 2, 3], 0.9)])
    with pytest.raises(PosekitError, match="detection 0 has no field bbox"):
        load("COCO", "test", folder.parent, boxes="detections")
    with pytest.raises(
        PosekitError, match="COCO has no detections of its train split: use ground_truth"
    ):
        load("COCO", "train", folder.parent, boxes="detections")
    with pytest.raises(PosekitError, match="LSP has no detections of its test split"):
        load("LSP", "test", folder.parent, boxes="detections")
    with pytest.raises(PosekitError, match="box_file='found': there is no such file: name a json"):
        load("COCO", "test", folder.parent, boxes="found")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"keypoints": [0] * 50}, "annotation 1 " + MISSING_FIELD.format("keypoints")),
        ({"keypoints": [1, 1, 3] * 17}, "annotation 1 has visibilities other than 0, 1 and 2"),
        ({"keypoints": [1, float("nan"), 2] * 17}, "annotation 1: field keypoints holds values"),
        ({"keypoints": [1, 1e300, 2] * 17}, "annotation 1: field keypoints holds values beyond"),
        ({"keypoints": [1, "1", 2] * 17}, "annotation 1 " + MISSING_FIELD.format("keypoints")),
        ({"bbox": None}, "annotation 1 " + MISSING_FIELD.format("bbox")),
        ({"area": float("inf")}, "annotation 1: field area holds values that are not finite"),
        ({"iscrowd": "no"}, "annotation 1 " + MISSING_FIELD.format("iscrowd")),
        ({"image_id": 8}, "annotation 1 has the image_id 8, which the field images lacks"),
        ({"image_id": 7.5}, "annotation 1 has the field image_id 7.5"),
        ({"image_id": -7}, "annotation 1 has the field image_id -7"),
        ({"image_id": 1e12}, "annotation 1 has the field image_id 1e"),
        ({"id": 1}, "2 annotations share the id 1"),
    ],
)
def test_bad_annotations_are_named(folder, changed, words):
    write(folder, "val2017", [image(7), image(9)], [person(1, 7), person(2, 9, **changed)])
    with pytest.raises(PosekitError, match=rf"person_keypoints_val2017\.json: {words}"):
        load("COCO", "test", folder.parent)


def test_foreign_and_cut_files_are_named(folder):
    path = folder / "annotations/person_keypoints_val2017.json"
    for changed in (
        {"categories": [{"id": 1, "name": "person"}]},
        {"categories": [CATEGORY | {"keypoints": list(reversed(COCO.joints))}]},
        {"categories": []},
    ):
        write(folder, "val2017", [image(7)], [person(1, 7)], **changed)
        with pytest.raises(PosekitError, match="field categories does not describe"):
            load("COCO", "test", folder.parent)
    for changed in ({"images": {}}, {"annotations": None}, {"images": [7]}):
        write(folder, "val2017", [], [], **changed)
        with pytest.raises(PosekitError, match=f"field {next(iter(changed))} is not a list"):
            load("COCO", "test", folder.parent)
    write(folder, "val2017", [image(7, height="high")], [person(1, 7)])
    with pytest.raises(PosekitError, match="image 0 has no field height"):
        load("COCO", "test", folder.parent)
    write(folder, "val2017", [image(7)], [person(1, 7)])
    whole = path.read_bytes()
    for part in (b"", b"[" * 100_000, whole[:40], whole[:-1], b"\xff" + whole, b"[]", b"3"):
        path.write_bytes(part)
        with pytest.raises(PosekitError, match=r"person_keypoints_val2017\.json"):
            load("COCO", "test", folder.parent)
    path.unlink()
    for call in (load, lambda *_: coco.label_file(folder, "test")):
        with pytest.raises(PosekitError, match=r"is missing\. Download .*cocodataset\.org"):
            call("COCO", "test", folder.parent)


def test_missing_pictures(folder):
    (folder / f"images/val2017/{7:012d}.jpg").unlink()
    with pytest.raises(PosekitError, match=r"1 of 3 people have no image file \(.*/0+7"):
        load("COCO", "test", folder.parent)
    table = load("COCO", "test", folder.parent, allow_partial=True)
    assert len(table) == 2 and table.notes == ("partial folder: 2 of 3 people have image files",)
    assert len(load("COCO", "test", folder.parent, require_images=False)) == 3


def test_crowds_alone_make_an_empty_split(folder):
    write(folder, "val2017", [image(5)], [person(10, 5, iscrowd=1)])
    with pytest.raises(PosekitError, match="no row for the split test: no label"):
        load("COCO", "test", folder.parent)


def test_labels_are_cached_until_the_file_changes(folder, own_cache, monkeypatch):
    first = load("COCO", "test", folder.parent)
    with monkeypatch.context() as patch:
        patch.setattr(coco, "_read_labels", None)  # reading the file again would fail
        again = load("COCO", "test", folder.parent)
    for name in ("keypoints", "visible", "occluded", "boxes", "reference", "image"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    write(folder, "val2017", [image(7)], [person(1, 7)])
    assert len(load("COCO", "test", folder.parent)) == 1
    for file in own_cache.iterdir():
        file.write_bytes(b"broken")
    assert len(load("COCO", "test", folder.parent)) == 1


def test_a_rotated_picture_is_read_as_it_is_stored(folder):
    """Labels fit the stored pixels; viewers turn the picture by its EXIF tag."""
    path = folder / f"images/val2017/{9:012d}.jpg"
    data = path.read_bytes()
    ifd = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + ifd
    marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(data[:2] + marker + data[2:])
    assert cv2.imread(str(path)).shape == (32, 24, 3)  # the tag is understood
    assert load("COCO", "test", folder.parent).read(0).shape == (24, 32, 3)


@pytest.mark.real
def test_real_people(real):
    test = load("COCO", "test", real)
    assert len(test) == 74 and len(set(test.image)) == 32
    assert test.notes == ("74 people; the published test split has 6352",)
    train = load("COCO", "train", real)
    assert len(train) == 54 and len(set(train.image)) == 17
    row = int(np.flatnonzero(test.image == "images/val2017/000000000139.jpg")[0])
    assert test.keypoints[row, 0].tolist() == [427, 170] and test.occluded[row, 0]
    assert test.boxes[row] == pytest.approx([412.8, 157.61, 464.85, 294.62], abs=1e-3)
    assert test.reference[row] ** 2 == pytest.approx(2913.1104)
    right, left = COCO.index("right_shoulder", "left_shoulder")
    assert test.keypoints[row, right, 0] > test.keypoints[row, left, 0]  # seen from behind
    margin = np.concatenate([test.boxes[:, :2], -test.boxes[:, 2:]], 1) - 2
    points = np.concatenate([test.keypoints, -test.keypoints], -1)
    inside = (points >= margin[:, None]).all(-1)
    assert inside[test.visible].mean() > 0.95


@pytest.mark.real
def test_real_detections(real):
    found = load("COCO", "test", real, boxes="detections")
    assert len(found) == 634 and len(set(found.image)) == 16
    assert found.notes[1] == "27 of 43 images have no detected person"
    assert found.score.max() == pytest.approx(0.99999, abs=1e-4) and found.score.min() > 0


@pytest.mark.real
def test_real_labels_agree_with_pycocotools(real):
    """Joints, flags and cut boxes of every person against the official reader."""
    official = pytest.importorskip("pycocotools.coco")
    with open(os.devnull, "w") as quiet, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", quiet)
        truth = official.COCO(str(coco.label_file(real / "coco", "test")))
    table = load("COCO", "test", real)
    expected = [
        annotation
        for i in truth.getImgIds()
        for annotation in truth.imgToAnns[i]
        if not annotation["iscrowd"] and annotation["num_keypoints"]
    ]
    joints = np.array([a["keypoints"] for a in expected]).reshape(-1, 17, 3)
    assert np.array_equal(table.visible, joints[..., 2] > 0)
    assert np.array_equal(table.occluded, joints[..., 2] == 1)
    assert np.array_equal(table.keypoints[table.visible], joints[..., :2][table.visible])
    assert np.array_equal(
        [int(name[-16:-4]) for name in table.image], [a["image_id"] for a in expected]
    )
