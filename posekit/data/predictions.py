"""Predicted keypoints, and the file that keeps those of a run, predictions.npz."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import PosekitError
from ..files.reading import reading
from ..files.writing import replacing
from ..geometry.skeletons import SKELETONS, Skeleton
from .annotations import Annotations

FILE = "predictions.npz"  # in a run folder
KEYS = ("image_id", "sequence", "frame", "annotation_id")  # columns that identify a row
# Columns of the file, of N rows and K joints: shape, and kinds of numpy's types.
_COLUMNS = dict.fromkeys(KEYS, (("N",), "iu")) | {
    "box": (("N", 4), "f"),
    "keypoints": (("N", "K", 2), "f"),
    "scores": (("N", "K"), "f"),
    "joints": (("K",), "U"),
    "file_split": ((), "U"),
}
_LARGEST = 2**32  # bytes of all columns; ten times those of COCO's 104,125 detected people


class Ranking(NamedTuple):
    """How the people found in an image are ranked and told from duplicates, on COCO.

    Attributes:
        oks_thre: the worse of two people whose OKS is above it is a duplicate.
        in_vis_thre: joints with scores up to it do not count in the score of a person.
        image_thre: people in boxes of lower scores are left out.
        soft_nms: order duplicates by lowered scores instead of dropping them.
    """

    oks_thre: float = 0.9
    in_vis_thre: float = 0.2
    image_thre: float = 0.0
    soft_nms: bool = False


@dataclass(frozen=True)
class Predictions:
    """Keypoints of every row of a split.

    Attributes:
        keypoints: (N, K, 2) 0-based image pixels, in the network's joints; a scorer gets them in
            those of the data set, NaN where the network does not know a joint.
        scores: (N, K') height of each peak, in the network's joints.
        areas: (N,) square image pixels of the crops; None where they are not known.
        ranking: of several people in an image, where the protocol ranks them.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    areas: np.ndarray | None = None
    ranking: Ranking = Ranking()


def write_predictions(
    path: Path, people: Annotations, found: Predictions, skeleton: Skeleton
) -> None:
    """Write predictions of annotated rows, in the joints of a skeleton, as predictions.npz."""
    columns = {
        "box": people.boxes,
        "keypoints": found.keypoints,
        "scores": found.scores,
        "joints": np.array(skeleton.joints),
        "file_split": np.array(people.file_split),
    }
    save_arrays(path, {name: getattr(people, name) for name in KEYS} | columns)


def numbers(what: str, values: Any) -> np.ndarray:
    """Predictions as an array of real numbers.

    Raises:
        PosekitError: they are something else.
    """
    try:
        found = np.asarray(values)
    except (TypeError, ValueError):  # lists of several lengths
        found = np.empty(0, object)
    if found.dtype.kind not in "iuf":
        raise PosekitError(f"{what}: not an array of numbers, x and y in pixels of every joint")
    return found.astype(float)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as .npz, whole or not at all."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Read a predictions.npz that may come from anywhere.

    Returns:
        Columns: `KEYS` and file_split () as in `Annotations`, box (N, 4) x1 y1 x2 y2 and keypoints
        (N, K, 2) in 0-based image pixels, scores (N, K), and joints (K,), their names.

    Raises:
        PosekitError: the file is missing, damaged, too large, or its columns do not fit together.
    """
    if not path.is_file():
        raise PosekitError(f"{path} is missing: name the folder of a run that was evaluated")
    with reading(path, "a readable file of predictions", "evaluate the run again"):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST:
            raise ValueError(f"it unpacks to {size / 1e9:.1f} GB, more than any run writes")
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in _COLUMNS}
        lengths = {"N": columns["sequence"].size, "K": columns["joints"].size}
        for name, (axes, kinds) in _COLUMNS.items():
            column, shape = columns[name], tuple(lengths.get(axis, axis) for axis in axes)
            if column.shape != shape or column.dtype.kind not in kinds:
                raise ValueError(f"{name} is {column.dtype} of shape {column.shape}, not {shape}")
    return columns


def skeleton_of(columns: Mapping[str, np.ndarray]) -> Skeleton:
    """The skeleton that has the joints of predictions.

    Raises:
        PosekitError: none of those that are known.
    """
    joints = tuple(columns["joints"].tolist())
    found = next((s for s in SKELETONS.values() if s.joints == joints), None)
    if found is None:
        raise PosekitError(f"no known skeleton has the {len(joints)} joints of {FILE}")
    return found
