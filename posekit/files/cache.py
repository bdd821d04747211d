"""Label columns kept as .npz beside a fingerprint of the files that they were read from."""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from .places import project_root
from .writing import replacing

_UNREADABLE = OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile


def fingerprint_of(files: Iterable[Path], *more: object) -> str:
    """A text that changes with the name, size or time of files, or with anything else given."""
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(str((stats, more)).encode()).hexdigest()


def cached(
    kind: str,
    place: Path,
    version: int,
    files: Sequence[Path],
    names: Sequence[str],
    read: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Columns out of the cache if nothing has changed since they were put there.

    A cache that is damaged or cannot be written only makes reading slower.

    Args:
        kind: first part of the cache file's name.
        place: file or folder that the columns belong to; each has one cache file.
        version: of the code that makes the columns.
        files: that the columns are read from; their sizes and times are in the fingerprint.
        names: of the columns.
        read: makes the columns anew.
    """
    folder = project_root() / "data" / ".cache"
    if not os.access(folder.parent, os.W_OK):
        folder = Path(tempfile.gettempdir()) / f"posekit-cache-{getattr(os, 'getuid', int)()}"
    path = folder / f"{kind}-{fingerprint_of((), place.resolve())[:12]}.npz"
    fingerprint = fingerprint_of(files, version)
    with contextlib.suppress(*_UNREADABLE), np.load(path, allow_pickle=False) as file:
        if file["fingerprint"].item() == fingerprint:
            return {name: file[name] for name in names}
    columns = read()
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as partial:
            np.savez(partial, **columns, fingerprint=np.array(fingerprint))
    return columns
