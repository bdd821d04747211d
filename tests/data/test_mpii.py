import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

import posekit
from posekit.data import check, dataset, load, mpii
from posekit.data.framing import Framing
from posekit.data.predictions import Predictions
from posekit.errors import PosekitError

GOLDEN = Path(__file__).parents[1] / "golden" / "topdown"


def person(i: int, **changed) -> dict:
    joints = np.arange(32.0).reshape(16, 2) * 4 + 100 + 300 * i
    joints[0] = -1
    record = {
        "joints_vis": [0] + [1] * 15,
        "joints": joints.tolist(),
        "image": f"{i // 2:09d}.jpg",
        "scale": 1.5 + i,
        "center": [160.0 + i, 170.0],
    }
    return record | changed


def write(folder, split: str, people: list[dict]) -> None:
    (folder / "annot").mkdir(parents=True, exist_ok=True)
    (folder / f"annot/{split}.json").write_text(json.dumps(people))


def write_truth(folder, people: list[dict]) -> None:
    joints = np.array([p["joints"] for p in people])
    missing = 1 - np.array([p["joints_vis"] for p in people], np.uint8)
    boxes = np.tile(np.array([[10, 20], [40, 60.0]])[..., None], (1, 1, len(people)))
    savemat(
        folder / "annot/gt_valid.mat",
        {
            "pos_gt_src": joints.transpose(1, 2, 0),
            "jnt_missing": missing.T,
            "headboxes_src": boxes,
        },
    )


@pytest.fixture
def folder(tmp_path, picture):
    root = tmp_path / "MPII"
    people = [person(i) for i in range(3)]
    write(root, "train", people)
    write(root, "valid", people)
    write_truth(root, people)
    for i in (0, 1):
        picture(root / f"images/{i:09d}.jpg")
    return root


def test_people_keep_the_order_of_the_file(folder):
    table = load("mpii", "test", folder.parent, source="sample")
    assert table.image.tolist() == [f"images/{i:09d}.jpg" for i in (0, 0, 1)]
    assert table.sequence.tolist() == [1, 2, 3] and table.frame.tolist() == [1, 1, 1]
    assert table.visible[0].tolist() == [False] + [True] * 15
    assert table.keypoints[0, :2].tolist() == [[0, 0], [107, 111]]
    assert table.boxes[1].tolist() == [160 - 250, 169 - 250, 160 + 250, 169 + 250]
    assert table.reference == pytest.approx([30] * 3)  # 0.6 * |(30, 40)|
    assert table.read(2).shape == (24, 32, 3)


def test_training_head_size_comes_from_the_two_head_joints(folder):
    blind = person(3, joints_vis=[0] + [1] * 8 + [0] * 7)
    write(folder, "train", [person(0), blind])
    table = load("MPII", "train", folder.parent, require_images=False)
    assert table.reference[0] == pytest.approx(0.75 * np.hypot(8, 8))
    assert np.isnan(table.reference[1])


def test_the_other_layout(tmp_path, picture):
    people = [person(i) for i in range(2)]
    records = []
    for i, p in enumerate(people):
        joints = np.concatenate([p["joints"], np.ones((16, 1))], 1)
        joints[0] = 0
        joints[5, 2] = 0
        records.append(
            {
                "isValidation": float(i),
                "joint_self": joints.tolist(),
                "objpos": p["center"],
                "scale_provided": p["scale"],
                "img_paths": p["image"],
            }
        )
    folder = tmp_path / "mpii"
    (folder / "annot").mkdir(parents=True)
    (folder / "mpii_annotations.json").write_text(json.dumps(records))
    write_truth(folder, people[1:])
    picture(folder / "images/000000000.jpg")
    table = load("MPII", "test", tmp_path)
    assert len(table) == 1 and not table.visible[0, 0] and table.visible[0, 5]
    assert table.occluded[0].tolist() == [i == 5 for i in range(16)]
    assert table.reference[0] == pytest.approx(30)
    assert len(load("MPII", "train", tmp_path)) == 1


def test_people_of_the_test_part_have_no_joints(folder):
    people = [{k: v for k, v in person(i).items() if "joints" not in k} for i in (1, 0)]
    assert dataset("MPII").unscored_in(folder) == []
    write(folder, "test", people)
    table = load("MPII", "test-part", folder.parent)
    assert not table.visible.any() and np.isnan(table.reference).all() and table.notes == ()
    test = load("MPII", "test", folder.parent)
    np.testing.assert_array_equal(table.boxes, test.boxes[[1, 0]])
    found = Predictions(np.ones((2, 16, 2)), np.ones((2, 16)))
    file = dataset("MPII").scorer.save(folder, table, found)
    assert loadmat(file)["preds"].tolist() == np.full((2, 16, 2), 2).tolist()  # from 1, as MATLAB


def test_the_other_layout_knows_people_without_a_record(tmp_path):
    """One other person is written as himself, none as an object, as MATLAB's tools do."""
    joints = [
        np.concatenate([np.add(person(i)["joints"], 2), np.ones((16, 1))], 1) for i in range(3)
    ]
    joints[2][4] = 0
    empty = {"_ArrayType_": "double", "_ArraySize_": [0, 0], "_ArrayData_": None}
    others = [
        [joints[1].tolist(), joints[2].tolist()],
        joints[0].tolist(),
        empty,
        joints[2].tolist(),
    ]
    records = [
        {
            "isValidation": float(i == 3),
            "joint_self": joints[min(i, 2)].tolist(),
            "joint_others": others[i],
            "objpos": [160.0, 170.0],
            "scale_provided": 1.5,
            "img_paths": f"{i // 2}.jpg",
        }
        for i in range(4)
    ]
    path = tmp_path / "mpii" / "mpii_annotations.json"
    path.parent.mkdir()
    path.write_text(json.dumps(records))
    table = load("MPII", "train", tmp_path, require_images=False)
    images, keypoints = table.bystanders  # the second person of the first record has a record
    assert images.tolist() == ["images/0.jpg"]
    np.testing.assert_array_equal(keypoints[0, :4], joints[2][:4, :2] - 1)
    assert np.isnan(keypoints[0, 4]).all()
    everybody, numbers = table.everybody(table.skeleton)
    assert [sorted(row[row >= 0]) for row in numbers] == [[0, 1, 3], [0, 1, 3], [2]]
    np.testing.assert_array_equal(everybody[3], keypoints[0].astype(np.float32))
    records[0]["joint_others"] = [[1, 2], [3]]
    path.write_text(json.dumps(records))
    with pytest.raises(PosekitError, match="record 0 has no field joint_others"):
        load("MPII", "train", tmp_path, require_images=False)


def test_missing_pictures(folder):
    (folder / "images/000000001.jpg").unlink()
    with pytest.raises(PosekitError, match=r"1 of 3 people have no image file"):
        load("MPII", "test", folder.parent)
    table = load("MPII", "test", folder.parent, allow_partial=True)
    assert table.sequence.tolist() == [1, 2]
    assert table.notes == ("partial folder: 2 of 3 people have image files",)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scale": 0}, "record 1 has a field scale that is not positive"),
        ({"scale": "tall"}, "record 1 has no field scale"),
        ({"scale": "2"}, "record 1 has no field scale"),
        ({"scale": 1e7}, "record 1: field scale holds values beyond"),
        ({"scale": None}, "record 1: field scale holds values that are not finite"),
        ({"center": [1, float("nan")]}, "record 1: field center holds values that are not finite"),
        ({"joints": [[1, 2]] * 15}, "record 1 has no field joints of shape"),
        ({"joints": "zero"}, "record 1 has no field joints of shape"),
        ({"image": "../../secret.jpg"}, "record 1 has no plain file name"),
    ],
)
def test_bad_records_are_named(folder, changed, words):
    write(folder, "train", [person(0), person(1, **changed)])
    with pytest.raises(PosekitError, match=rf"train\.json: {words}"):
        load("MPII", "train", folder.parent)


@pytest.mark.parametrize("text", ['[{"joints": [', '{"a": 1}', "[1, 2]", "\xff", "[" * 100_000])
def test_broken_json_is_named(folder, text):
    (folder / "annot/train.json").write_text(text, encoding="latin-1")
    with pytest.raises(PosekitError, match=r"train\.json"):
        load("MPII", "train", folder.parent)


def test_the_score_is_over_the_official_joints(folder):
    people = [person(i) for i in range(3)]
    people[1]["joints"][4], people[1]["joints_vis"][5] = [0.0, 0.0], 0
    write_truth(folder, people)
    table = load("MPII", "test", folder.parent)
    assert table.keypoints[1, 4].tolist() == [-1, -1] and not table.visible[1, 5]
    assert table.visible[1, 4] and table.visible[0, 5]


def test_ground_truth_of_other_people_is_refused(folder):
    write_truth(folder, [person(0), person(1)])
    with pytest.raises(PosekitError, match="has 2 people and .* has 3"):
        load("MPII", "test", folder.parent)
    write_truth(folder, [person(0), person(2), person(1)])
    with pytest.raises(PosekitError, match="different people in record 1"):
        load("MPII", "test", folder.parent)


def test_only_the_score_needs_the_official_head_sizes(folder):
    """As in MobilePose-master's layout."""
    for split in ("train", "valid"):
        (folder / f"annot/{split}.json").rename(folder / f"{split}.json")
    official = load("MPII", "test", folder.parent)
    (folder / "annot/gt_valid.mat").unlink()
    table = load("MPII", "test", folder.parent)
    assert np.array_equal(table.keypoints, official.keypoints) and len(table) == 3
    assert np.isnan(table.reference).all() and "gt_valid.mat" in table.notes[0]
    assert "test: annot/gt_valid.mat, the official head" in check("MPII", folder.parent)[0]
    found = Predictions(table.keypoints, np.ones(table.visible.shape))
    with pytest.raises(PosekitError, match=r"no score: nobody .*: annot/gt_valid\.mat"):
        dataset("MPII").scorer.score(table, found)
    with pytest.raises(PosekitError, match=r"lacks annot/gt_valid\.mat"):
        posekit.score("MPII", table.keypoints, root=folder.parent)


def test_both_splits_in_one_are_trained_on(folder):
    halves = [load("MPII", split, folder.parent) for split in ("train", "test")]
    both = load("MPII", "trainval", folder.parent)
    assert len(both) == sum(map(len, halves)) and both.file_split == "trainval"
    expected = np.concatenate([half.keypoints for half in halves])
    assert np.array_equal(both.keypoints, expected) and both.sequence.tolist() == [*range(1, 7)]
    write(folder, "trainval", [person(1)])
    assert len(load("MPII", "trainval", folder.parent)) == 1
    with pytest.raises(PosekitError, match="LSP has no split 'trainval': choose train or test"):
        dataset("LSP").split("trainval")


def test_no_people_is_an_error(folder):
    write(folder, "train", [])
    with pytest.raises(PosekitError, match="no row for the split train"):
        load("MPII", "train", folder.parent)


@pytest.mark.real
def test_real_files(real):
    table = load("MPII", "test", real)
    assert len(table) == 4 and table.visible.sum() == 60
    assert table.reference[0] == pytest.approx(0.6 * np.hypot(1031 - 914, 237 - 79))
    assert table.read(0).shape == (720, 1280, 3)
    assert len(load("MPII", "train", real)) == 2


@pytest.mark.real
def test_training_head_size_agrees_with_the_official_one(real):
    truth = mpii.ground_truth(real / "oracles/mpii_gt_valid_full.mat")
    assert truth.keypoints.shape == (2958, 16, 2)
    seen = truth.visible[:, 8] & truth.visible[:, 9]
    ours = 0.75 * np.linalg.norm(truth.keypoints[:, 9] - truth.keypoints[:, 8], axis=-1)
    ratio = truth.reference[seen] / ours[seen]
    assert np.quantile(ratio, [0.05, 0.5, 0.95]) == pytest.approx([1, 1, 1], abs=1e-4)


def test_records_are_those_of_the_reference(tmp_path):
    """The fourth record has no centre, so there is nothing to crop about."""
    golden = json.loads((GOLDEN / "func_records.json").read_text())
    (tmp_path / "annot").mkdir()
    (tmp_path / "annot" / "train.json").write_text(json.dumps(golden["mpii_annotations"]))
    people = dataset("MPII").annotations(tmp_path, "train")
    framing = Framing((256, 256), 1.25, half_pixel=False, drop=15 / 200, fill=0)
    centres, sides = framing.place(people.boxes.astype(float))
    for row, record in enumerate(golden["mpii_records"]):
        joints = np.array(record["joints_xy_vis"])
        np.testing.assert_array_equal(people.visible[row], joints[:, 2] > 0)
        seen = people.visible[row]
        np.testing.assert_allclose(people.keypoints[row][seen], joints[seen, :2], atol=1e-3)
        if row < 3:
            np.testing.assert_allclose(centres[row], record["center"], atol=1e-3)
            assert sides[row] / 200 == pytest.approx(record["scale"][0], abs=1e-5)
