"""A run folder belongs to one process: whoever writes a run holds the folder's lock.

The operating system releases a lock when its process ends, however it ends.
"""

from multiprocessing.util import register_after_fork
from operator import methodcaller
from pathlib import Path
from typing import IO

_FILE = ".lock"


def hold(folder: Path) -> IO[str] | None:
    """Lock a run folder for this process, until the returned file is closed.

    Loading processes, which live on for some seconds when this one is killed, let go of it.

    Returns:
        The open lock file; None if another process holds the folder.
    """
    file = (folder / _FILE).open("w")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except (ImportError, OSError):  # Windows and some network drives have no such locks
        pass
    register_after_fork(file, methodcaller("close"))
    return file


def is_held(folder: Path) -> bool:
    """Whether a process holds a run folder; True where that cannot be found out."""
    try:
        import fcntl

        with (folder / _FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return True
    return False
