"""Files written whole or not at all: beside their target, then renamed over it.

Also a cache: columns as .npz beside a fingerprint of the files that they were read from.
"""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import PosekitError
from .paths import project_root

_PARTIAL = ".partial"
_UNREADABLE = OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` at the end.

    It has the same suffix, and is on the disk before it is renamed: after a power failure there is
    the old file or the new one. After an error it is removed, and a file that was there before
    stays.

    Raises:
        PosekitError: the disk is full, or the folder gone or not to be written.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{_PARTIAL}{path.suffix}")
    try:
        with writing(path):
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a disk refuses while a file or folder is written into one clear error.

    Raises:
        PosekitError: the disk is full, or the folder gone or not to be written.
    """
    try:
        yield
    except OSError as error:
        raise PosekitError(
            f"cannot write {path}: {error.strerror or error}; what was written before is kept: "
            "make room or the folder writable, then give the same command again"
        ) from error


def remove_partials(folder: Path) -> None:
    """Remove what a killed process had not written to the end, anywhere below a folder."""
    for partial in folder.rglob(f".*{_PARTIAL}*"):
        with contextlib.suppress(OSError):
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a file of text whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name when it is whole, and not at all after an error."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file


def fingerprint_of(files: Iterable[Path], *more: object) -> str:
    """A text that changes with the name, size or time of files, or with anything else given."""
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(str((stats, more)).encode()).hexdigest()


def cached(
    kind: str,
    place: Path,
    version: int,
    files: Sequence[Path],
    read: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Columns out of the cache if nothing has changed since they were put there.

    A cache that is damaged or cannot be written only makes reading slower.

    Args:
        kind: first part of the cache file's name.
        place: file or folder that the columns belong to; each has one cache file.
        version: of the code that makes the columns.
        files: that the columns are read from; their sizes and times are in the fingerprint.
        read: makes the columns anew.
    """
    folder = project_root() / "data" / ".cache"
    if not os.access(folder.parent, os.W_OK):
        folder = Path(tempfile.gettempdir()) / f"posekit-cache-{getattr(os, 'getuid', int)()}"
    path = folder / f"{kind}-{fingerprint_of((), place.resolve())[:12]}.npz"
    fingerprint = fingerprint_of(files, version)
    with contextlib.suppress(*_UNREADABLE), np.load(path, allow_pickle=False) as file:
        stored = dict(file)
        if stored.pop("fingerprint").item() == fingerprint:
            return stored
    columns = read()
    with contextlib.suppress(OSError, PosekitError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as partial:
            np.savez(partial, **columns, fingerprint=np.array(fingerprint))
    return columns
