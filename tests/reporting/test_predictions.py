"""predictions.npz."""

import io
import zipfile

import numpy as np
import pytest
from runs import bound

from posekit.errors import PosekitError
from posekit.reporting.predictions import read_predictions, write_predictions
from posekit.reporting.run_folder import Run


def columns(**changes):
    rng = np.random.default_rng(0)
    return {
        "image_id": np.array(["a.jpg", "größer.jpg", "c.jpg"]),
        "sequence": np.array([1, 1, 2], np.int32),
        "frame": np.array([1, 2, 1], np.int32),
        "annotation_id": np.arange(3),
        "box": rng.random((3, 4), np.float32),
        "keypoints": rng.random((3, 2, 2)),
        "scores": rng.random((3, 2), np.float32),
        "joints": np.array(["nose", "left_eye"]),
    } | changes


def test_predictions_are_read_as_they_were_written():
    run = Run.open(bound())
    run.predictions(columns())
    found = read_predictions(run.folder / "predictions.npz")
    assert found.keys() == columns().keys()
    for name, column in columns().items():
        assert found[name].dtype == column.dtype
        np.testing.assert_array_equal(found[name], column)


def test_nobody_predicted(tmp_path):
    none = {name: column[:0] for name, column in columns().items()}
    write_predictions(tmp_path / "p.npz", none | {"joints": columns()["joints"]})
    assert read_predictions(tmp_path / "p.npz")["keypoints"].shape == (0, 2, 2)


WRONG = {
    "keypoints has the shape (3, 2, 3), not (3, 2, 2)": {"keypoints": np.zeros((3, 2, 3))},
    "scores has the shape (2, 2), not (3, 2)": {"scores": np.zeros((2, 2))},
    "frame holds float64, not integers": {"frame": np.zeros(3)},
    "image_id holds float64, not integers or text": {"image_id": np.zeros(3)},
    "keypoints has the shape (3, 2, 2), not (3, 1, 2)": {"joints": np.array(["nose"])},
    "joints has the shape (), not (1,)": {
        "joints": np.array("nose"),
        "keypoints": np.zeros((3, 1, 2)),
        "scores": np.zeros((3, 1)),
    },
    "box holds object, not integers or floats": {"box": np.array([[None] * 4] * 3)},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_columns_are_refused(tmp_path, message):
    path, wrong = tmp_path / "predictions.npz", columns(**WRONG[message])
    with pytest.raises(PosekitError) as caught:
        write_predictions(path, wrong)
    assert message in str(caught.value) and not path.exists()
    np.savez(path, **wrong)
    with pytest.raises(PosekitError, match="holds no usable predictions"):
        read_predictions(path)


def test_missing_and_unknown_columns_are_named(tmp_path):
    path = tmp_path / "predictions.npz"
    with pytest.raises(PosekitError, match="unknown columns: score;"):
        write_predictions(path, columns(score=np.zeros(3)))
    some = columns()
    del some["box"], some["frame"]
    with pytest.raises(PosekitError, match="columns are missing: box, frame;"):
        write_predictions(path, some)


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


HEADERS = {
    "huge": b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}\n",
    "endless": b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 40 + b",)}\n",
    "negative": b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}\n",
    "code": b"__import__('os').abort()\n",
    "unclosed": b"{'descr': (((",
    "no text": b"\xff\xfe",
    "pickle": b"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}\n",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_hostile_arrays_are_refused(tmp_path, header):
    path = tmp_path / "predictions.npz"
    np.savez(path, **columns())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"frame.npy": npy(header)}).items():
            archive.writestr(name, content)
    with pytest.raises(PosekitError, match="holds no usable predictions"):
        read_predictions(path)


def test_damaged_files_are_refused(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns())
    path = tmp_path / "predictions.npz"
    for content in (b"", b"PK", buffer.getvalue()[:-30], buffer.getvalue()[:50]):
        path.write_bytes(content)
        with pytest.raises(PosekitError, match="holds no usable predictions"):
            read_predictions(path)
    with pytest.raises(PosekitError, match="no such predictions file"):
        read_predictions(tmp_path / "absent.npz")


def test_a_file_that_unpacks_to_very_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("posekit.reporting.predictions._LARGEST", 2**20)
    path = tmp_path / "predictions.npz"
    np.savez_compressed(path, **columns(), more=np.zeros(2**20))
    assert path.stat().st_size < 2**15
    with pytest.raises(PosekitError, match="unpacks to"):
        read_predictions(path)
