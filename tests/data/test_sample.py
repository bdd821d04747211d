"""The generated sample: layouts, determinism, honest labels, and hard enough to learn."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from posekit.data import DATASETS, Sample, sample
from posekit.data.sample import motion, scenes
from posekit.data.sample.bodies import dress
from posekit.errors import PosekitError
from posekit.geometry.skeletons import MPII, PENN_ACTION, convert


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke sample of every data set."""
    where = tmp_path_factory.mktemp("sample")
    for dataset in DATASETS:
        assert sample.ensure_sample(dataset, where, smoke=True) == where
    return where


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_bytes_every_time_and_nothing_left_over(root: Path, tmp_path: Path) -> None:
    for dataset in DATASETS:
        sample.ensure_sample(dataset, tmp_path, smoke=True)
    assert _files(tmp_path) == _files(root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LSP", "PennAction", "coco", "mpii"]


def test_existing_sample_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "LSP").mkdir()
    sample.ensure_sample("LSP", tmp_path, smoke=True)
    assert not list((tmp_path / "LSP").iterdir())


def test_losing_a_race_keeps_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(folder: Path, train: int, test: int) -> None:
        (tmp_path / "LSP").mkdir()
        (tmp_path / "LSP" / "theirs").touch()
        (folder / "ours").touch()

    lsp = DATASETS["LSP"]
    made = replace(lsp, sample=Sample(slow, (1, 1), (1, 1)))
    monkeypatch.setitem(DATASETS, "LSP", made)
    sample.ensure_sample("LSP", tmp_path, smoke=True)
    assert list(_files(tmp_path)) == ["LSP/theirs"]


def test_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, train: int, test: int) -> None:
        (folder / "half").touch()
        raise OSError("no space left on device")

    lsp = DATASETS["LSP"]
    made = replace(lsp, sample=Sample(full, (1, 1), (1, 1)))
    monkeypatch.setitem(DATASETS, "LSP", made)
    with pytest.raises(PosekitError, match="LSP.*no space left"):
        sample.ensure_sample("LSP", tmp_path, smoke=True)
    assert not list(tmp_path.iterdir())


def test_unknown_data_set(tmp_path: Path) -> None:
    with pytest.raises(PosekitError, match="'FLIC'.*LSP, MPII, PennAction, COCO"):
        sample.ensure_sample("FLIC", tmp_path)


def test_root_says_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    assert sample.sample_root().name == f".sample-{sample.VERSION}-smoke"
    assert sample.sample_root(smoke=False).name == f".sample-{sample.VERSION}"
    assert sample.sample_root().parent.name == "data"


def test_penn_action_layout(root: Path) -> None:
    labels = sorted((root / "PennAction" / "labels").iterdir())
    train, test = DATASETS["PennAction"].sample.smoke_size
    assert [path.name for path in labels] == [f"{i:04d}.mat" for i in range(1, train + test + 1)]
    parts = []
    for path in labels:
        fields = loadmat(path)
        h, w, frames = fields["dimensions"][0]
        pictures = sorted((root / "PennAction" / "frames" / path.stem).iterdir())
        assert [p.name for p in pictures] == [f"{i:06d}.jpg" for i in range(1, frames + 1)]
        assert cv2.imread(str(pictures[0])).shape == (h, w, 3)
        assert fields["x"].shape == fields["y"].shape == fields["visibility"].shape == (frames, 13)
        assert fields["bbox"].shape == (frames, 4)
        assert (fields["x"].dtype, fields["visibility"].dtype) == (np.float64, np.uint8)
        assert fields["nframes"].item() == frames
        x1, y1, x2, y2 = fields["bbox"].T[..., None]
        assert ((x1 < fields["x"]) & (fields["x"] < x2)).all()
        assert ((y1 < fields["y"]) & (fields["y"] < y2)).all()
        assert (fields["bbox"] >= 1).all() and (fields["bbox"] <= [w, h, w, h]).all()
        speed = np.hypot(np.diff(fields["x"], axis=0), np.diff(fields["y"], axis=0))
        assert 0 < speed.max() < 16  # it moves, and smoothly
        parts.append(fields["train"].item())
    assert (parts.count(1), parts.count(-1)) == (train, test)


def test_lsp_layout(root: Path) -> None:
    train, test = DATASETS["LSP"].sample.smoke_size
    joints = loadmat(root / "LSP" / "joints_2000.mat")["joints"]
    assert joints.shape == (3, 14, 2 * test)
    assert (joints[:2] >= 1).all() and set(np.unique(joints[2])) <= {0, 1}
    assert joints[2].mean() < 0.25  # 1 is occluded
    assert cv2.imread(str(root / "LSP" / "images_2000" / f"im{2 * test:04d}.jpg")) is not None
    extended = loadmat(root / "LSP" / "joints_10000.mat")["joints"]
    assert extended.shape == (14, 3, train - test)
    seen = extended[:, 2] == 1
    assert seen.mean() > 0.75  # 1 is visible
    assert (extended[:, :2].min(1)[seen] >= 1).all() and (extended[:, :2].max(1)[~seen] < 0).all()
    assert len(list((root / "LSP" / "images_10000").glob("im0*.jpg"))) == train - test


def test_mpii_layout(root: Path) -> None:
    annot = root / "mpii" / "annot"
    for split, count in zip(("train", "valid"), DATASETS["MPII"].sample.smoke_size, strict=True):
        records = json.loads((annot / f"{split}.json").read_text())
        assert len(records) == count
        for record in records:
            h, w, _ = cv2.imread(str(root / "mpii" / "images" / record["image"])).shape
            joints, visible = np.array(record["joints"]), np.array(record["joints_vis"], bool)
            assert joints.shape == (16, 2)
            assert (joints[~visible] == -1).all()
            assert (joints[visible] > 0).all() and (joints[visible] <= [w + 0.5, h + 0.5]).all()
            away = np.abs(joints - record["center"]).max(1)[visible]
            assert (away <= 100 * record["scale"]).all()
    truth = loadmat(annot / "gt_valid.mat")
    assert [str(name[0]) for name in truth["dataset_joints"][0]][:2] == ["rank", "rkne"]
    position = np.array([r["joints"] for r in records]).transpose(1, 2, 0)
    np.testing.assert_array_equal(truth["pos_gt_src"], position)
    missing = 1 - np.array([r["joints_vis"] for r in records]).T
    np.testing.assert_array_equal(truth["jnt_missing"], missing)
    low, high = truth["headboxes_src"]
    top = truth["pos_gt_src"][MPII.joints.index("head_top")]
    assert (high > low).all() and ((low <= top) & (top <= high))[:, top[0] > 0].all()


@pytest.mark.parametrize("front", [True, False])
def test_sides_are_the_persons_own(front: bool) -> None:
    for seed in range(20):
        joints = motion.pose(np.random.default_rng(seed), 1, "squats", upright=True, front=front)
        for joint in ("shoulder", "hip"):
            right, left = joints[f"right_{joint}"][0, 0], joints[f"left_{joint}"][0, 0]
            assert (right < left) == front


def test_hidden_joints_are_invisible() -> None:
    rng = np.random.default_rng(5)
    joints = motion.pose(rng, 1, "squats", upright=True, front=True)
    gaze = joints.pop("gaze")
    joints = {name: 80 * points + 80 for name, points in joints.items()} | {"gaze": gaze}
    figure = dress(rng, joints, 80, front=True)
    canvas = np.zeros((160, 160, 4), np.uint8)
    scenes.paint(canvas, figure, 0, 1)
    names = ("head_top", "left_ankle", "right_ankle")
    assert scenes.in_sight(canvas[..., 3], figure, 0, 1, names)[1].all()
    x, y = joints["left_ankle"][0]
    box = np.array([[x - 6, y - 6], [x + 6, y - 6], [x + 6, y + 6], [x - 6, y + 6]])
    scenes.fill(canvas, box, np.zeros(3), 255)
    seen = scenes.in_sight(canvas[..., 3], figure, 0, 1, names)[1]
    assert seen.tolist() == [True, False, True]


def test_mean_pose_is_a_bad_guess() -> None:
    """At most 45 PCK@0.2 of the box's longer side, visible joints, in the box's own frame."""
    points, seen = [], []
    for index in range(150):
        rng = np.random.default_rng([7, index])
        scene = scenes.draw_scene(rng, (136, 136), PENN_ACTION.joints)
        box = scene.people[0].boxes()[0]
        middle, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()
        points.append((scene.people[0].keypoints(PENN_ACTION.joints)[0] - middle) / side)
        seen.append(scene.seen[0, 0])
    points, seen = np.array(points), np.array(seen)
    mean = (points * seen[..., None])[:100].sum(0) / seen[:100].sum(0)[:, None]
    hit = np.linalg.norm(points[100:] - mean, axis=-1) <= 0.2
    assert 20 < 100 * hit[seen[100:]].mean() <= 45
    assert 0.85 < seen.mean() < 0.99
    assert np.isfinite(convert(points, seen, PENN_ACTION, MPII)[0][:, 0]).all()
