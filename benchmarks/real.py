"""Where small real samples of the data sets lie."""

import os
from pathlib import Path

from posekit.files.paths import project_root


def real_data() -> Path | None:
    """POSEKIT_REAL_DATA, else shared/data beside the project; None where neither exists."""
    given = os.environ.get("POSEKIT_REAL_DATA") or project_root().parent / "shared" / "data"
    return Path(given) if Path(given).is_dir() else None
