"""Where things lie: the project's folders, and the files and modules that readers name."""

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import PosekitError

_SIZE = re.compile(r"(?<!\d)([1-9]\d\d|[2-9]\d)x([1-9]\d\d|[2-9]\d)(?!\d)")
LARGEST = 2**32 - 2  # bytes; the networks here have at most 0.3e9, their checkpoints 1e9


def project_root() -> Path:
    """The folder that holds posekit/, params/, notebooks/ and data/."""
    return Path(__file__).resolve().parents[2]


def reports_root() -> Path:
    """Where run folders are written: POSEKIT_REPORTS, else reports/ of the project."""
    given = os.environ.get("POSEKIT_REPORTS")
    return Path(os.path.expanduser(given)).absolute() if given else project_root() / "reports"


def data_root(given: str | None = None) -> Path:
    """The folder that holds coco/, LSP/, ...: what is given, else POSEKIT_DATA, else data/."""
    given = given or os.environ.get("POSEKIT_DATA")
    return existing_path(given) if given else project_root() / "data"


def existing_path(given: str) -> Path:
    """A path below the current folder where there is something, else below the project."""
    path = os.path.expanduser(given)
    # os.path and not Path, which raises for a text that cannot be a path.
    return Path(path).absolute() if os.path.exists(path) else project_root() / path


def weight_folders() -> list[Path]:
    """Where weight files lie, in the layouts of posekit and of the papers' repositories."""
    roots = dict.fromkeys((Path.cwd(), project_root()))
    return [root / below for root in roots for below in ("data/weights", "models/pytorch")]


def smoke() -> bool:
    """Whether the test-suite runs this notebook and wants it done in seconds."""
    return os.environ.get("POSEKIT_SMOKE") == "1"


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
        size = os.stat(path).st_size
        if regular := path.is_file():
            path.open("rb").close()
    except FileNotFoundError as error:
        raise PosekitError(f"{path}: no such {kind}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PosekitError(f"{path}: cannot be opened: {reason}; give another path.") from error
    if not regular:
        raise PosekitError(f"{path}: no such {kind}, it is a folder, a pipe or a device.")
    if size > largest:
        raise PosekitError(
            f"{path}: {size / 1e9:.1f} GB, more than any {kind} has: take the original, and of "
            "networks the weights alone."
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


def imported(what: str, address: str) -> Any:
    """The object that an address names.

    Args:
        what: it is for, for messages.
        address: `my_module:Name`; the module may lie in the current folder or on PYTHONPATH.

    Raises:
        PosekitError: the module cannot be imported, or has nothing of that name.
    """
    module, _, name = address.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # whatever the module's own lines raise
        raise PosekitError(
            f"{what} {address}: {type(error).__name__}: {error}; write my_module:Name, a module "
            "in the current folder or on PYTHONPATH"
        ) from error
