"""Where a data set lies, and what to do when it does not."""

from pathlib import Path

from ..errors import PosekitError
from ..files.places import DATASETS, find_data


class EmptySplit(PosekitError):
    """The data set is there, but nothing of one split: no labels, or no labelled picture."""


def need_folder(root: Path, dataset: str) -> Path:
    """The folder of a data set below the data root; its absence is an error."""
    folder = find_data(dataset, Path(root))
    if folder is None:
        raise PosekitError(
            f"{dataset} is not below {root}. {remedy(dataset, Path(root) / DATASETS[dataset][0])}"
        )
    return folder


def remedy(dataset: str, folder: Path) -> str:
    """What to download, from where, and where to put it."""
    _, page, files = DATASETS[dataset]
    return f"Download {files} from {page} and put it into {folder}."
