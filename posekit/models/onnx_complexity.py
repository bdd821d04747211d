"""How large a network stored as ONNX is and how much it computes."""

from math import nan, prod
from pathlib import Path
from typing import Any, NamedTuple

_CONVOLUTIONS = ("Conv", "ConvTranspose")


class OnnxCost(NamedTuple):
    """Size of a stored network and the work of its convolutions.

    Attributes:
        params: stored floating-point numbers.
        gmacs: multiply-adds of the convolutions, in units of 1e9; NaN where sizes are unknown.
        output: shape of the maps.
    """

    params: int
    gmacs: float
    output: tuple[int, ...]


def onnx_cost(path: Path, height: int, width: int) -> OnnxCost:
    """How large the network in a file is and what one image (height, width) costs."""
    import onnx

    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    for value, channels in zip(inputs, (3, 1), strict=False):  # the image, a centre map
        size = (1, channels, height, width)
        for dim, length in zip(value.type.tensor_type.shape.dim, size, strict=True):
            dim.dim_value = length
    graph = onnx.shape_inference.infer_shapes(model).graph
    sizes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
    floats = onnx.TensorProto.FLOAT
    params = sum(prod(t.dims) for t in stored.values() if t.data_type == floats)
    macs = sum(
        prod(stored[node.input[1]].dims) * _positions(node, sizes.get(node.output[0], ()))
        for node in graph.node
        if node.op_type in _CONVOLUTIONS and node.input[1] in stored
    )
    return OnnxCost(params, macs / 1e9, (1, *sizes[graph.output[0].name][1:]))


def _positions(node: Any, output: tuple[int, ...]) -> float:
    """Where a convolution multiplies its weights; NaN where the size of its output is unknown."""
    if not output or not all(output):
        return nan
    strides = next((prod(a.ints) for a in node.attribute if a.name == "strides"), 1)
    # A transposed convolution multiplies once for every cell of its input.
    return prod(output[2:]) / (strides if node.op_type == "ConvTranspose" else 1)
