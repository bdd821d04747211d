"""The generated sample: small stand-ins for Penn Action, LSP, MPII and COCO in their file layouts.

Made on demand where no real data lie, read by the same readers as the real files, and the same
bytes for the same version. Coordinates in the files are 1-based, those of COCO 0-based, as in the
originals.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import PosekitError
from ...files.places import project_root
from .coco import write_coco
from .lsp import write_lsp
from .mpii import write_mpii
from .output import VERSION
from .penn_action import write_penn_action


@dataclass(frozen=True)
class SampleSpec:
    """How the sample of a data set is made.

    Attributes:
        folder: below the data root.
        write: fills an empty folder with so many training and test images or sequences.
        size: of the training and the test part.
        smoke_size: the same in the miniature for tests.
    """

    folder: str
    write: Callable[[Path, int, int], None]
    size: tuple[int, int]
    smoke_size: tuple[int, int] = (10, 5)


SAMPLES = {
    "PennAction": SampleSpec("PennAction", write_penn_action, (560, 80)),
    "LSP": SampleSpec("LSP", write_lsp, (1000, 100)),
    "MPII": SampleSpec("mpii", write_mpii, (800, 100)),
    "COCO": SampleSpec("coco", write_coco, (500, 80), smoke_size=(9, 5)),
}


def sample_root(smoke: bool | None = None) -> Path:
    """The data root of the generated sample, whether or not it has been made.

    Args:
        smoke: the miniature for tests; None means what POSEKIT_SMOKE says.
    """
    if smoke is None:
        smoke = os.environ.get("POSEKIT_SMOKE") == "1"
    return project_root() / "data" / f".sample-{VERSION}{'-smoke' if smoke else ''}"


def ensure_sample(dataset: str, root: Path | None = None, smoke: bool = False) -> Path:
    """Make the sample of a data set unless it is there.

    Another process may do the same at the same time: the first to finish wins, and an unfinished
    sample is never in place.

    Args:
        dataset: PennAction, LSP, MPII or COCO.
        root: the data root to fill; None means `sample_root(smoke)`.
        smoke: the miniature for tests.

    Returns:
        The data root.

    Raises:
        PosekitError: for another data set, or where the folder cannot be written.
    """
    if dataset not in SAMPLES:
        raise PosekitError(f"no sample of {dataset!r}: choose one of {', '.join(SAMPLES)}")
    spec = SAMPLES[dataset]
    root = sample_root(smoke) if root is None else Path(root)
    target = root / spec.folder
    if target.is_dir():
        return root
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{dataset}-", dir=root))
    except OSError as error:
        raise PosekitError(
            f"cannot write the sample to {root} ({error.strerror}): make the folder writable"
        ) from error
    try:
        spec.write(work, *(spec.smoke_size if smoke else spec.size))
        work.chmod(0o755)
        os.replace(work, target)
    except OSError as error:
        if not target.is_dir():  # not a race that another process won
            raise PosekitError(f"cannot write the sample to {target}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return root
