"""The steps of notebooks/prepare_pennaction.ipynb, on a folder like the real one."""

import ast
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from posekit.data import load
from posekit.data.clips import Clips
from posekit.data.frame_store import FrameStore
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.files import writing
from posekit.geometry.skeletons import POSE_MACHINE
from posekit.workflows import preparation
from posekit.workflows.preparation import PreparationSettings

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "prepare_pennaction.ipynb"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A data root with a small Penn Action; label caches stay out of the project."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(writing, "project_root", lambda: tmp_path)
    return ensure_sample("PennAction", tmp_path / "root", smoke=True)


def run(root: Path, **settings) -> tuple[preparation.Preparation, str]:
    """The notebook up to the contents of the stores; what it says."""
    job = preparation.start({"data_root": str(root), **settings})
    said = [preparation.load(job), preparation.write(job).to_string(), preparation.contents(job)]
    return job, "\n".join(said)


def refusal(root: Path, **settings) -> str:
    with pytest.raises(PosekitError) as caught:
        run(root, **settings)
    return str(caught.value)


def test_parameters_cell_declares_the_settings():
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = next("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    nodes = ast.parse(source).body
    found = {n.target.id: (ast.unparse(n.annotation), ast.literal_eval(n.value)) for n in nodes}
    assert found == {
        "source": ("str", "auto"),
        "data_root": ("str", None),
        "overwrite": ("bool", False),
    }
    assert {n: default for n, (_, default) in found.items()} == PreparationSettings().model_dump()
    assert all(field.description in source for field in PreparationSettings.model_fields.values())


def test_parameters_are_checked_before_any_work(tmp_path):
    with pytest.raises(PosekitError) as caught:
        preparation.start({"over_write": True, "overwrite": "perhaps", "source": "fake"})
    message = str(caught.value)
    assert "over_write=True: unknown parameter: did you mean overwrite?" in message
    assert "overwrite='perhaps'" in message and "source='fake': must be 'auto'" in message
    with pytest.raises(PosekitError, match="frames/ and labels/ from http"):
        preparation.start({"data_root": str(tmp_path)})
    assert PreparationSettings(overwrite="yes").overwrite is True


def test_stores_are_written_once_and_train_like_the_folder(root):
    before = {split: load("PennAction", split, root) for split in ("train", "test")}
    job, said = run(root)
    assert "train.lmdb: 80 frames of 10 sequences, keys 0002/000001.jpg" in said
    assert "valid.lmdb: 40 frames of 5 sequences" in said and "40 of them read back" in said
    assert sorted(p.name for p in job.folder.iterdir()) == [
        *("frames", "labels", "train.lmdb", "valid.lmdb")
    ]
    files = [job.folder / name / "data.mdb" for name in ("train.lmdb", "valid.lmdb")]
    inodes = [file.stat().st_ino for file in files]
    assert "kept" in run(root)[1]
    assert [file.stat().st_ino for file in files] == inodes
    assert "written" in run(root, overwrite="True")[1]
    assert [file.stat().st_ino for file in files] != inodes

    (job.folder / "frames").rename(root / "away")
    for split, table in before.items():
        stored = load("PennAction", split, root)
        assert isinstance(stored.images, FrameStore)
        before_moved = table.images.__class__(root / "away")
        for name in table.image.tolist():
            assert np.array_equal(stored.images.read(name), before_moved.read(name))
        clips = Clips(stored, POSE_MACHINE, 4, Framing((64, 64), 1.5))
        assert clips[0, 0]["images"].any() and len(clips.people) == len(table)
    assert "80 frames" in run(root)[1]
    assert "frames/ is not here" in preparation.timing(run(root)[0])
    assert "only copy of its frames" in refusal(root, overwrite=True)
    assert all(file.is_file() for file in files)


def test_an_incomplete_folder_is_refused_or_packed_as_it_is(root):
    shutil.rmtree(root / "PennAction/frames/0002")
    assert "1 of 10 sequences have no frames (0002)" in refusal(root)
    assert not (root / "PennAction/train.lmdb").exists()
    _, said = run(root, source="real")
    assert "partial folder: 9 of 10 sequences have frames" in said
    assert "train.lmdb: 72 frames of 9 sequences, keys 0003/000001.jpg" in said

    ensure_sample("PennAction", root / "whole", smoke=True)
    shutil.copytree(root / "whole/PennAction/frames/0002", root / "PennAction/frames/0002")
    assert "holds 72 of 80 frames: set overwrite" in refusal(root)
    assert "80 frames of 10" in run(root, overwrite=True)[1]

    (root / "PennAction/frames/0003/000004.jpg").unlink()
    for source in ("auto", "real"):
        assert "missing frames: 1 (0003/000004.jpg)" in refusal(root, source=source)


def test_a_folder_with_one_split(root):
    for number in load("PennAction", "train", root).sequence:
        shutil.rmtree(root / f"PennAction/frames/{number:04d}", ignore_errors=True)
    job, said = run(root, source="real")
    assert list(job.stores) == ["test"] and "note: no train.lmdb: " in said
    shutil.rmtree(root / "PennAction/frames")
    shutil.rmtree(root / "PennAction/valid.lmdb")
    assert "none of its 5 labelled sequences has an image file" in refusal(root, source="real")


def test_stored_frames_are_compared_with_their_files(root):
    job, _ = run(root)
    path = job.folder / "frames" / "0002" / "000001.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(PosekitError, match=r"0002/000001\.jpg differs from its file"):
        preparation.contents(job)


def test_tables_and_figures_of_the_stores(root):
    job, _ = run(root)
    table = preparation.actions(job)
    assert table[["train sequences", "test sequences", "frames"]].sum().tolist() == [10, 5, 120]
    assert preparation.contact_sheet(job).data.startswith(b"\x89PNG")
    assert "times as fast" in preparation.timing(job)


def test_real_folder(tmp_path, monkeypatch):
    real = os.environ.get("POSEKIT_REAL_DATA")
    if not real:
        pytest.skip("POSEKIT_REAL_DATA names no folder of real samples")
    monkeypatch.setattr(writing, "project_root", lambda: tmp_path)
    (tmp_path / "PennAction").mkdir()
    for name in ("frames", "labels"):
        (tmp_path / "PennAction" / name).symlink_to(Path(real) / "PennAction" / name)
    job, said = run(tmp_path, source="real")
    assert "partial folder: 1 of " in said and "58 frames of 1 sequences, keys 0502/" in said
    assert preparation.actions(job)["frames"].tolist() == [58]
