import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from posekit.files import writing as _writing


@pytest.fixture
def real() -> Path:
    root = os.environ.get("POSEKIT_REAL_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("POSEKIT_REAL_DATA names no folder of real samples")
    return Path(root)


@pytest.fixture
def picture():
    """Writes a small JPEG: picture(path, (h, w))."""

    def write(path: Path, size: tuple[int, int] = (24, 32)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)
        cv2.imwrite(str(path), ramp)

    return write


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Label caches of the tests do not land in the project."""
    root = tmp_path_factory.mktemp("project")
    (root / "data").mkdir()
    monkeypatch.setattr(_writing, "project_root", lambda: root)
    return root / "data" / ".cache"
