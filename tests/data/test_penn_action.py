import numpy as np
import pytest
from scipy.io import savemat

import posekit
from posekit.data import check, load, penn_action
from posekit.errors import PosekitError


def label(n: int = 4, train: int = 1, **changed) -> dict:
    x = np.tile(np.arange(13) * 10.0 + 20, (n, 1)) + np.arange(n)[:, None]
    fields = {
        "action": "bowl",
        "x": x,
        "y": x + 50,
        "visibility": np.ones((n, 13), np.uint8),
        "train": train,
        "bbox": np.tile([10.0, 60.0, 150.0, 200.0], (n, 1)),
        "dimensions": np.array([1, 1, n], np.uint16),
        "nframes": n,
    }
    return fields | changed


def clip(root, picture, number: int, frames: int | None = None, **changed) -> None:
    fields = label(**changed)
    (root / "PennAction/labels").mkdir(parents=True, exist_ok=True)
    savemat(root / f"PennAction/labels/{number:04d}.mat", fields)
    for i in range(len(fields["x"]) if frames is None else frames):
        picture(root / f"PennAction/frames/{number:04d}/{i + 1:06d}.jpg")


@pytest.fixture
def two_clips(tmp_path, picture):
    clip(tmp_path, picture, 7, n=3)
    clip(tmp_path, picture, 2, n=2)
    clip(tmp_path, picture, 5, train=-1)
    return tmp_path


def test_rows_are_sorted_and_zero_based(two_clips):
    table = load("penn_action", "train", two_clips, source="sample")
    assert table.sequence.tolist() == [2, 2, 7, 7, 7]
    assert table.frame.tolist() == [1, 2, 1, 2, 3]
    assert table.image[3] == "0007/000002.jpg" and table.notes == ()
    assert table.keypoints[0, 0].tolist() == [19, 69]
    assert table.boxes[0].tolist() == [9, 59, 149, 199] and table.reference[0] == 140
    assert table.read(4).shape == (24, 32, 3)
    assert load("PennAction", "test", two_clips).sequence.tolist() == [5] * 4
    assert check("PennAction", two_clips) == []


def test_narrow_integers_do_not_wrap(tmp_path, picture):
    x = np.full((2, 13), 250, np.uint8)
    box = np.array([[200, 10, 100, 90]] * 2, np.uint8)  # inside out: 100 - 200 wraps to 156
    box[1] = [10, 20, 250, 90]
    clip(tmp_path, picture, 1, n=2, x=x, y=np.full((2, 13), 0, np.uint16), bbox=box)
    table = load("PennAction", "train", tmp_path)
    assert table.keypoints[0, 0].tolist() == [249, -1]
    assert table.reference.tolist() == [240, 240]


def test_last_box_is_repeated_and_points_take_the_nearest_box(tmp_path, picture):
    boxes = np.array([[5, 5, 45, 95], [30, 30, 30, 30], [7, 7, 7, 7.0], [0, 0, 80, 60]])
    visible = np.zeros((5, 13))
    visible[:, 3] = 1
    clip(tmp_path, picture, 1, n=5, bbox=boxes, visibility=visible)
    table = load("PennAction", "train", tmp_path)
    assert (table.boxes + 1)[:, 2:].tolist() == [[45, 95], [45, 95], [80, 60], [80, 60], [80, 60]]
    assert table.reference.tolist() == [90, 90, 80, 80, 80]


def test_joints_count_within_a_fifth_of_the_longer_side_of_the_box(two_clips):
    """The box is 140 x 140: 28 pixels. Every second joint is 27.9 pixels away, the others 28.1."""
    truth = label()["x"]
    far = np.where(np.arange(13) % 2, 28.1, 27.9)
    predicted = np.stack([truth + far, truth + 50], -1)
    score = posekit.score("PennAction", {5: predicted}, split="test", root=two_clips)
    assert score.mean == pytest.approx(100 * 7 / 13)
    assert score.per_joint["Head"] == 100 and score.per_joint["Wrist"] == 50
    nearer = np.stack([truth, truth + 50 - 27.9], -1)
    assert posekit.score("PennAction", {5: nearer}, split="test", root=two_clips).mean == 100


def test_a_point_becomes_the_extent_of_the_visible_joints(tmp_path, picture):
    visible = np.zeros((2, 13))
    visible[:, :2] = 1
    clip(tmp_path, picture, 1, n=2, bbox=np.full((2, 4), 9.0), visibility=visible)
    table = load("PennAction", "train", tmp_path)
    assert table.boxes[0].tolist() == [19, 69, 29, 79]
    clip(tmp_path, picture, 1, n=2, bbox=np.full((2, 4), 9.0), visibility=0 * visible)
    with pytest.raises(PosekitError, match="0001.mat: no row of field bbox is a box"):
        load("PennAction", "train", tmp_path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": np.zeros((4, 12))}, "field x has the shape"),
        ({"y": np.zeros((3, 13))}, "field y has the shape"),
        ({"y": np.full((4, 13), np.nan)}, "field y holds values that are not finite"),
        ({"x": np.full((4, 13), 1j)}, "field x"),
        ({"x": "abc"}, "field x is a char"),
        ({"bbox": np.zeros((2, 4))}, "field bbox has the shape"),
        ({"visibility": np.full((4, 13), 2)}, "field visibility"),
        ({"train": 0}, "field train"),
    ],
)
def test_bad_fields_are_named(tmp_path, picture, changed, words):
    clip(tmp_path, picture, 3, frames=4, **({"n": 4} | changed))
    with pytest.raises(PosekitError, match=rf"0003\.mat: {words}"):
        load("PennAction", "train", tmp_path)


def test_missing_field_and_cut_file_are_named(tmp_path, picture):
    clip(tmp_path, picture, 3)
    path = tmp_path / "PennAction/labels/0003.mat"
    fields = label()
    del fields["bbox"]
    savemat(path, fields)
    with pytest.raises(PosekitError, match=r"0003\.mat: field bbox is missing"):
        load("PennAction", "train", tmp_path)
    for compressed in (False, True):
        savemat(path, label(), do_compression=compressed)
        whole = path.read_bytes()
        for part in (0, 0.2, 0.5, 0.99):
            path.write_bytes(whole[: int(len(whole) * part)])
            with pytest.raises(PosekitError, match=r"0003\.mat"):
                load("PennAction", "train", tmp_path)


def test_clips_without_frames_are_an_error_or_dropped_on_request(two_clips, picture):
    clip(two_clips, picture, 9, frames=0)
    with pytest.raises(PosekitError, match=r"1 of 3 sequences have no frames \(0009\)"):
        load("PennAction", "train", two_clips)
    assert check("PennAction", two_clips) == ["train: 1 of 3 sequences have no frames (0009)"]
    table = load("PennAction", "train", two_clips, allow_partial=True)
    assert set(table.sequence) == {2, 7}
    assert table.notes == ("partial folder: 2 of 3 sequences have frames",)
    every = load("PennAction", "train", two_clips, require_images=False)
    assert set(every.sequence) == {2, 7, 9}


@pytest.mark.parametrize("allow_partial", [False, True])
def test_holes_are_errors_in_both_modes(two_clips, picture, allow_partial):
    picture(two_clips / "PennAction/frames/0011/000001.jpg")
    with pytest.raises(PosekitError, match=r"lacks \.mat files for frames/ 0011"):
        load("PennAction", "train", two_clips, allow_partial=allow_partial)
    clip(two_clips, picture, 11, frames=3)
    with pytest.raises(PosekitError, match=r"missing frames: 1 \(0011/000004\.jpg\)"):
        load("PennAction", "train", two_clips, allow_partial=allow_partial)


def test_a_split_without_rows_is_an_error(tmp_path, picture):
    clip(tmp_path, picture, 1)
    with pytest.raises(PosekitError, match="no row for the split test"):
        load("PennAction", "test", tmp_path)


def test_labels_are_cached_until_a_file_changes(two_clips, picture, own_cache, monkeypatch):
    first = penn_action.labels(two_clips / "PennAction")
    with monkeypatch.context() as patch:
        patch.setattr(penn_action, "_read_clip", None)  # reading a label again would fail
        again = penn_action.labels(two_clips / "PennAction")
    assert all(np.array_equal(first[name], again[name]) for name in first)
    clip(two_clips, picture, 2, n=3)
    assert len(penn_action.labels(two_clips / "PennAction")["frame"]) == len(first["frame"]) + 1
    for file in own_cache.iterdir():
        file.write_bytes(b"broken")
    assert len(penn_action.labels(two_clips / "PennAction")["frame"]) == len(first["frame"]) + 1


@pytest.mark.real
def test_real_labels(real):
    columns = penn_action.labels(real / "PennAction")
    clips, counts = np.unique(columns["sequence"], return_counts=True)
    assert len(clips) == 56 and counts.sum() == 3685
    assert len(np.unique(columns["sequence"][columns["train"]])) == 28
    box = columns["boxes"]
    assert ((box[:, 2:] - box[:, :2]).max(1) > 1).all()
    # One visible joint only: its box is a point, and the neighbours' boxes stand in.
    at = np.flatnonzero(columns["sequence"] == 374)
    assert np.array_equal(box[at[20:22]], box[at[[19, 19]]])
    assert np.array_equal(box[at[23:25]], box[at[[25, 25]]])
    # 72 frames, 71 boxes; uint16 coordinates.
    at = np.flatnonzero(columns["sequence"] == 1154)
    assert len(at) == 72 and np.array_equal(box[at[71]], box[at[70]])
    at = columns["sequence"] == 100
    assert columns["keypoints"][at].dtype == float and columns["keypoints"][at, :, 0].min() == 21


@pytest.mark.real
def test_real_frames(real):
    table = load("PennAction", "test", real, allow_partial=True)
    assert set(table.sequence) == {502} and len(table) == 58
    assert table.notes == ("partial folder: 1 of 28 sequences have frames",)
    assert table.read(57).shape == (360, 480, 3)
    assert (table.keypoints[0] + 1)[0].tolist() == [102, 7.5]
    # A man seen from behind: his right is the picture's right.
    right, left = table.skeleton.index("right_shoulder", "left_shoulder")
    assert table.keypoints[0, right, 0] > table.keypoints[0, left, 0]
