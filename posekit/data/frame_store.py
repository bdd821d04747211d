"""Frames of videos in one LMDB file: key `0001/000001.jpg`, value the bytes of the image file.

One big file is read faster than 160,000 small ones where a file system is slow. The layout is the
one of the MobilePose repository, so that its train.lmdb and valid.lmdb are read as they are.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ._columns import Annotations, decode, is_whole

_BATCH = 1000  # frames in one transaction
_environments: dict[Path, tuple[int, Any]] = {}  # path -> process, LMDB environment


class FrameStore:
    """Images in an LMDB; an `ImageSource`.

    The environment is opened at the first read of each process, because LMDB must not be carried
    through a fork; the object itself can be pickled.
    """

    def __init__(self, path: Path):
        self.path = Path(path)

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

        key = self.path.resolve()
        opener, store = _environments.get(key, (None, None))
        try:
            if opener != os.getpid():
                # LMDB forbids a second opening in one process, so tables of one store share it,
                # and what a fork has copied is closed first.
                if store is not None:
                    store.close()
                store = self._open()
                _environments[key] = (os.getpid(), store)
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
    annotations: Annotations, path: Path, progress: Callable[[int, int], None] | None = None
) -> dict:
    """Write the frames of a table into a new LMDB.

    The store appears under its name only when it is whole. A store that already holds every frame
    is kept.

    Args:
        annotations: whose images are stored, byte for byte.
        path: of the store, a folder such as data/PennAction/train.lmdb.
        progress: called with (frames written, frames in all).

    Returns:
        What `describe` says about the store.

    Raises:
        PosekitError: an image is damaged, or `path` holds something else.
    """
    path = Path(path)
    names = np.unique(annotations.image)  # sorted, as LMDB appends fastest
    if path.exists():
        held = int(FrameStore(path).present(names).sum())
        if held == len(names):
            return describe(path)
        raise PosekitError(
            f"{path} exists and holds {held} of {len(names)} frames: "
            "remove it or choose another name"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(annotations, names, partial, progress)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return describe(path)


def _write(
    annotations: Annotations,
    names: np.ndarray,
    path: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    import lmdb

    size = 2**24
    with lmdb.open(str(path), map_size=size, subdir=True, readahead=False, lock=False) as store:
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
