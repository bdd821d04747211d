"""predictions.npz: what a network predicted, one row a person, readable without posekit."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..files.paths import regular_file
from ..files.words import few, short
from ..files.writing import write_bytes

# Column -> its axes (N people, K joints) and the kinds of numpy type it may have.
_COLUMNS: dict[str, tuple[tuple[str | int, ...], str]] = {
    "image_id": (("N",), "iuU"),
    "sequence": (("N",), "iuU"),
    "frame": (("N",), "iu"),
    "annotation_id": (("N",), "iuU"),
    "box": (("N", 4), "iuf"),
    "keypoints": (("N", "K", 2), "f"),
    "scores": (("N", "K"), "f"),
    "joints": (("K",), "U"),
}
_KINDS = {"i": "integers", "u": "integers", "f": "floats", "U": "text"}
_LARGEST = 2**31  # bytes of all columns; COCO's 104,125 detected boxes need 30 MB


def write_predictions(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write predictions as an .npz file, whole or not at all.

    Args:
        path: of the file.
        columns: `image_id`, `sequence`, `annotation_id` (N,) integers or text; `frame` (N,);
            `box` (N, 4) x1 y1 x2 y2 image pixels; `keypoints` (N, K, 2) image pixels; `scores`
            (N, K); `joints` (K,) names.

    Raises:
        PosekitError: a column is missing, unknown, or of another shape or type.
    """
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    _check(path, arrays)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_predictions` wrote; nothing in the file is executed.

    Returns:
        The columns by name.

    Raises:
        PosekitError: the file is missing or damaged, or a column is.
    """
    path = regular_file(path, "predictions file")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise ValueError(f"it unpacks to {size / 1e9:.1f} GB")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files if name in _COLUMNS}
    except Exception as error:  # a damaged archive or header makes errors of a dozen types
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _refused(path, short(reason)) from error
    _check(path, arrays)
    return arrays


def _check(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse columns that are missing, unknown, or of another shape or type."""
    if missing := _COLUMNS.keys() - arrays.keys():
        raise _refused(path, f"columns are missing: {', '.join(sorted(missing))}")
    if unknown := arrays.keys() - _COLUMNS.keys():
        raise _refused(path, f"unknown columns: {few(sorted(unknown))}")
    sizes = {"N": arrays["image_id"].size, "K": arrays["joints"].size}
    for name, (axes, kinds) in _COLUMNS.items():
        array, shape = arrays[name], tuple(sizes.get(axis, axis) for axis in axes)
        if array.shape != shape:
            raise _refused(path, f"{name} has the shape {array.shape}, not {shape}")
        if array.dtype.kind not in kinds:
            allowed = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
            raise _refused(path, f"{name} holds {array.dtype}, not {allowed}")


def _refused(path: Path, reason: str) -> PosekitError:
    return PosekitError(f"{path} holds no usable predictions: {reason}; score the run again")
