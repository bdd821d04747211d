"""Caffe's `.caffemodel` of CPM and LPM, read without Caffe.

The file is a protobuf message: layers with a name and blobs, blobs with a shape and numbers. Only
these fields of caffe.proto are described below; protobuf skips the others.
"""

from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from torch import Tensor

from ..errors import PosekitError
from ..files.isolated import read_isolated
from ..files.paths import regular_file

# Fields of a message: name, number and type in caffe.proto, * for repeated ones. Names are bytes
# here, as those of damaged files are no text.
_MESSAGES = {
    "BlobShape": "dim 1 INT64*",
    "BlobProto": "num 1 INT32, channels 2 INT32, height 3 INT32, width 4 INT32, data 5 FLOAT*, "
    "shape 7 BlobShape, double_data 8 DOUBLE*",
    "LayerParameter": "name 1 BYTES, blobs 7 BlobProto*",
    "V1LayerParameter": "name 4 BYTES, blobs 6 BlobProto*",
    "NetParameter": "layers 2 V1LayerParameter*, layer 100 LayerParameter*",
}
# The largest published file has 212 blobs in 106 layers of a few hundred.
_LARGEST = 2**30  # bytes, five times its size
_MOST_LAYERS, _MOST_DIMS, _LONGEST_NAME = 4096, 32, 256


def read_caffemodel(path: Path) -> dict[str, list[np.ndarray]]:
    """Layers of a file with their blobs, float32; layers without numbers have none.

    Raises:
        PosekitError: the file cannot be read, or is damaged or no caffemodel.
    """
    path = regular_file(path, largest=_LARGEST)
    tensors, counts = read_isolated(_read_layers, path, "a caffemodel")
    blobs = iter(tensors)
    layers = {name: [next(blobs).numpy() for _ in range(n)] for name, n in counts.items()}
    if not any(layers.values()):
        raise PosekitError(f"{path}: holds no layer with weights; it is no trained caffemodel.")
    return layers


def _read_layers(path: Path) -> tuple[list[Tensor], dict[str, int]]:
    """Blobs of all layers; how many each layer has."""
    try:
        layers = parse_caffemodel(path.read_bytes())
    except ValueError as error:
        raise PosekitError(
            f"{path}: is no whole caffemodel ({error}); the download may have been cut off."
        ) from error
    tensors = [torch.from_numpy(blob) for blobs in layers.values() for blob in blobs]
    return tensors, {name: len(blobs) for name, blobs in layers.items()}


def parse_caffemodel(content: bytes) -> dict[str, list[np.ndarray]]:
    """Layers of a NetParameter message with their blobs.

    Raises:
        ValueError: what is wrong with the bytes.
    """
    try:
        network = _net_parameter().FromString(content)
    except DecodeError as error:
        raise ValueError(f"it is damaged or cut off: {error}") from error
    if len(network.layers) + len(network.layer) > _MOST_LAYERS:
        raise ValueError(f"more than {_MOST_LAYERS} layers")
    layers: dict[str, list[np.ndarray]] = {}
    for layer in (*network.layers, *network.layer):
        name = layer.name.decode("utf-8", errors="replace")
        if len(name) > _LONGEST_NAME:
            raise ValueError("the name of a layer is too long")
        if name in layers:
            raise ValueError(f"two layers are called {name!r}")
        layers[name] = [_array(blob) for blob in layer.blobs]
    return layers


@cache
def _net_parameter() -> Any:
    """The class of the message that a file is."""
    file = descriptor_pb2.FileDescriptorProto(name="posekit_caffe.proto", package="posekit")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in map(str.split, fields.split(", ")):
            label = "LABEL_REPEATED" if kind.endswith("*") else "LABEL_OPTIONAL"
            field = described.field.add(name=name, number=int(number), label=label)
            if (kind := kind.rstrip("*")) in _MESSAGES:
                field.type_name = f".posekit.{kind}"
            else:
                field.type = field.Type.Value(f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("posekit.NetParameter"))


def _array(blob: Message) -> np.ndarray:
    """The numbers of a blob, float32, in its shape."""
    legacy = [blob.num, blob.channels, blob.height, blob.width]  # of the first Caffe
    dims = [*blob.shape.dim] if blob.HasField("shape") else legacy
    values = blob.data or blob.double_data
    if len(dims) > _MOST_DIMS or any(dim < 0 for dim in dims):
        raise ValueError(f"a blob has a negative size or more than {_MOST_DIMS}")
    if prod(dims) != len(values):
        raise ValueError(f"a blob of shape {dims} holds {len(values)} numbers")
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite
        return np.array(values, np.float32).reshape(dims)
