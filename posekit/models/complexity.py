"""How large a network is and how much it computes: as a module, or stored as ONNX."""

import copy
import functools
import math
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_SMALL = 1e11  # numbers of the network times those of its inputs


@dataclass(frozen=True)
class Cost:
    """Size of a network and work of one evaluation.

    Attributes:
        params: number of trainable parameters.
        gmacs: multiply-adds of one forward pass, in units of 1e9.
        output: shape of what the network returns, empty if that is no tensor.
        legacy_gflops: what the SimpleBaseline and HRNet repositories print and their papers call
            FLOPs: weights times output cells of every convolution and linear layer, in units of
            2^30. It counts a transposed convolution of stride 2 four times over.
        activations: bytes of all tensors alive at the worst moment of the pass, inputs included,
            weights not.
    """

    params: int
    gmacs: float
    output: tuple[int, ...]
    legacy_gflops: float
    activations: int


def cost(model: nn.Module, *inputs: Tensor) -> Cost:
    """Count parameters and multiply-adds of convolutions and matrix products.

    The pass runs on shapes alone, so it is quick at any size; a small network is computed, as
    PyTorch loads its compiler for shapes alone, which takes seconds.

    Args:
        model: the network, left untouched.
        *inputs: its inputs; only their shapes matter (`torch.empty(..., device="meta")` will do).
    """
    tensors = [*model.parameters(), *model.buffers()]
    most = sum(tensor.numel() for tensor in tensors) * max(value.numel() for value in inputs)
    device = "cpu" if most < _SMALL else "meta"
    shapes = {id(tensor): _shape_of(tensor, device) for tensor in tensors}
    shaped = copy.deepcopy(model, shapes).eval()  # takes known ids from the table
    products = _count_legacy(shaped)
    given = [_shape_of(value, device) for value in inputs]
    with torch.no_grad(), _Work(shaped, given) as work:
        output = shaped(*given)
    params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    gmacs = work.flops / 2 / 1e9
    shape = tuple(getattr(output, "shape", ()))
    return Cost(params, gmacs, shape, sum(products) / 2**30, work.most)


def _count_legacy(model: nn.Module) -> list[int]:
    """A list that fills with weights times output cells as the model runs."""
    products: list[int] = []

    def note(layer: nn.Module, _: Any, output: Tensor) -> None:
        products.append(layer.weight.numel() * math.prod(output.shape[2:]))

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(note)
    return products


class _Work(TorchDispatchMode):
    """Counts `flops`, and the bytes of tensors alive at once, weights aside; `most` is the peak."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else every pass loads PyTorch's compiler, which takes seconds

    def __init__(self, model: nn.Module, inputs: list[Tensor]) -> None:
        super().__init__()
        self.now = self.most = self.flops = 0
        weights = [*model.parameters(), *model.buffers()]
        self.known = {tensor.untyped_storage()._cdata for tensor in weights}
        for tensor in inputs:
            self._born(tensor)

    def _born(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:  # else a view, or changed in place
            self.known.add(key)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._died, key, size)

    def _died(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if flops_of := flop_registry.get(func.overloadpacket):
            self.flops += flops_of(*args, **(kwargs or {}), out_val=out)
        for tensor in out if isinstance(out, list | tuple) else [out]:
            if isinstance(tensor, Tensor):
                self._born(tensor)
        return out


def _shape_of(tensor: Tensor, device: str) -> Tensor:
    shape = torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
    return nn.Parameter(shape, False) if isinstance(tensor, nn.Parameter) else shape


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
    params = sum(math.prod(t.dims) for t in stored.values() if t.data_type == floats)
    macs = sum(
        math.prod(stored[node.input[1]].dims) * _positions(node, sizes.get(node.output[0], ()))
        for node in graph.node
        if node.op_type in ("Conv", "ConvTranspose") and node.input[1] in stored
    )
    return OnnxCost(params, macs / 1e9, (1, *sizes[graph.output[0].name][1:]))


def refuse_loops(path: Path) -> None:
    """Refuse a stored network with loops, which may run for ever; heatmap networks have none.

    Raises:
        ValueError: it has one.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    graphs = [model.graph, *model.functions]
    while graphs:
        for node in graphs.pop().node:
            if node.op_type in ("Loop", "Scan"):
                raise ValueError(f"it has the loop {node.name or node.op_type}")
            for attribute in node.attribute:
                graphs += [*attribute.graphs, attribute.g]


@functools.cache
def limit_memory() -> None:
    """Let all stored networks that onnxruntime computes take three quarters of the memory at most.

    A small file may ask for any amount; sessions keep to this by session.use_env_allocators.
    """
    import onnxruntime

    if not hasattr(os, "sysconf"):  # Windows
        return
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    kinds = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    memory = onnxruntime.OrtMemoryInfo("Cpu", *kinds)
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({"max_mem": most}))


def _positions(node: Any, output: tuple[int, ...]) -> float:
    """Where a convolution multiplies its weights; NaN where the size of its output is unknown."""
    if not output or not all(output):
        return math.nan
    strides = next((math.prod(a.ints) for a in node.attribute if a.name == "strides"), 1)
    # A transposed convolution multiplies once for every cell of its input.
    return math.prod(output[2:]) / (strides if node.op_type == "ConvTranspose" else 1)
