"""A run folder belongs to one process: whoever writes a run holds the folder's lock.

The operating system releases a lock when its process ends, however it ends.
"""

import os
from pathlib import Path
from typing import IO
from weakref import WeakSet

from ..files.reading import without_waiting
from ..files.writing import writing

_FILE = ".lock"
_HELD: WeakSet[IO[str]] = WeakSet()


def hold(folder: Path) -> IO[str] | None:
    """Lock a run folder for this process, until the returned file is closed.

    Forked processes, which live on for some seconds when this one is killed, let go of it.

    Returns:
        The open lock file; None if another process holds the folder.

    Raises:
        PosekitError: the folder is gone or cannot be written.
    """
    with writing(folder):
        file = open(folder / _FILE, "w", opener=without_waiting)
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except (ImportError, OSError):  # Windows and some network drives have no such locks
        pass
    _HELD.add(file)
    return file


def _release() -> None:
    for file in _HELD:
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release)


def is_held(folder: Path) -> bool:
    """Whether a process holds a run folder; True where that cannot be found out."""
    try:
        import fcntl

        with open(folder / _FILE, opener=without_waiting) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return True
    return False
