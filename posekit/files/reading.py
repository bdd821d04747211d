"""Files that others wrote: opened with care, refused with one clear sentence."""

import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import PosekitError

MAX_ELEMENTS = 2**24  # forty times the largest array of any data set read here
MAX_JSON = 2**32  # bytes; sixteen times the largest file of labels read here
_NUMBERS = {"double", "single", "logical"} | {
    f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)
}


def first_existing(folder: Path, *names: str) -> Path | None:
    """The first of several possible places."""
    return next((folder / name for name in names if (folder / name).exists()), None)


def load_mat(path: Path, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """Read numeric fields of a MATLAB file (version 4 to 7).

    Raises:
        PosekitError: the file is damaged, or a field is missing, not numeric, absurdly large or
            not finite.
    """
    from scipy.io import loadmat, whosmat

    path = Path(path)
    try:
        with path.open("rb") as file:
            # The headers first: what they promise is what loadmat would allocate.
            found = {name: (shape, kind) for name, shape, kind in whosmat(file)}
            for field in fields:
                _check_header(path, field, *found.get(field, (None, "")))
            _check_end(file)
            file.seek(0)
            columns = loadmat(file, variable_names=list(fields))
            columns = {field: columns[field] for field in fields}
    except PosekitError:
        raise
    except FileNotFoundError as error:
        raise PosekitError(f"{path} is missing: copy it there again") from error
    except Exception as error:  # scipy has no common exception for damaged files
        raise PosekitError(
            f"{path} is not a readable MATLAB file ({type(error).__name__}: {error}): copy it again"
        ) from error
    for field, value in columns.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            raise PosekitError(f"{path}: field {field} does not hold real numbers: copy it again")
        check_finite(value, path, f"field {field}")
    return columns


def _check_end(file: BinaryIO) -> None:
    """Refuse a version 5 file that ends inside one of its variables, read or not."""
    length = file.seek(0, os.SEEK_END)
    file.seek(126)
    order = {b"IM": "<", b"MI": ">"}.get(file.read(2))
    position = 128
    while order and position < length:
        file.seek(position)
        tag = file.read(8)
        position += 8 + (struct.unpack(order + "4xI", tag)[0] if len(tag) == 8 else 0)
        if position > length:
            raise EOFError("the file is cut off")


def _check_header(path: Path, field: str, shape: tuple[int, ...] | None, kind: str) -> None:
    if shape is None:
        raise PosekitError(f"{path}: field {field} is missing: is this the data set's own file?")
    if kind not in _NUMBERS:
        raise PosekitError(f"{path}: field {field} is a {kind}, not an array of numbers")
    if min(shape) < 0 or np.prod([float(n) for n in shape]) > MAX_ELEMENTS:
        raise PosekitError(f"{path}: field {field} claims the shape {shape}: copy the file again")


def load_json(path: Path) -> object:
    """Read a json file.

    Raises:
        PosekitError: the file is missing, damaged or absurdly large.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_JSON:
            raise PosekitError(f"{path} is too large for a file of labels: copy it again")
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise PosekitError(f"{path} is missing: copy it there again") from error
    except PosekitError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise PosekitError(f"{path} is not readable json ({error}): copy it again") from error


def load_records(path: Path) -> list[dict]:
    """Read a json file that holds a list of records.

    Raises:
        PosekitError: the file is missing, damaged or holds something else.
    """
    records = load_json(path)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise PosekitError(f"{path} does not hold a list of records: is this the right file?")
    return records


def column(
    path: Path, records: list[dict], field: str, shape: tuple[int, ...], kind: str = "record"
) -> np.ndarray:
    """One numeric field of all records, (N, *shape) float64; errors call a record its kind.

    Raises:
        PosekitError: naming the first record that lacks the field or holds something else.
    """
    if not records:
        return np.empty((0, *shape))
    try:
        values = np.array([record[field] for record in records], float)
        if values.shape != (len(records), *shape):
            raise ValueError
    except (KeyError, ValueError, TypeError, OverflowError):
        bad = next(i for i, r in enumerate(records) if not _fits(r.get(field), shape))
        raise PosekitError(
            f"{path}: {kind} {bad} has no field {field} of shape {shape or 'one number'}: "
            "repair the record or copy the file again"
        ) from None
    if not (finite := np.isfinite(values.reshape(len(records), -1)).all(1)).all():
        raise PosekitError(
            f"{path}: field {field} holds values that are not finite, in {kind} "
            f"{finite.argmin()}: repair the record or copy the file again"
        )
    return values


def id_column(path: Path, records: list[dict], field: str, kind: str = "record") -> np.ndarray:
    """One field of all records that holds ids, whole numbers from 0, (N,) int64.

    Raises:
        PosekitError: naming the first record that lacks the field or holds something else.
    """
    values = column(path, records, field, (), kind)
    good = (values == np.floor(values)) & (values >= 0) & (values < 1e12)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise PosekitError(
            f"{path}: {kind} {bad} has the field {field} {values[bad]:g}, not a whole number of "
            "at most 12 digits: copy the file again"
        )
    return values.astype(np.int64)


def _fits(value: object, shape: tuple[int, ...]) -> bool:
    try:
        return value is not None and np.array(value, float).shape == shape
    except (ValueError, TypeError, OverflowError):
        return False


def check_finite(values: np.ndarray, path: Path, what: str) -> None:
    """Refuse NaN and infinity."""
    if not np.isfinite(values).all():
        raise PosekitError(f"{path}: {what} holds values that are not finite: copy the file again")


def check_shape(values: np.ndarray, shape: tuple[int | None, ...], path: Path, what: str) -> None:
    """Refuse an array of another shape; None stands for any length of at least one."""
    fits = len(values.shape) == len(shape) and all(
        n == m if m is not None else n > 0 for n, m in zip(values.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("n" if m is None else str(m) for m in shape)
        raise PosekitError(
            f"{path}: {what} has the shape {values.shape} instead of ({wanted}): "
            "is this the data set's own file?"
        )
