"""Frames of videos in one LMDB file: key `0001/000001.jpg`, value the bytes of the image file.

One big file is read faster than 160,000 small ones where a file system is slow. The layout is the
one of the MobilePose repository, so that its train.lmdb and valid.lmdb are read as they are.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.images import decode, is_whole
from .annotations import Annotations

STORES = {"train": "train.lmdb", "test": "valid.lmdb"}  # split -> store of the MobilePose layout
_BATCH = 1000  # frames in one transaction
_ABANDONED = 3600  # seconds after which a partial store that does not grow has lost its writer
_environments: dict[Path, tuple[int, Any]] = {}  # path -> process, LMDB environment


class FrameStore:
    """Images in an LMDB; an `ImageSource`.

    The environment is opened at the first read of each process, because LMDB must not be carried
    through a fork; the object itself can be pickled.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._key = self.path.resolve()  # once: it costs more than a read

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameStore) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def read(self, name: str) -> np.ndarray:
        return decode(self.encoded(name), f"{self.path}: {name}")

    def encoded(self, name: str) -> bytes:
        with self._begin() as transaction:
            value = transaction.get(name.encode()) if name else None
        if value is None:
            raise PosekitError(f"{self.path} has no frame {name}: build the store again")
        return value

    def present(self, names: np.ndarray) -> np.ndarray:
        stored = set(self.names())
        return np.array([name in stored for name in names.tolist()], bool)

    def names(self) -> Iterator[str]:
        """All frame names in order."""
        with self._begin() as transaction:
            for key in transaction.cursor().iternext(keys=True, values=False):
                yield bytes(key).decode(errors="replace")

    def _begin(self):
        import lmdb

        opener, store = _environments.get(self._key, (None, None))
        try:
            if opener != os.getpid():
                # LMDB forbids a second opening in one process, so tables of one store share it,
                # and what a fork has copied is closed first.
                if store is not None:
                    store.close()
                store = self._open()
                _environments[self._key] = (os.getpid(), store)
            return store.begin()
        except lmdb.Error as error:
            raise PosekitError(
                f"{self.path} is not a readable LMDB ({error}): copy it or build it again"
            ) from error

    def _open(self):
        import lmdb

        is_folder = self.path.is_dir()
        store = lmdb.open(
            str(self.path),
            subdir=is_folder,
            readonly=True,
            create=False,
            lock=False,
            readahead=False,
        )
        # Reading a page behind the end of a cut file would kill the process with SIGBUS.
        whole = (store.info()["last_pgno"] + 1) * store.stat()["psize"]
        if _file(self.path).stat().st_size < whole:
            store.close()
            raise PosekitError(f"{self.path} is cut off: copy it or build it again")
        return store


def _file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def build(
    annotations: Annotations,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> dict:
    """Write the frames of a table into a new LMDB.

    The store appears under its name only when it is whole. A store that already holds every frame
    is kept.

    Args:
        annotations: whose images are stored, byte for byte.
        path: of the store, a folder such as data/PennAction/train.lmdb.
        progress: called with (frames written, frames in all).
        overwrite: build again whatever `path` holds.

    Returns:
        What `describe` says about the store.

    Raises:
        PosekitError: an image is damaged, `path` holds something else, its folder cannot be
            written, or the frames lie nowhere but in the store to be overwritten.
    """
    path = Path(path)
    names = np.unique(annotations.image)  # sorted, as LMDB appends fastest
    if path.exists() and not overwrite:
        return _kept(path, names)
    if annotations.images == FrameStore(path):
        raise PosekitError(f"{path} is the only copy of its frames: overwrite it from frames/ only")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _write(annotations, names, partial, progress)
        _put(partial, path, overwrite)
    except OSError as error:
        raise PosekitError(
            f"cannot write {path} ({error.strerror}): make {path.parent} writable with room for "
            "the frames, or link frames/ and labels/ into a folder that is"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return describe(path) if overwrite else _kept(path, names)


def _kept(path: Path, names: np.ndarray) -> dict:
    """Describe a store that exists if it holds all of these frames."""
    held = int(FrameStore(path).present(names).sum())
    if held < len(names):
        raise PosekitError(
            f"{path} exists and holds {held} of {len(names)} frames: set overwrite to build it "
            "again, or remove it"
        )
    return describe(path)


def _sweep(path: Path) -> None:
    """Remove what killed processes have left of this store."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(FileNotFoundError):  # another process has just finished with it
            newest = max(file.stat().st_mtime for file in (left, *left.rglob("*")))
            if time.time() - newest > _ABANDONED:
                _remove(left)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _put(partial: Path, path: Path, overwrite: bool) -> None:
    """Give a whole store its name; where another process was faster, its store stays."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old.part")
    if overwrite and path.exists():
        os.replace(path, old)
    try:
        os.replace(partial, path)
    except OSError:
        if old.exists():
            os.replace(old, path)
        elif not path.exists():
            raise
    _, store = _environments.pop(path.resolve(), (None, None))
    if store is not None:
        store.close()
    _remove(old)


def _write(
    annotations: Annotations,
    names: np.ndarray,
    path: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    import lmdb

    size = 2**24
    try:
        with lmdb.open(str(path), map_size=size, readahead=False, lock=False) as store:
            for start in range(0, len(names), _BATCH):
                batch = names[start : start + _BATCH].tolist()
                frames = [(name.encode(), _checked(annotations, name)) for name in batch]
                # Values lie in whole pages: this is more than the batch can take.
                size += sum(len(value) + 2 * 4096 for _, value in frames)
                store.set_mapsize(size)
                with store.begin(write=True) as transaction:
                    for key, value in frames:
                        transaction.put(key, value, append=True)
                if progress:
                    progress(start + len(batch), len(names))
            store.sync(True)
    except lmdb.Error as error:  # a full disk
        raise OSError(None, str(error)) from error


def _checked(annotations: Annotations, name: str) -> bytes:
    data = annotations.images.encoded(name)
    if not is_whole(data):
        raise PosekitError(f"image {name} is empty or cut off: replace the file, then build again")
    return data


def describe(path: Path) -> dict:
    """What a store holds: frames, sequences, bytes on disk and its first keys."""
    path = Path(path)
    names = list(FrameStore(path).names())
    return {
        "frames": len(names),
        "sequences": len({name.rpartition("/")[0] for name in names}),
        "bytes": _file(path).stat().st_size,
        "first": names[:3],
    }
