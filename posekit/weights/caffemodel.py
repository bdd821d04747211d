"""Caffe's `.caffemodel` of CPM and LPM, read without Caffe and without protobuf.

The file is a protobuf message: layers with a name and blobs, blobs with a shape and numbers. The
reader below knows these fields alone, skips the others, and follows a length only inside the
message that holds it, so a damaged or hostile file ends in an error, never in a long wait or much
memory.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..files.paths import regular_file

# Field numbers of caffe.proto.
_LAYER, _LAYER_V1 = 100, 2  # in NetParameter
_NAME, _BLOBS = {_LAYER: 1, _LAYER_V1: 4}, {_LAYER: 7, _LAYER_V1: 6}
_LEGACY_DIMS, _DATA, _SHAPE, _DOUBLES = (1, 2, 3, 4), 5, 7, 8  # in BlobProto
_DIM = 1  # in BlobShape
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types; groups are never used
# The largest published file has 212 blobs in 106 layers of a few hundred.
_LARGEST = 2**30  # bytes, five times its size
_MOST_LAYERS, _MOST_BLOBS, _MOST_DIMS, _LONGEST_NAME = 4096, 16, 32, 256


def read_caffemodel(path: Path) -> dict[str, list[np.ndarray]]:
    """Layers of a file with their blobs, float32; layers without numbers have none.

    Raises:
        PosekitError: the file cannot be read, or is damaged or no caffemodel.
    """
    path = regular_file(path, largest=_LARGEST)
    try:
        layers = parse_caffemodel(memoryview(path.read_bytes()))
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it does not fit into memory"
        raise PosekitError(f"{path}: cannot be read: {reason}; get another copy.") from error
    except ValueError as error:
        raise PosekitError(
            f"{path}: is no whole caffemodel ({error}); the download may have been cut off."
        ) from error
    if not any(layers.values()):
        raise PosekitError(f"{path}: holds no layer with weights; it is no trained caffemodel.")
    return layers


def parse_caffemodel(content: memoryview) -> dict[str, list[np.ndarray]]:
    """Layers of a NetParameter message with their blobs.

    Raises:
        ValueError: what is wrong with the bytes.
    """
    layers: dict[str, list[np.ndarray]] = {}
    for number, value in _fields(content):
        if number not in (_LAYER, _LAYER_V1):
            continue
        name, blobs = _layer(_message(value), _NAME[number], _BLOBS[number])
        if name in layers:
            raise ValueError(f"two layers are called {name!r}")
        if len(layers) == _MOST_LAYERS:
            raise ValueError(f"more than {_MOST_LAYERS} layers")
        layers[name] = blobs
    return layers


def _layer(content: memoryview, name_field: int, blobs_field: int) -> tuple[str, list[np.ndarray]]:
    name, blobs = "", []
    for number, value in _fields(content):
        if number == name_field:
            text = bytes(_message(value)[: _LONGEST_NAME + 1])
            if len(text) > _LONGEST_NAME:
                raise ValueError("the name of a layer is too long")
            name = text.decode("utf-8", errors="replace")
        elif number == blobs_field:
            if len(blobs) == _MOST_BLOBS:
                raise ValueError(f"layer {name!r} has more than {_MOST_BLOBS} blobs")
            blobs.append(_blob(_message(value)))
    return name, blobs


def _blob(content: memoryview) -> np.ndarray:
    legacy, dims, shaped = dict.fromkeys(_LEGACY_DIMS, 0), [], False
    floats, doubles = _Numbers("f", _FOUR_BYTES), _Numbers("d", _EIGHT_BYTES)
    for number, value in _fields(content):
        if number == _SHAPE:
            shaped = True
            dims += _shape(_message(value), _MOST_DIMS - len(dims))
        elif number in legacy and isinstance(value, int):
            legacy[number] = value
        elif number == _DATA:
            floats.add(value)
        elif number == _DOUBLES:
            doubles.add(value)
    dims = dims if shaped else list(legacy.values())
    values = floats.values() if len(floats.content) else doubles.values()
    if any(dim >= 2**63 for dim in dims):
        raise ValueError("a blob has a negative size")
    if prod(dims) != len(values):
        raise ValueError(f"a blob of shape {dims} holds {len(values)} numbers")
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite
        return values.astype(np.float32, copy=False).reshape(dims)


def _shape(content: memoryview, room: int) -> list[int]:
    dims = []
    for number, value in _fields(content):
        if number == _DIM:
            dims += [value] if isinstance(value, int) else _varints(_message(value), room + 1)
        if len(dims) > room:
            raise ValueError(f"a blob has more than {_MOST_DIMS} sizes")
    return dims


_Value = int | memoryview | tuple[int, memoryview]


class _Numbers:
    """A repeated number, stored many at a time (packed) or one by one.

    Args:
        code: "f" or "d".
        wire: wire type of a single one.
    """

    def __init__(self, code: str, wire: int) -> None:
        self.kind, self.wire = np.dtype(f"<{code}"), wire
        self.content: memoryview | bytearray = memoryview(b"")

    def add(self, value: _Value) -> None:
        single = isinstance(value, tuple) and value[0] == self.wire
        piece = value[1] if single else _message(value)
        if len(piece) % self.kind.itemsize:
            raise ValueError(f"{len(piece)} bytes are no numbers of {self.kind.itemsize} bytes")
        if not len(self.content):
            self.content = piece  # not copied: nearly always the only one
            return
        if not isinstance(self.content, bytearray):
            self.content = bytearray(self.content)
        self.content += piece

    def values(self) -> np.ndarray:
        return np.frombuffer(self.content, self.kind)


def _fields(content: memoryview) -> Iterator[tuple[int, _Value]]:
    """Field numbers of a message with their values; a fixed-size value carries its wire type."""
    at, end = 0, len(content)
    while at < end:
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise ValueError("a field has the number 0")
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == _LENGTH:
            length, at = _varint(content, at)
        elif wire in (_FOUR_BYTES, _EIGHT_BYTES):
            length = 4 if wire == _FOUR_BYTES else 8
        else:
            raise ValueError(f"a field is of the unknown kind {wire}")
        if length > end - at:
            raise ValueError(f"{length} bytes are announced where {end - at} are left")
        piece = content[at : at + length]
        at += length
        yield number, piece if wire == _LENGTH else (wire, piece)


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise ValueError("it ends in the middle of a number")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise ValueError("a number does not end")


def _varints(content: memoryview, most: int) -> list[int]:
    values, at = [], 0
    while at < len(content) and len(values) < most:
        value, at = _varint(content, at)
        values.append(value)
    return values


def _message(value: _Value) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a field that should hold bytes holds a number")
    return value
