"""Where things lie: the project, its reports, the data sets."""

import os
import re
from pathlib import Path

from ..errors import PosekitError
from .words import near

# Canonical name -> folder below the data root, project page, what to get there.
DATASETS = {
    "LSP": (
        "LSP",
        "https://sam.johnson.io/research/lsp.html",
        "joints_2000.mat and images_2000/ (and, for training, joints_10000.mat and images_10000/ "
        "of https://sam.johnson.io/research/lspet.html)",
    ),
    "MPII": (
        "mpii",
        "http://human-pose.mpi-inf.mpg.de",
        "images/, annot/{train,valid}.json and annot/gt_valid.mat",
    ),
    "PennAction": ("PennAction", "http://dreamdragon.github.io/PennAction/", "frames/ and labels/"),
    "COCO": ("coco", "https://cocodataset.org", "images/{train,val}2017/ and annotations/"),
}


def project_root() -> Path:
    """The folder that holds posekit/, params/, notebooks/ and data/."""
    return Path(__file__).resolve().parents[2]


def reports_root() -> Path:
    """Where run folders are written: POSEKIT_REPORTS, else reports/ of the project."""
    given = os.environ.get("POSEKIT_REPORTS")
    return Path(os.path.expanduser(given)).absolute() if given else project_root() / "reports"


def data_root(given: str | None = None) -> Path:
    """The folder that holds coco/, LSP/, ...: what is given, else POSEKIT_DATA, else data/.

    A relative path is looked for below the current folder, then below the project.
    """
    given = given or os.environ.get("POSEKIT_DATA")
    if not given:
        return project_root() / "data"
    path = os.path.expanduser(given)
    # os.path and not Path, which raises for a text that cannot be a path.
    return Path(path).absolute() if os.path.exists(path) else project_root() / path


def smoke() -> bool:
    """Whether the test-suite runs this notebook and wants it done in seconds."""
    return os.environ.get("POSEKIT_SMOKE") == "1"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def dataset_name(name: str) -> str:
    """The canonical name of a data set, whatever the case and punctuation it is written in."""
    known = {_plain(dataset): dataset for dataset in DATASETS}
    name = str(name)
    if _plain(name) not in known:
        hint = near(name, DATASETS) or f": choose one of {', '.join(DATASETS)}"
        raise PosekitError(f"unknown dataset {name!r}{hint}")
    return known[_plain(name)]


def find_data(dataset: str, root: Path) -> Path | None:
    """The folder of a data set below a data root, letter case and punctuation forgiven."""
    wanted = _plain(DATASETS[dataset_name(dataset)][0])
    folders = sorted(root.iterdir()) if os.path.isdir(root) else []
    return next((f for f in folders if _plain(f.name) == wanted and f.is_dir()), None)
