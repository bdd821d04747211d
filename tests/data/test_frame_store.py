import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest
from test_penn_action import clip

from posekit.data import frame_store, load
from posekit.data.frame_store import FrameStore, build
from posekit.errors import PosekitError


@pytest.fixture
def clips(tmp_path, picture):
    for number, train in ((1, 1), (2, 1), (3, -1)):
        clip(tmp_path, picture, number, n=3, train=train)
    return tmp_path


def stores(root) -> None:
    """Replace frames/ by the two stores of the MobilePose layout."""
    for split, name in (("train", "train.lmdb"), ("test", "valid.lmdb")):
        build(load("PennAction", split, root), root / "PennAction" / name)
    shutil.rmtree(root / "PennAction/frames")


def test_stores_stand_in_for_folders(clips):
    folders = [load("PennAction", s, clips) for s in ("train", "test")]
    pictures = [[t.read(i) for i in range(len(t))] for t in folders]
    stores(clips)
    for before, images in zip(folders, pictures, strict=True):
        table = load("PennAction", before.split, clips)
        assert isinstance(table.images, FrameStore)
        assert np.array_equal(table.image, before.image)
        assert all(np.array_equal(table.read(i), image) for i, image in enumerate(images))
    about = FrameStore(clips / "PennAction/train.lmdb").describe()
    assert (about["frames"], about["sequences"]) == (6, 2)
    assert about["first"][0] == "0001/000001.jpg" and about["bytes"] > 0


def _shape_in_child(store: FrameStore) -> tuple:
    return store.read("0001/000001.jpg").shape


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_store_travels_to_other_processes(clips, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    stores(clips)
    store = FrameStore(clips / "PennAction/train.lmdb")
    assert _shape_in_child(store) == (24, 32, 3)  # open in the parent before the fork
    assert pickle.loads(pickle.dumps(store)) == store
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_shape_in_child, [store] * 4) == [(24, 32, 3)] * 4


def test_absent_frames(clips, picture):
    stores(clips)
    store = FrameStore(clips / "PennAction/train.lmdb")
    with pytest.raises(PosekitError, match=r"train\.lmdb has no frame 0009/000001\.jpg"):
        store.read("0009/000001.jpg")
    clip(clips, picture, 1, n=4, frames=0)
    with pytest.raises(PosekitError, match=r"missing frames: 1 \(0001/000004\.jpg\)"):
        load("PennAction", "train", clips, allow_partial=True)


def test_nothing_is_left_of_a_store_that_failed(clips):
    (clips / "PennAction/frames/0002/000003.jpg").write_bytes(b"\xff\xd8 cut")
    table = load("PennAction", "train", clips)
    target = clips / "stores/train.lmdb"
    with pytest.raises(PosekitError, match=r"0002/000003\.jpg is empty or cut off"):
        build(table, target)
    assert list(target.parent.iterdir()) == []


def test_a_whole_store_is_kept_and_another_is_not_overwritten(clips):
    table = load("PennAction", "train", clips)
    target = clips / "train.lmdb"
    seen = []
    first = build(table.rows(slice(0, 3)), target, progress=lambda *done: seen.append(done))
    assert seen == [(3, 3)] and first["frames"] == 3
    assert build(table.rows(slice(0, 2)), target) == first
    with pytest.raises(PosekitError, match="holds 3 of 6 frames"):
        build(table, target)


def test_overwriting_puts_a_whole_store_in_the_place_of_another(clips):
    table = load("PennAction", "train", clips)
    target = clips / "stores/train.lmdb"
    build(table.rows(slice(0, 3)), target)
    first = FrameStore(target)
    assert len(first.names()) == 3
    picture = clips / "PennAction/frames/0002/000003.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-2])
    with pytest.raises(PosekitError, match="empty or cut off"):
        build(table, target, overwrite=True)
    assert len(first.names()) == 3 and len(list(target.parent.iterdir())) == 1
    picture.write_bytes(whole)
    assert build(table, target, overwrite=True)["frames"] == 6
    assert len(first.names()) == 6 and len(list(target.parent.iterdir())) == 1

    stores(clips)
    own = clips / "PennAction/train.lmdb"
    with pytest.raises(PosekitError, match="only copy of its frames"):
        build(load("PennAction", "train", clips), own, overwrite=True)
    assert FrameStore(own).read("0001/000001.jpg").shape == (24, 32, 3)


def test_losing_a_race_keeps_the_winner(clips):
    table = load("PennAction", "train", clips)
    target = clips / "stores/train.lmdb"
    build(table, clips / "theirs.lmdb")
    inodes = []

    def faster(*_) -> None:
        shutil.copytree(clips / "theirs.lmdb", target)
        inodes.append((target / "data.mdb").stat().st_ino)

    assert build(table, target, progress=faster)["frames"] == 6
    assert inodes == [(target / "data.mdb").stat().st_ino]
    assert list(target.parent.iterdir()) == [target]


def test_leavings_of_a_killed_process_are_removed(clips):
    table = load("PennAction", "train", clips)
    killed, busy = (clips / f"stores/.train.lmdb.{pid}.part" for pid in (1, 2))
    for left in (killed, busy):
        left.mkdir(parents=True)
        (left / "data.mdb").write_bytes(b"half")
    for file in (killed, killed / "data.mdb"):
        os.utime(file, (0, 0))
    build(table, clips / "stores/train.lmdb")
    assert busy.exists() and not killed.exists()


def test_a_folder_that_cannot_be_written_or_is_full(clips):
    table = load("PennAction", "train", clips)
    (clips / "file").touch()
    with pytest.raises(
        PosekitError, match=r"cannot write .*file/train\.lmdb .*make .*file writable"
    ):
        build(table, clips / "file/train.lmdb")

    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(PosekitError, match=r"cannot write .*train\.lmdb .*room"):
            build(table, clips / "full/train.lmdb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((clips / "full").iterdir()) == []


def test_a_store_grows_beyond_its_first_size(clips, monkeypatch):
    table = load("PennAction", "train", clips)
    monkeypatch.setattr(frame_store, "_BATCH", 2)
    monkeypatch.setattr(type(table.images), "encoded", lambda *_: b"x" * 2**23)
    assert build(table, clips / "big.lmdb")["bytes"] > 6 * 2**23


def test_damaged_stores_are_named(clips):
    with pytest.raises(PosekitError, match="none.lmdb"):
        FrameStore(clips / "none.lmdb").read("0001/000001.jpg")
    stores(clips)
    data = clips / "PennAction/train.lmdb/data.mdb"
    whole = data.read_bytes()
    for end in (0, 1000, len(whole) // 2):
        copy = clips / f"cut{end}.lmdb"
        copy.mkdir()
        (copy / "data.mdb").write_bytes(whole[:end])
        with pytest.raises(PosekitError, match=f"cut{end}.lmdb"):
            FrameStore(copy).read("0001/000001.jpg")
