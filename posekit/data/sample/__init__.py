"""The generated sample: small stand-ins for Penn Action, LSP, MPII and COCO in their file layouts.

Made on demand where no real data lie, read by the same readers as the real files, and the same
bytes for the same version. Coordinates in the files are 1-based, those of COCO 0-based, as in the
originals.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from ...errors import PosekitError
from ...files import paths
from ...files.progress import say
from ..registry import dataset as spec_of
from .writers import VERSION


def sample_root(smoke: bool | None = None) -> Path:
    """The data root of the generated sample, whether or not it has been made.

    Args:
        smoke: the miniature for tests; None means what POSEKIT_SMOKE says.
    """
    small = paths.smoke() if smoke is None else smoke
    return paths.project_root() / "data" / f".sample-{VERSION}{'-smoke' if small else ''}"


def ensure_sample(dataset: str, root: Path | None = None, smoke: bool = False) -> Path:
    """Make the sample of a data set unless it is there.

    Another process may do the same at the same time: the first to finish wins, and an unfinished
    sample is never in place.

    Args:
        dataset: name of the data set.
        root: the data root to fill; None means `sample_root(smoke)`.
        smoke: the miniature for tests.

    Returns:
        The data root.

    Raises:
        PosekitError: the data set has no sample, or the folder cannot be written.
    """
    spec = spec_of(dataset)
    if spec.sample is None:
        raise PosekitError(f"{spec.name} has no generated sample: {spec.remedy(spec.folder)}")
    root = sample_root(smoke) if root is None else Path(root)
    target = root / spec.folder
    if target.is_dir():
        return root
    size = spec.sample.smoke_size if smoke else spec.sample.size
    if not smoke:
        say(f"making the generated sample of {spec.name}, once; this takes about a minute")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{spec.name}-", dir=root) as folder:
            work = Path(folder, spec.folder)
            work.mkdir()
            spec.sample.write(work, *size)
            os.replace(work, target)
    except OSError as error:
        if not target.is_dir():  # not a race that another process won
            problem = f"cannot write the sample to {target} ({error})"
            raise PosekitError(f"{problem}: make room for it in a writable folder") from error
    return root
