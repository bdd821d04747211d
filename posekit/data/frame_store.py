"""Frames of videos in one LMDB file: key `0001/000001.jpg`, value the bytes of the image file.

One big file is read faster than 160,000 small ones where a file system is slow. The layout is the
one of the MobilePose repository, so that its train.lmdb and valid.lmdb are read as they are.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.paths import regular_file
from ..files.reading import decode, is_whole, reading
from .annotations import Annotations

STORES = {"train": "train.lmdb", "test": "valid.lmdb"}  # split -> store of the MobilePose layout
_READABLE = "a readable LMDB", "build it again"
_LARGEST = 2**45  # bytes
_BATCH = 1000  # frames in one transaction
_ABANDONED = 3600  # seconds after which a partial store that does not grow has lost its writer
Progress = Callable[[int, int], None]  # called with (frames written, frames in all)


@dataclass(frozen=True)
class FrameStore:
    """Images in an LMDB, a folder or a file; an `ImageSource` that can be pickled."""

    path: Path

    @cached_property
    def _key(self) -> Path:
        return self.path.resolve()  # once: it costs more than a read

    def read(self, name: str) -> np.ndarray:
        return decode(self.encoded(name), f"{self.path}: {name}")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Any]:
        """A transaction of the store, whose damage is one clear error."""
        store = _environment(self._key)
        with reading(self.path, *_READABLE), store.begin() as transaction:
            yield transaction

    def encoded(self, name: str) -> bytes:
        with self._reading() as transaction:
            value = transaction.get(name.encode()) if name else None
        if value is None:
            raise PosekitError(f"{self.path} has no frame {name}: build the store again")
        return value

    def present(self, names: np.ndarray) -> np.ndarray:
        return np.isin(names, self.names())

    def names(self) -> list[str]:
        """All frame names in order."""
        with self._reading() as transaction:
            keys = transaction.cursor().iternext(keys=True, values=False)
            return [bytes(key).decode(errors="replace") for key in keys]

    def describe(self) -> dict:
        """What the store holds: frames, sequences, bytes on disk and its first keys."""
        names = self.names()
        sequences = {name.rpartition("/")[0] for name in names}
        size = _file(self.path).stat().st_size
        return dict(frames=len(names), sequences=len(sequences), bytes=size, first=names[:3])


@cache
def _environment(path: Path) -> Any:
    """The LMDB environment of a store: all tables share it, as none may be opened twice."""
    import lmdb

    with reading(path, *_READABLE):
        regular_file(_file(path), "LMDB", _LARGEST)  # another one would be waited for
        options = {"readonly": True, "create": False, "lock": False, "readahead": False}
        store = lmdb.open(str(path), subdir=path.is_dir(), **options)
    # Reading a page behind the end of a cut file would kill the process with SIGBUS.
    if _file(path).stat().st_size < (store.info()["last_pgno"] + 1) * store.stat()["psize"]:
        store.close()
        raise PosekitError(f"{path} is cut off: copy it or build it again")
    return store


if hasattr(os, "register_at_fork"):  # none may be carried through a fork
    os.register_at_fork(after_in_child=_environment.cache_clear)


def _file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def build(
    annotations: Annotations, path: Path, progress: Progress | None = None, overwrite: bool = False
) -> dict:
    """Write the frames of a table into a new LMDB.

    The store appears under its name only when it is whole. A store that already holds every frame
    is kept.

    Args:
        annotations: whose images are stored, byte for byte.
        path: of the store, a folder such as data/PennAction/train.lmdb.
        progress: told after each thousand frames.
        overwrite: build again whatever `path` holds.

    Returns:
        What `FrameStore.describe` says about the store.

    Raises:
        PosekitError: an image is damaged, `path` holds something else, its folder cannot be
            written, or the frames lie nowhere but in the store to be overwritten.
    """
    import lmdb

    names = np.unique(annotations.image)  # sorted, as LMDB appends fastest
    if overwrite and annotations.images == FrameStore(path):
        raise PosekitError(f"{path} is the only copy of its frames: overwrite it from frames/ only")
    if overwrite or not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path)
            with TemporaryDirectory(".part", f".{path.name}.", path.parent) as folder:
                _write(annotations, names, Path(folder, "new"), progress)
                _put(Path(folder), path, overwrite)
        except (OSError, lmdb.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise PosekitError(
                f"cannot write {path} ({reason}): make {path.parent} writable with room for the "
                "frames, or link frames/ and labels/ into a folder that is"
            ) from error
    held = int(FrameStore(path).present(names).sum())
    if held < len(names):
        count = f"holds {held} of {len(names)} frames"
        raise PosekitError(f"{path} exists and {count}: set overwrite to build it again")
    return FrameStore(path).describe()


def _sweep(path: Path) -> None:
    """Remove what killed processes have left of this store."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(FileNotFoundError):  # another process has just finished with it
            newest = max(file.lstat().st_mtime for file in (left, *left.rglob("*")))
            if time.time() - newest > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def _put(folder: Path, path: Path, overwrite: bool) -> None:
    """Give the new store its name; where another process was faster, its store stays."""
    if overwrite and path.exists():
        os.replace(path, folder / "old")
    try:
        os.replace(folder / "new", path)
    except OSError:
        if not path.exists():
            if overwrite:
                os.replace(folder / "old", path)
            raise
    _environment.cache_clear()  # readers open the new one


def _write(table: Annotations, names: np.ndarray, path: Path, progress: Progress | None) -> None:
    import lmdb

    size = 2**24
    with lmdb.open(str(path), map_size=size, readahead=False, lock=False) as store:
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH].tolist()
            frames = [(name.encode(), table.images.encoded(name)) for name in batch]
            if cut := [key.decode() for key, data in frames if not is_whole(data)]:
                raise PosekitError(f"image {cut[0]} is empty or cut off: replace the file")
            # Values lie in whole pages: this is more than the batch can take.
            size += sum(len(value) + 2 * 4096 for _, value in frames)
            store.set_mapsize(size)
            with store.begin(write=True) as transaction:
                transaction.cursor().putmulti(frames, append=True)
            if progress:
                progress(start + len(frames), len(names))
