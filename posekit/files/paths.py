"""Paths that readers give: to a regular file of a sensible size, or refused."""

import os
import re
import stat
from pathlib import Path

from ..errors import PosekitError

_SIZE = re.compile(r"(?<!\d)([1-9]\d\d|[2-9]\d)x([1-9]\d\d|[2-9]\d)(?!\d)")
LARGEST = 2**32 - 2  # bytes; the networks here have at most 0.3e9, their checkpoints 1e9


def expanded(path: str | os.PathLike) -> Path:
    """The path with the home folder in place of `~`.

    Raises:
        PosekitError: it holds a zero character, which no path does.
    """
    if "\0" in os.fspath(path):
        raise PosekitError(f"{os.fspath(path)!r}: a path holds no zero character; write another.")
    return Path(os.path.expanduser(path))


def regular_file(
    path: str | os.PathLike, kind: str = "weight file", largest: int = LARGEST
) -> Path:
    """The path of a file that can be read to its end, `~` expanded.

    Args:
        path: as the reader gives it.
        kind: what the file should be, for messages.
        largest: size in bytes.

    Raises:
        PosekitError: there is no such file, it is a folder, pipe or device, or too large.
    """
    path = expanded(path)
    try:
        status = os.stat(path)
        regular = stat.S_ISREG(status.st_mode)
        if regular:
            path.open("rb").close()
    except FileNotFoundError as error:
        raise PosekitError(f"{path}: no such {kind}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PosekitError(f"{path}: cannot be opened: {reason}; give another path.") from error
    if not regular:
        raise PosekitError(f"{path}: no such {kind}, it is a folder, a pipe or a device.")
    if status.st_size > largest:
        raise PosekitError(
            f"{path}: {status.st_size / 1e9:.1f} GB, more than any {kind} of posekit's networks; "
            "store the weights alone."
        )
    return path


def named_size(path: Path) -> tuple[int, int] | None:
    """Height and width that a file's name tells, or else its folder's, as `384x288_d256x3` does."""
    found = _SIZE.search(path.name) or _SIZE.search(path.absolute().parent.name)
    return found and (int(found[1]), int(found[2]))


def size_note(path: Path, used: tuple[int, int]) -> str:
    """What a file's name tells of the crops beside the size that is used; empty if nothing."""
    if not (named := named_size(path)):
        return ""
    said, (h, w) = "{}x{}".format(*named), used
    differs = f"crops of {h}x{w} although the file's NAME SAYS {said}"
    return f"crops of {said} by the file's name" if named == (h, w) else differs
