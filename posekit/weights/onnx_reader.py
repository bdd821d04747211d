"""A heatmap network stored as ONNX by anybody, as a network like ours.

What it takes and returns is read from the metadata that `posekit.export_onnx` writes; a file
without them is taken for the commonest kind (RGB, ImageNet mean and deviation), unless the caller
knows better.
"""

import json
import os
from dataclasses import asdict
from importlib.util import find_spec
from math import nan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.paths import expanded, regular_file
from ..models import Description
from ..models.registry import IMAGENET_MEAN, IMAGENET_STD
from .metadata import checked_description

if TYPE_CHECKING:
    import onnxruntime

METADATA = "posekit"  # key of the metadata, a JSON object with the fields of a Description
SKELETON_BY_SIZE = {17: "coco", 16: "mpii"}  # what a number of maps usually means
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


class OnnxNetwork(nn.Module):
    """A network that onnxruntime computes on the CPU; it cannot be trained.

    Args:
        path: the file.
        known: fields of the description that the caller knows better than the file.

    Attributes:
        description: what it takes and returns.
        input_size: (h, w) that the file demands, None where it takes any.
        described: whether the file has a description.
    """

    def __init__(self, path: Path, known: dict[str, Any]) -> None:
        super().__init__()
        self.path = path
        self._session = open_session(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _check_interface(path, inputs, outputs)
        self._names = [value.name for value in inputs]
        self._batch, *_, h, w = inputs[0].shape
        self.input_size = (h, w) if isinstance(h, int) and isinstance(w, int) else None
        stored = _stored_fields(path, self._session.get_modelmeta().custom_metadata_map)
        self.described = bool(stored)
        maps = outputs[0].shape[-3]
        usual = _usual_description(path, maps if isinstance(maps, int) else 0)
        self.description = checked_description(usual | stored | known, path)
        if self.description.kind != "image":
            raise PosekitError(
                f"{path}: is one step of a video network; load its weights into lpm instead"
            )
        if len(inputs) != 1 + self.description.centre_map:
            wanted = "images and a centre map" if self.description.centre_map else "images alone"
            raise PosekitError(f"{path}: takes {', '.join(self._names)} instead of {wanted}.")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Heatmaps (B, K, H, W) of images (B, 3, h, w), in the units of the description.

        Raises:
            PosekitError: the images are not of the size that the file demands.
        """
        images = inputs[0]
        if self.input_size not in (None, tuple(images.shape[-2:])):
            h, w = self.input_size
            raise PosekitError(f"{self.path} takes images of {h} x {w} only: set image_size=[h, w]")
        arrays = [value.detach().cpu().float().numpy() for value in inputs]
        size = self._batch if isinstance(self._batch, int) else max(1, len(images))
        parts = [self._run([a[i : i + size] for a in arrays]) for i in range(0, len(images), size)]
        return torch.from_numpy(np.concatenate(parts)).to(images.device)

    def _run(self, arrays: list[np.ndarray]) -> np.ndarray:
        """One call; a short last batch of a file with a fixed one is filled up and cut again."""
        count = len(arrays[0])
        if isinstance(self._batch, int) and count < self._batch:
            arrays = [np.concatenate([a, a[:1].repeat(self._batch - count, 0)]) for a in arrays]
        try:
            maps = self._session.run(None, dict(zip(self._names, arrays, strict=True)))[0]
        except Exception as error:  # onnxruntime's own errors have no common class
            raise PosekitError(f"{self.path}: onnxruntime stopped: {_first_line(error)}") from error
        return maps[:count]

    def cost(self, height: int, width: int) -> OnnxCost:
        """How large the network is and what one image (h, w) costs."""
        import onnx

        model = onnx.load(self.path)
        sizes = (1, 3, height, width), (1, 1, height, width)
        fed = [value for value in model.graph.input if value.name in self._names]
        for value, size in zip(fed, sizes, strict=False):
            for dim, length in zip(value.type.tensor_type.shape.dim, size, strict=True):
                dim.dim_value = length
        graph = onnx.shape_inference.infer_shapes(model).graph
        sizes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.output)
        }
        stored = {t.name: t for t in graph.initializer}
        floats = onnx.TensorProto.FLOAT
        params = sum(prod(t.dims) for t in stored.values() if t.data_type == floats)
        macs = sum(
            prod(stored[node.input[1]].dims) * _positions(node, sizes.get(node.output[0], ()))
            for node in graph.node
            if node.op_type in _CONVOLUTIONS and node.input[1] in stored
        )
        return OnnxCost(params, macs / 1e9, (1, *sizes[graph.output[0].name][1:]))


def load_onnx(path: str | os.PathLike, **known: Any) -> OnnxNetwork:
    """Open a heatmap network stored as ONNX.

    Args:
        path: the .onnx file, with one input of images (B, 3, h, w) and heatmaps (B, K, H, W) as
            its first output.
        **known: fields of the `Description` that the caller knows better than the file; None
            leaves them to the file. The stride follows from the sizes of image and map.

    Raises:
        PosekitError: the file cannot be read, or is no heatmap network.
    """
    given = {name: value for name, value in known.items() if value is not None}
    return OnnxNetwork(expanded(path), given)


def open_session(path: Path) -> "onnxruntime.InferenceSession":
    """The file in onnxruntime, on as many threads as torch has.

    Raises:
        PosekitError: there is no such file, or onnxruntime cannot read it or is not installed.
    """
    check_packages(path)
    import onnxruntime

    path = regular_file(path, "ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait in a loop starve the loading processes on a small machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, no need to print them as well
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common class
        raise PosekitError(
            f"{path}: cannot be read as ONNX, it is incomplete or of another kind "
            f"({_first_line(error)})."
        ) from error


def check_packages(path: Path) -> None:
    """Refuse to work on an ONNX file without the packages for it.

    Raises:
        PosekitError: one is not installed.
    """
    if not all(map(find_spec, ("onnx", "onnxruntime"))):
        raise PosekitError(
            f"{path}: ONNX needs the packages onnx and onnxruntime: pip install 'posekit[onnx]'"
        )


def _positions(node: Any, output: tuple[int, ...]) -> float:
    """Where a convolution multiplies its weights; NaN where the size of its output is unknown."""
    if not output or not all(output):
        return nan
    strides = next((prod(a.ints) for a in node.attribute if a.name == "strides"), 1)
    # A transposed convolution multiplies once for every cell of its input.
    return prod(output[2:]) / (strides if node.op_type == "ConvTranspose" else 1)


def _check_interface(path: Path, inputs: list, outputs: list) -> None:
    """Refuse what takes no images or returns no maps."""
    if not inputs or not outputs:
        raise PosekitError(
            f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs; a heatmap network "
            "takes images (B, 3, h, w) and returns maps (B, K, H, W)."
        )
    shape, output = inputs[0].shape or (), outputs[0]
    if inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] != 3:
        raise PosekitError(
            f"{path}: its input {inputs[0].name} is {shape} of {inputs[0].type}; a heatmap "
            "network takes float images (B, 3, h, w)."
        )
    if len(output.shape or ()) not in (4, 5):
        raise PosekitError(
            f"{path}: its output {output.name} is {output.shape}; heatmaps are (B, K, H, W)."
        )


def _stored_fields(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The description in the metadata of a file, unchecked; nothing in files of other projects."""
    try:
        stored = json.loads(metadata.get(METADATA, "{}"))
    except (ValueError, RecursionError) as error:
        raise PosekitError(f"{path}: its metadata {METADATA!r} are damaged ({error}).") from error
    if not isinstance(stored, dict) or (stored and not {"mean", "std"} <= stored.keys()):
        raise PosekitError(f"{path}: its metadata {METADATA!r} are damaged: export it again.")
    return stored


def _usual_description(path: Path, maps: int) -> dict[str, Any]:
    usual = Description(
        name=path.name,
        paper=f"a network stored as ONNX, {path.name}",
        skeleton=SKELETON_BY_SIZE.get(maps),
        num_keypoints=maps,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    return asdict(usual)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:160] or type(error).__name__
