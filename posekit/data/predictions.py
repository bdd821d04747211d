"""Predicted keypoints, and the file that keeps those of a run, predictions.npz."""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..geometry.skeletons import SKELETONS, Skeleton
from .annotations import Annotations
from .scoring import save_arrays

FILE = "predictions.npz"  # in a run folder
_LARGEST = 2**32  # bytes of all columns; ten times those of COCO's 104,125 detected people


@dataclass(frozen=True)
class Predictions:
    """Keypoints of every row of a split, in the network's joints.

    Attributes:
        keypoints: (N, K, 2) image pixels.
        scores: (N, K) height of each peak.
    """

    keypoints: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class PredictionTable:
    """Predicted keypoints of N people and what they belong to.

    Attributes:
        image_id: (N,) int64, as in `Annotations`.
        sequence: (N,) int32.
        frame: (N,) int32.
        annotation_id: (N,) int64.
        box: (N, 4) float32 x1 y1 x2 y2, 0-based image pixels.
        keypoints: (N, K, 2) float64, 0-based image pixels.
        scores: (N, K) height of each peak.
        joints: (K,) str, the names of the network's joints.
        file_split: () str, train or test, as in `Annotations`.
    """

    image_id: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    annotation_id: np.ndarray
    box: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    joints: np.ndarray
    file_split: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton that has the joints.

        Raises:
            PosekitError: none of those that are known.
        """
        joints = tuple(self.joints.tolist())
        found = next((s for s in SKELETONS.values() if s.joints == joints), None)
        if found is None:
            raise PosekitError(f"no known skeleton has the {len(joints)} joints of {FILE}")
        return found


def prediction_table(
    people: Annotations, found: Predictions, skeleton: Skeleton
) -> PredictionTable:
    """Predictions of annotated rows, in the joints of a skeleton, with what they belong to."""
    shared = ("image_id", "sequence", "frame", "annotation_id")
    return PredictionTable(
        **{name: getattr(people, name) for name in shared},
        box=people.boxes,
        keypoints=found.keypoints,
        scores=found.scores,
        joints=np.array(skeleton.joints),
        file_split=np.array(people.file_split),
    )


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write predictions.npz whole or not at all."""
    save_arrays(path, {field.name: getattr(table, field.name) for field in fields(table)})


def read_predictions(path: Path) -> PredictionTable:
    """Read a predictions.npz that may come from anywhere.

    Raises:
        PosekitError: the file is missing, damaged, too large, or its columns do not fit together.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST:
            raise PosekitError(f"{path} unpacks to {size / 1e9:.1f} GB: no run writes so much")
        with np.load(path, allow_pickle=False) as file:
            table = PredictionTable(**{f.name: file[f.name] for f in fields(PredictionTable)})
    except FileNotFoundError as error:
        raise PosekitError(
            f"{path} is missing: is {path.parent} the folder of a run that was evaluated?"
        ) from error
    except PosekitError:
        raise
    except Exception as error:  # a damaged archive or header makes errors of a dozen types
        raise PosekitError(
            f"{path} is not a readable file of predictions ({type(error).__name__}: {error}): "
            "evaluate the run again"
        ) from error
    _check(path, table)
    return table


def _check(path: Path, table: PredictionTable) -> None:
    n, k = table.sequence.size, table.joints.size
    ids = dict.fromkeys(("image_id", "sequence", "frame", "annotation_id"), ((n,), "iu"))
    poses = {"box": ((n, 4), "f"), "keypoints": ((n, k, 2), "f"), "scores": ((n, k), "f")}
    expected = ids | poses | {"joints": ((k,), "U"), "file_split": ((), "U")}
    for name, (shape, kinds) in expected.items():
        column = getattr(table, name)
        if column.shape != shape or column.dtype.kind not in kinds:
            raise PosekitError(
                f"{path}: column {name} is {column.dtype} of shape {column.shape} instead of "
                f"{shape}: evaluate the run again"
            )
