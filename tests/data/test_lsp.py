import shutil

import numpy as np
import pytest
from scipy.io import savemat

from posekit.data import check, load, lsp
from posekit.errors import PosekitError


def lsp_joints(n: int = 4) -> np.ndarray:
    joints = np.zeros((3, 14, n))
    joints[:2] = np.arange(14)[None, :, None] + 5 + np.arange(n)
    joints[2, 6, 0] = 1  # occluded
    return joints


def lspet_joints(n: int = 2) -> np.ndarray:
    joints = np.zeros((14, 3, n))
    joints[:, :2] = 10 * np.arange(14)[:, None, None] + 20
    joints[:, 2] = 1
    joints[0, :, 0] = [-26.1, -4, 0]  # missing: junk
    return joints


@pytest.fixture
def folder(tmp_path, picture):
    root = tmp_path / "LSP"
    root.mkdir()
    savemat(root / "joints_2000.mat", {"joints": lsp_joints()})
    savemat(root / "joints_10000.mat", {"joints": lspet_joints()})
    for i in range(1, 5):
        picture(root / f"images_2000/im{i:04d}.jpg", (20 + i, 30))
    for i in range(1, 3):
        picture(root / f"images_10000/im{i:05d}.jpg")
    return root


def test_halves_and_extension(folder):
    train, test = (load("LSP", s, folder.parent, source="sample") for s in ("train", "test"))
    assert train.sequence.tolist() == [1, 2, 10001, 10002]
    assert test.sequence.tolist() == [3, 4]
    assert test.boxes.tolist() == [[0, 0, 29, 22], [0, 0, 29, 23]]
    assert test.keypoints[0, 0].tolist() == [6, 6]
    assert np.allclose(test.reference, np.sqrt(2) * 7)
    assert train.read(2).shape == (24, 32, 3) and train.notes == ()
    assert check("LSP", folder.parent) == []


def test_flags_mean_the_opposite_in_the_two_files(folder):
    table = load("LSP", "train", folder.parent)
    assert table.visible[:2].all() and table.visible[3].all() and table.visible[2, 1:].all()
    assert not table.visible[2, 0] and table.keypoints[2, 0].tolist() == [0, 0]
    assert table.occluded.sum() == 1 and table.occluded[0, 6]
    # The box of an extension image holds its annotated joints, with a margin around.
    assert table.boxes[2] == pytest.approx([29 - 19.2, 29 - 19.2, 149 + 19.2, 149 + 19.2])


def test_original_layout(tmp_path, picture):
    (tmp_path / "lsp").mkdir()
    savemat(tmp_path / "lsp/joints.mat", {"joints": lsp_joints(2)})
    for i in (1, 2):
        picture(tmp_path / f"lsp/images/im{i:04d}.jpg")
    table = load("LSP", "train", tmp_path)
    assert table.image.tolist() == ["images/im0001.jpg"]
    assert any("LSPET" in note for note in table.notes)


def test_missing_pictures(folder):
    (folder / "images_2000/im0004.jpg").unlink()
    with pytest.raises(PosekitError, match=r"1 of 2 images have no image file \(.*im0004\.jpg\)"):
        load("LSP", "test", folder.parent)
    table = load("LSP", "test", folder.parent, allow_partial=True)
    assert table.sequence.tolist() == [3]
    assert table.notes == ("partial folder: 1 of 2 images have image files",)
    shutil.rmtree(folder / "images_2000")
    with pytest.raises(PosekitError, match="no row for the split test"):
        load("LSP", "test", folder.parent, allow_partial=True)
    labels = load("LSP", "test", folder.parent, require_images=False)
    assert np.array_equal(labels.keypoints + 1, lsp.joints(folder)[0][2:])


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("joints_2000.mat", {"joints": np.zeros((14, 3, 2))}, "field joints has the shape"),
        ("joints_2000.mat", {"other": np.zeros(3)}, "field joints is missing"),
        ("joints_10000.mat", {"joints": np.full((14, 3, 2), np.inf)}, "not finite"),
        ("joints_2000.mat", {"joints": np.full((3, 14, 2), 1e300)}, "values beyond 1e"),
        ("joints_10000.mat", {"joints": np.full((14, 3, 2), 7)}, "flags other than 0 and 1"),
        ("joints_10000.mat", {"joints": np.zeros((3, 14, 2))}, "field joints has the shape"),
    ],
)
def test_bad_labels_are_named(folder, name, fields, words):
    savemat(folder / name, fields)
    with pytest.raises(PosekitError, match=f"{name}: .*{words}"):
        load("LSP", "train", folder.parent)


def test_missing_labels_and_broken_pictures_are_named(folder):
    (folder / "images_2000/im0003.jpg").write_bytes(b"no picture")
    with pytest.raises(PosekitError, match=r"im0003\.jpg is not a readable image"):
        load("LSP", "test", folder.parent)
    (folder / "joints_2000.mat").unlink()
    with pytest.raises(PosekitError, match=r"lacks joints_2000\.mat"):
        load("LSP", "test", folder.parent, allow_partial=True)


@pytest.mark.real
def test_real_files(real):
    joints, occluded = lsp.joints(real / "LSP")
    assert joints.shape == (2000, 14, 2) and occluded.mean() == pytest.approx(0.073, abs=5e-4)
    train = load("LSP", "train", real, require_images=False)
    assert len(train) == 11000 and train.visible[:1000].all()
    assert train.visible[1000:].mean() == pytest.approx(0.8801, abs=1e-4)
    assert not train.visible[1000, 0] and np.isfinite(train.keypoints).all()
    table = load("LSP", "train", real, allow_partial=True)
    assert len(table) == 180 and np.isfinite(table.boxes).all()
    test = load("LSP", "test", real, allow_partial=True)
    assert test.sequence.tolist() == [1010, 1630, 1640, 1954]
    assert test.boxes[0].tolist() == [0, 0, 152, 191] and test.read(0).shape == (192, 153, 3)
    assert ((test.keypoints >= 0) & (test.keypoints <= test.boxes[:, None, 2:])).all()
    with pytest.raises(PosekitError, match="996 of 1000 images"):
        load("LSP", "test", real)
