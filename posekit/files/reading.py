"""Files that others wrote: opened with care, refused with one clear sentence."""

import contextlib
import io
import json
import os
import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import simplejpeg
from pydantic_core import from_json

from ..errors import PosekitError

MAX_ELEMENTS = 2**24  # forty times the largest array of any data set read here
MAX_JSON = 2**32  # bytes; sixteen times the largest file of labels read here
MAX_MAT = 2**30  # bytes
MAX_IMAGE = 2**28  # bytes; a hundred times the largest image file of any data set
MAX_PIXELS = 1e6  # of a coordinate; no image of any data set is a tenth as large
_NUMBERS = "double single logical int8 uint8 int16 uint16 int32 uint32 int64 uint64".split()


def first_existing(folder: Path, *names: str) -> Path | None:
    """The first of several possible places."""
    return next((folder / name for name in names if (folder / name).exists()), None)


def check_archive(path: Path) -> None:
    """Refuse a zip archive that holds more than its size; other files pass.

    Raises:
        ValueError: it is compressed, or its table is damaged (`zipfile.BadZipFile`).
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\3\4":
            return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if compressed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError("it is a compressed archive, larger than its file")


@contextlib.contextmanager
def reading(path: Path, kind: str, remedy: str = "copy it again") -> Iterator[None]:
    """Turn whatever goes wrong while a file of others is read into one clear error.

    Args:
        path: of the file.
        kind: what it is not when it is damaged, such as "a readable MATLAB file".
        remedy: what to do when it is damaged.

    Raises:
        PosekitError: the file is missing or damaged.
    """
    try:
        yield
    except PosekitError:
        raise
    except FileNotFoundError as error:
        raise PosekitError(f"{path} is missing: copy it there again") from error
    except Exception as error:  # libraries have no common exception for damaged files
        name = type(error).__name__
        raise PosekitError(f"{path} is not {kind} ({name}: {error}): {remedy}") from error


def load_mat(path: Path, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """Read numeric fields of a MATLAB file (version 4 to 7).

    Raises:
        PosekitError: the file is damaged, or a field is missing, not numeric, far too large, or
            has values that are not finite or beyond 1e6.
    """
    from scipy.io import loadmat, whosmat

    content = read_file(path, "MATLAB file", MAX_MAT)
    with reading(path, "a readable MATLAB file"), io.BytesIO(content) as file:
        # The headers first: what they promise is what loadmat would allocate.
        found = {name: (shape, kind) for name, shape, kind in whosmat(file)}
        for field in fields:
            _check_header(path, field, *found.get(field, (None, "")))
        _check_end(file)
        file.seek(0)
        columns = loadmat(file, variable_names=list(fields))
        columns = {field: columns[field] for field in fields}
    for field, value in columns.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            raise PosekitError(f"{path}: field {field} does not hold real numbers: copy it again")
        if bad := _bad_values(value.reshape(1, -1)):
            raise PosekitError(f"{path}: field {field} holds values {bad[1]}: copy the file again")
    return columns


def _bad_values(rows: np.ndarray, limit: float = MAX_PIXELS) -> tuple[int, str] | None:
    """The first row (N, ...) with values that nothing measured can have, and what they are."""
    rows = np.asarray(rows, float)
    checks = {"that are not finite": np.isfinite(rows), f"beyond {limit:g}": abs(rows) <= limit}
    for problem, good in checks.items():
        if not good.all():
            return int(good.all(1).argmin()), problem
    return None


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


def read_file(path: Path, kind: str, largest: int) -> bytes:
    """The bytes of a file of others, which is no pipe or device, and not too large.

    Raises:
        PosekitError: it is, or cannot be read.
    """
    with reading(path, f"a readable {kind}"), open(path, "rb", opener=without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is a pipe or a device")
        if status.st_size > largest:
            raise ValueError(f"it has {status.st_size / 1e9:.1f} GB")
        return file.read()


def without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to as well, where that is possible."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def load_json(path: Path) -> object:
    """Read a json file.

    Raises:
        PosekitError: the file is missing, damaged or too large.
    """
    with reading(path, "readable json"):
        content = read_file(path, "file of labels", MAX_JSON)
        try:
            return from_json(content)
        except ValueError:  # json is slower, knows more encodings, and says where it is wrong
            return json.loads(content)


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
    path: Path,
    records: list[dict],
    field: str,
    shape: tuple[int, ...],
    kind: str = "record",
    limit: float = MAX_PIXELS,
) -> np.ndarray:
    """One numeric field of all records, (N, *shape) float64.

    Args:
        path: of the file, for messages.
        records: of the file.
        field: name of the field.
        shape: of the field in one record; () for one number.
        kind: what a record is called in messages.
        limit: the largest magnitude that is accepted; a coordinate's unless given.

    Raises:
        PosekitError: naming the first record that lacks the field or holds something else.
    """
    if not records:
        return np.empty((0, *shape))
    try:
        values = _numbers([record[field] for record in records])
        if values.shape != (len(records), *shape):
            raise ValueError
    except (KeyError, ValueError, TypeError, OverflowError):
        bad = next(i for i, r in enumerate(records) if not _fits(r.get(field), shape))
        problem = f"{bad} has no field {field} of shape {shape or 'one number'}"
    else:
        bad = _bad_values(values.reshape(len(records), -1), limit)
        if not bad:
            return values
        problem = f"{bad[0]}: field {field} holds values {bad[1]}"
    raise PosekitError(f"{path}: {kind} {problem}: repair the record or copy the file again")


def id_column(path: Path, records: list[dict], field: str, kind: str = "record") -> np.ndarray:
    """One field of all records that holds ids, whole numbers from 0, (N,) int64.

    Raises:
        PosekitError: naming the first record that lacks the field or holds something else.
    """
    values = column(path, records, field, (), kind, limit=np.inf)
    good = (values == np.floor(values)) & (values >= 0) & (values < 1e12)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise PosekitError(
            f"{path}: {kind} {bad} has the field {field} {values[bad]:g}, not a whole number of "
            "at most 12 digits: copy the file again"
        )
    return values.astype(np.int64)


def _numbers(values: object) -> np.ndarray:
    """Nested lists as float64; a text is no number, even if it looks like one."""
    found = np.array(values)
    # Objects are None, or integers of more than 64 bits; a text may be beside them.
    objects = found.flat if found.dtype == object else ()
    if found.dtype.kind not in "biufO" or any(isinstance(value, str) for value in objects):
        raise ValueError
    return found.astype(float)


def _fits(value: object, shape: tuple[int, ...]) -> bool:
    try:
        return value is not None and _numbers(value).shape == shape
    except (ValueError, TypeError, OverflowError):
        return False


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


def decode(data: bytes | np.ndarray, where: str, upright: bool = False) -> np.ndarray:
    """Decode an encoded image to (h, w, 3) uint8 RGB, or name what is broken.

    Args:
        data: the bytes of the file.
        where: its name in the error.
        upright: turn it as the camera says; annotations are of the pixels as they are stored.

    Raises:
        PosekitError: it is no image, or not a whole one.
    """
    image = _pixels(data, upright) if is_whole(bytes(data)) else None
    if image is None:
        raise PosekitError(
            f"{where} is not a readable image: replace the file or remove its record"
        )
    return image


def _pixels(data: bytes | np.ndarray, upright: bool) -> np.ndarray | None:
    """What OpenCV finds, of most JPEG files in a sixth less time; None for what it refuses."""
    with contextlib.suppress(ValueError):  # no JPEG, damaged or unusual: OpenCV judges
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        if not upright and height * width <= int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]):
            return simplejpeg.decode_jpeg(data)
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    with contextlib.suppress(cv2.error):  # more pixels than its limit
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None


def is_whole(data: bytes) -> bool:
    """Whether an encoded image has its end: OpenCV fills what a JPEG lacks with grey, silently."""
    if not data.startswith(b"\xff\xd8"):
        return len(data) > 0
    # Inside the compressed scan no end marker can occur, so it has to come after the last scan.
    return data.endswith(b"\xff\xd9") or data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
