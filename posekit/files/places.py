"""Folders: the project, its reports, its data."""

import os
from pathlib import Path


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
