"""Files of labels of the reader's own: forms, faults, parts, and the generated animal."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from posekit.data import DATASETS, dataset, load
from posekit.data.own import deeplabcut, sleap, spec
from posekit.data.registry import address
from posekit.data.sample import ensure_sample
from posekit.data.suspects import suspects
from posekit.errors import PosekitError
from posekit.geometry import skeletons

CAT = ("nose", "ear_l", "ear_r")


@pytest.fixture(autouse=True)
def tables():
    """What is registered in a test is forgotten after it."""
    before = dict(DATASETS), dict(skeletons.SKELETONS)
    yield
    for table, content in zip((DATASETS, skeletons.SKELETONS), before, strict=True):
        table.clear()
        table.update(content)


def content(count: int = 10) -> dict:
    """Cats in COCO's form, one in each image, with boxes."""
    category = {"id": 7, "name": "cat", "keypoints": [*CAT], "skeleton": [[1, 2], [1, 3]]}
    images = [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in range(count)]
    cats = [
        {"id": i, "image_id": i, "category_id": 7, "bbox": [8, 8, 24, 20], "area": 480}
        | {"keypoints": [10 + i, 12, 2, 20, 22, 1, 30, 22.5, 2]}
        for i in range(count)
    ]
    return {"images": images, "annotations": cats, "categories": [category]}


def written(folder: Path, made: dict, images: bool = True) -> str:
    """The file's path, in a folder with its images."""
    for image in made["images"] if images else ():
        cv2.imwrite(str(folder / Path(image["file_name"]).name), np.zeros((40, 60, 3), np.uint8))
    (folder / "cats.json").write_text(json.dumps(made))
    return str(folder / "cats.json")


def both(path: str, **options):
    """The rows of both parts."""
    name = dataset(spec.define(path, **options).address).name
    return [load(name, part, Path("/")) for part in ("train", "test")]


def test_any_file_in_cocos_form_is_a_data_set(tmp_path):
    train, test = both(written(tmp_path, content()))
    assert (len(train), len(test), train.dataset) == (8, 2, "cats")
    skeleton = train.skeleton
    assert skeleton.joints == CAT and skeleton.limbs == (("nose", "ear_l"), ("nose", "ear_r"))
    assert skeleton.mirror == (("ear_l", "ear_r"),) and skeleton.flip.tolist() == [0, 2, 1]
    assert skeleton.groups == {"ear": ("ear_l", "ear_r"), "nose": ("nose",)}
    assert train.boxes[0].tolist() == [8, 8, 32, 28] and (train.reference == 24).all()
    assert train.occluded[:, 1].all() and not train.occluded[:, [0, 2]].any()
    assert not set(train.image) & set(test.image)
    assert train.notes == (
        "test part: 2 of 10 images (where they are frames of videos, set by=video), the same every "
        "time",
    )


def test_a_path_alone_names_it_and_another_process_finds_it(tmp_path):
    path = written(tmp_path, content())
    name = dataset(path).name
    text = address(name)
    assert address("LSP+cats") == f"LSP+{text}" and "+" not in text
    code = "import sys, posekit; from posekit.data import dataset_name as n; print(n(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, f"LSP+{text}"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "LSP+cats", done.stderr


FAULTS = {
    "missing images": "2 of 8 instances have no image file (0.png, 3.png)",
    "a joint name twice": "nose: a joint name occurs twice: rename one of them",
    "no keypoints": "no category has keypoints",
    "two categories": "has several categories: set category to cat or dog",
    "no category": "category='cow': ",
    "a link too far": "field skeleton names a joint beyond the 3 there are",
    "short keypoints": "annotation 4 has no field keypoints of shape (9,)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_mended_is_one_clear_message(tmp_path, fault):
    made, options = content(), {}
    category = made["categories"][0]
    if fault == "a joint name twice":
        category["keypoints"][1] = "nose"
    elif fault == "no keypoints":
        category["keypoints"] = []
    elif fault == "two categories":
        made["categories"].append(category | {"id": 8, "name": "dog"})
    elif fault == "no category":
        options["category"] = "cow"
    elif fault == "a link too far":
        category["skeleton"].append([3, 4])
    elif fault == "short keypoints":
        made["annotations"][4]["keypoints"].pop()
    path = written(tmp_path, made)
    if fault == "missing images":
        for image in (0, 3):
            (tmp_path / f"{image}.png").unlink()
    with pytest.raises(PosekitError) as caught:
        both(path, **options)
    assert FAULTS[fault] in str(caught.value)


def _no_boxes(made):
    for cat in made["annotations"]:
        del cat["bbox"]


def _from_zero(made):
    made["categories"][0]["skeleton"] = [[0, 1], [0, 2]]


def _absolute(made):
    for image in made["images"]:
        image["file_name"] = "C:\\Users\\me\\" + image["file_name"]


def _one_based(made):
    for image, cat in zip(made["images"], made["annotations"], strict=True):
        image["id"] += 1
        cat["id"] = cat["image_id"] = image["id"]


MENDED = {
    "boxes of size 0": (
        lambda m: m["annotations"][2].update(bbox=[8, 8, 0, 20]),
        "1 of 10 boxes are missing or empty: made from the joints, with 15% of their extent",
    ),
    "no boxes at all": (_no_boxes, "10 of 10 boxes are missing or empty"),
    "visibility 3": (
        lambda m: m["annotations"][1]["keypoints"].__setitem__(2, 3),
        "1 joints have a visibility other than 0, 1 and 2: 3 is read as seen",
    ),
    "a category without keypoints": (
        lambda m: m["categories"].append({"id": 9, "name": "bowl"}),
        "categories without keypoints are left out: bowl",
    ),
    "another category": (
        lambda m: m["annotations"][5].update(category_id=9),
        "1 annotations of other categories are left out",
    ),
    "a crowd": (
        lambda m: m["annotations"][5].update(iscrowd=1),
        "1 annotations of crowds are left out",
    ),
    "an image that is not listed": (
        lambda m: m["annotations"][5].update(image_id=99),
        "1 annotations of images that are not listed are left out",
    ),
    "nothing annotated": (
        lambda m: m["annotations"][5].update(keypoints=[0] * 9),
        "1 of 10 annotations without a joint are left out",
    ),
    "a box alone": (
        lambda m: m["annotations"][5].pop("keypoints"),
        "1 annotations without joints are left out",
    ),
    "ids twice": (
        lambda m: m["annotations"][5].update(id=4),
        "annotations lack an id or share one: numbered anew",
    ),
    "links from 0": (_from_zero, "count the joints from 0, not from 1 as in COCO"),
    "absolute paths": (_absolute, "10 images are found by the end of their path alone"),
    "1-based ids": (_one_based, "test part"),
}


@pytest.mark.parametrize("fault", MENDED)
def test_what_can_be_mended_is_and_says_so(tmp_path, fault):
    made = content()
    written(tmp_path, made)
    MENDED[fault][0](made)
    train, test = both(written(tmp_path, made, images=False))
    left_out = "left out" in MENDED[fault][1] and fault != "a category without keypoints"
    assert len(train) + len(test) == 10 - left_out
    assert any(MENDED[fault][1] in note for note in train.notes)
    assert train.skeleton.limbs == (("nose", "ear_l"), ("nose", "ear_r"))
    assert (train.boxes[:, 2:] > train.boxes[:, :2]).all()


def test_a_box_from_joints_holds_them_with_a_margin(tmp_path):
    made = content()
    _no_boxes(made)
    train, _ = both(written(tmp_path, made))
    row = train.image.tolist().index("0.png")  # joints from 10 12 to 30 22.5
    np.testing.assert_allclose(train.boxes[row], [10 - 3, 12 - 3, 30 + 3, 22.5 + 3])


def test_one_category_is_chosen(tmp_path):
    made = content()
    made["categories"].append(made["categories"][0] | {"id": 8, "name": "dog"})
    for dog in made["annotations"][6:]:
        dog["category_id"] = 8
    parts = both(written(tmp_path, made), category="dog")
    assert sum(map(len, parts)) == 4 and parts[0].dataset == "dog"


def test_mirror_links_and_sigmas_can_be_set(tmp_path):
    path = written(tmp_path, content())
    train, _ = both(path, mirror="no", links="ear_l ear_r", sigmas=(0.1,))
    assert train.skeleton.mirror == () and train.skeleton.flip.tolist() == [0, 1, 2]
    assert train.skeleton.limbs == (("ear_l", "ear_r"),) and train.skeleton.sigmas == (0.1,) * 3
    with pytest.raises(PosekitError, match="mirror='nose ear': nose ear: write pairs of joints"):
        spec.define(path, mirror="nose ear")
    with pytest.raises(PosekitError, match="sigmas: 2 numbers for 3 joints"):
        spec.define(path, sigmas=(0.1, 0.2))


def test_frames_of_a_video_stay_together(tmp_path):
    made = content(24)
    for i, image in enumerate(made["images"]):
        image["file_name"] = f"film{i // 4}_{i % 4:04d}.png"
    train, test = both(written(tmp_path, made))
    films = [{name[:5] for name in part.image.tolist()} for part in (train, test)]
    assert not films[0] & films[1] and len(films[1]) == 1 and "videos" in train.notes[-1]
    assert {name for name in test.group.tolist()} == {next(iter(films[1]))}


@pytest.mark.parametrize(
    ("joints", "pairs"),
    [
        (("left_ear", "right_ear", "nose"), (("left_ear", "right_ear"),)),
        (("paw_r", "paw_l"), (("paw_l", "paw_r"),)),
        (("L.hand", "R.hand"), (("L.hand", "R.hand"),)),
        (("LPaw", "RPaw", "Liver"), (("LPaw", "RPaw"),)),
        (("earL", "earR"), (("earL", "earR"),)),
        (
            ("front_left_paw", "front_right_paw", "hind_left_paw"),
            (("front_left_paw", "front_right_paw"),),
        ),
        (("tail", "red", "lip"), ()),
    ],
)
def test_mirror_pairs_are_proposed_from_names(joints, pairs):
    assert skeletons.mirror_pairs(joints) == pairs


def test_a_skeleton_is_found_again_by_its_address():
    made = spec.make_skeleton("cat", CAT, (("nose", "ear_l"),), (("ear_l", "ear_r"),), (0.1,) * 3)
    found = skeletons.skeleton(made.address)
    assert found == made and found.flip.tolist() == [0, 2, 1]
    assert skeletons.skeleton(made.name) is found and skeletons.COCO.address == "coco"
    for wrong in ('{"name": "x"}', made.address.replace('"ear_l"]', '"tail"]', 1), "{"):
        with pytest.raises(PosekitError):
            skeletons.skeleton(wrong)


TABLES = {
    "one animal": "scorer,me,me,me,me\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"
    "labeled-data/a/1.png,1,2,3,4\nlabeled-data/a/2.png,5,6,,\n",
    "a path in columns": "scorer,,,me,me,me,me\nbodyparts,,,nose,nose,tail,tail\ncoords,,,x,y,x,y\n"
    "labeled-data,a,1.png,1,2,3,4\nlabeled-data,a,2.png,5,6,,\n",
    "individuals": "scorer,me,me,me,me\nindividuals,one,one,one,one\n"
    "bodyparts,nose,nose,tail,tail\n"
    "coords,x,y,x,y\nlabeled-data/a/1.png,1,2,3,4\nlabeled-data/a/2.png,5,6,,\n",
    "predictions": "scorer,me,me,me,me,me,me\nbodyparts,nose,nose,nose,tail,tail,tail\n"
    "coords,x,y,likelihood,x,y,likelihood\nlabeled-data/a/1.png,1,2,1,3,4,1\n"
    "labeled-data/a/2.png,5,6,1,,,\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_deeplabcut_and_lightning_pose(tmp_path, table):
    (tmp_path / "CollectedData_me.csv").write_text(TABLES[table])
    (tmp_path / "a").mkdir()
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / "a" / name), np.zeros((9, 9, 3), np.uint8))
    made = spec.define(str(tmp_path / "CollectedData_me.csv"))
    labels = made.labels(tmp_path)
    assert labels.joints == ("nose", "tail") and labels.image.tolist() == ["a/1.png", "a/2.png"]
    assert labels.keypoints.tolist() == [[[1, 2], [3, 4]], [[5, 6], [0, 0]]]
    assert labels.flag.tolist() == [[2, 2], [2, 0]]
    assert spec.define(str(tmp_path)).annotations == str(tmp_path)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", TABLES["one animal"].replace("tail", "nose")])
def test_other_tables_are_refused(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(PosekitError, match="is not a CSV of DeepLabCut|joint name occurs twice"):
        spec.define(str(tmp_path / "x.csv"))


CONFIG = {
    "one animal": "bodyparts:\n- nose\n- tail\n- ear\n"
    "skeleton:\n- - nose\n  - tail\n- - nose\n  - ear\n",
    "individuals": "bodyparts: MULTI!\nmultianimalbodyparts: [nose, tail, ear]\n"
    "skeleton: [[nose, tail], [nose, ear]]\n",
}


@pytest.mark.parametrize("table", CONFIG)
def test_the_links_are_those_of_deeplabcuts_project(tmp_path, table):
    folder = tmp_path / "labeled-data" / "a"
    folder.mkdir(parents=True)
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(folder / name), np.zeros((9, 9, 3), np.uint8))
    (folder / "CollectedData_me.csv").write_text(TABLES[table])
    (tmp_path / "config.yaml").write_text(CONFIG[table])
    for path in (folder / "CollectedData_me.csv", tmp_path):
        made = spec.define(str(path))
        assert skeletons.skeleton(made.skeleton).limbs == (("nose", "tail"),)
        labels = made.labels(Path(made.images))
        assert "lack joints of config.yaml, whose links are left out: ear" in labels.notes[0]
    for wrong in ("skeleton: nose\n", "skeleton: [[a, b, c]]\n", "- x\n"):
        (tmp_path / "config.yaml").write_text(wrong)
        with pytest.raises(PosekitError, match="config.yaml is not"):
            spec.define(str(tmp_path))


def cat_points() -> tuple:
    """A skeleton, images and points, one of them missing."""
    skeleton = skeletons.Skeleton(
        "cat", CAT, (("nose", "ear_l"),), {}, mirror=(("ear_l", "ear_r"),)
    )
    points = np.arange(18.0).reshape(3, 3, 2)
    points[1, 2] = np.nan
    return skeleton, np.array(["a.png", "b.png", "c.png"]), points


def test_deeplabcuts_hdf5_is_read_as_deeplabcut_reads_it(tmp_path):
    pytest.importorskip("tables")
    skeleton, image, points = cat_points()
    scores = np.linspace(0, 1, 9).reshape(3, 3)
    for animal in (None, np.array([0, 1, 0])):
        for file in ("x.h5", "x.csv"):
            deeplabcut.write(tmp_path / file, skeleton, image, points, scores, animal)
        table = pd.read_hdf(tmp_path / "x.h5", "df_with_missing")
        levels = ["scorer", "bodyparts", "coords"]
        levels[1:1] = [] if animal is None else ["individuals"]
        assert [*table.columns.names] == levels and table.index.tolist() == image.tolist()
        found = table.xs("posekit", axis=1)
        found = found if animal is None else found.T.groupby(level=[1, 2], sort=False).first().T
        np.testing.assert_array_equal(found.to_numpy().reshape(3, 3, 3)[..., :2], points)
        theirs = pd.read_csv(tmp_path / "x.csv", header=[*range(len(levels))], index_col=0)
        np.testing.assert_array_equal(theirs.to_numpy(), table.to_numpy())
    with pytest.raises(PosekitError, match="HDF5 may hold code: name the CSV"):
        spec.define(str(tmp_path / "x.h5"))


def test_without_pytables_one_message_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(deeplabcut, "find_spec", lambda name: None)
    with pytest.raises(PosekitError, match="x.h5: HDF5 needs the package tables: pip install tab"):
        deeplabcut.write(tmp_path / "x.h5", *cat_points())
    assert not [*tmp_path.iterdir()]


def test_the_animal_is_the_same_in_three_forms():
    root = ensure_sample(dataset(spec.animal().address).name, smoke=True)
    parts = []
    for file in ("animal.json", "animal.csv", "animal.slp"):
        name = dataset(spec.animal(file).address).name
        parts.append([load(name, part, root, source="sample") for part in ("train", "test")])
    for others in parts[1:]:
        for ours, theirs in zip(parts[0], others, strict=True):
            for name in (
                "keypoints",
                "visible",
                "boxes",
                "reference",
                "image",
                "image_id",
                "group",
            ):
                assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert parts[2][0].skeleton.limbs == parts[0][0].skeleton.limbs


def test_frames_of_sleaps_videos_are_extracted(tmp_path):
    film = cv2.VideoWriter(
        str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24)
    )
    for grey in range(0, 240, 40):
        film.write(np.full((24, 32, 3), grey, np.uint8))
    film.release()
    h5py = pytest.importorskip("h5py")
    skeleton, image, points = cat_points()
    sleap.write(tmp_path / "x.slp", skeleton, image, points)
    with h5py.File(tmp_path / "x.slp", "a") as file:  # frames 0, 1, 2 of the film
        del file["videos_json"]
        video = {"filename": "/gone/film.avi", "backend": {"filename": "/gone/film.avi"}}
        file["videos_json"] = [np.bytes_(json.dumps(video))]
    labels = sleap.read(tmp_path / "x.slp")
    assert labels.limbs == skeleton.limbs and labels.mirror == skeleton.mirror
    assert labels.flag.tolist() == [[2, 2, 2], [2, 2, 0], [2, 2, 2]]
    assert sleap.extract(tmp_path / "x.slp", tmp_path / "frames") == 3
    shown = cv2.imread(str(tmp_path / "frames" / labels.image[2]))
    assert abs(shown.mean() - 80) < 4


SLEAP_IO = (
    "sleap-io stays out of the extra dev: its wheel holds a package named tests, which hides "
)
SLEAP_IO += "ours, and 270 MB come with it; pip install --target FOLDER sleap-io, PYTHONPATH=FOLDER"


def test_sleap_reads_what_is_written_and_the_other_way_round(tmp_path):
    sio = pytest.importorskip("sleap_io", reason=SLEAP_IO)
    skeleton, _, points = cat_points()
    sleap.write(tmp_path / "x.slp", skeleton, np.array(["a.png", "a.png", "b.png"]), points)
    theirs = sio.load_slp(str(tmp_path / "x.slp"), open_videos=False)
    found = np.concatenate([[one.numpy() for one in frame.instances] for frame in theirs])
    np.testing.assert_array_equal(found, points)
    assert theirs.skeleton.node_names == [*CAT] and len(theirs.skeleton.symmetries) == 1
    theirs.save(str(tmp_path / "y.slp"))
    again = sleap.read(tmp_path / "y.slp")
    assert again.joints == CAT and again.limbs == skeleton.limbs
    np.testing.assert_array_equal(again.keypoints, np.nan_to_num(points))


def test_suspects_are_found_and_the_others_are_not(tmp_path):
    root = ensure_sample(dataset(spec.animal().address).name, smoke=True)
    people = load("animal", "train", root, source="sample")
    assert not len(suspects(people))
    people.boxes[3] += 40
    people = people.rows(np.r_[np.arange(len(people)), 5])
    found = suspects(people)
    assert dict(zip(found["suspicion"], found["row"], strict=True)) == {
        "joint outside the box": 3,
        "annotated twice": 5,
    }


def posed(keypoints, names):
    """People of these keypoints (N, K, 2) in images of 60 by 70 pixels."""
    from posekit.data import Annotations, Folder

    count, skeleton = (
        len(keypoints),
        spec.make_skeleton("x", names, (), skeletons.mirror_pairs(names), ()),
    )
    boxes, image = np.tile(np.float32([0, 0, 60, 70]), (count, 1)), np.arange(count).astype(str)
    visible = np.ones(keypoints.shape[:2], bool)
    known = {"keypoints": keypoints.astype(np.float32), "visible": visible}
    return Annotations("x", "train", "real", skeleton, boxes, image, Folder(Path("/")), **known)


def test_exchanged_sides_are_suspects():
    rng = np.random.default_rng(0)
    shape = np.array([[30, 10], [10, 30], [50, 30], [12, 60], [48, 60]])
    people = posed(
        shape + rng.normal(0, 2, (40, 5, 2)), ("head", "l_hand", "r_hand", "l_foot", "r_foot")
    )
    assert not len(suspects(people))
    people.keypoints[7] = people.keypoints[7][people.skeleton.flip]
    people.keypoints[20, 3:] = people.keypoints[20, [4, 3]]
    found = suspects(people).sort_values("row")
    assert found["row"].tolist() == [7, 20]
    assert found["where"].tolist() == ["whole body", "foot"]


def test_sides_are_told_by_the_joints_that_know_them():
    rng = np.random.default_rng(0)
    paws, ears = rng.uniform(5, 55, (80, 4, 2)), np.array([[28, 35], [32, 35]])
    ears = ears + rng.uniform(-20, 20, (80, 1, 2)) + rng.normal(0, 0.7, (80, 2, 2))
    names = ("ear_l", "ear_r", "fore_l", "fore_r", "hind_l", "hind_r")
    people = posed(np.concatenate([ears, paws], 1), names)
    assert not len(suspects(people))
    wrong = [3, 31, 52, 77]
    people.keypoints[wrong] = people.keypoints[wrong][:, people.skeleton.flip]
    assert sorted(suspects(people)["row"]) == wrong
