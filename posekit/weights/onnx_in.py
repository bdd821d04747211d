"""A heat-map network stored as ONNX, of anybody's, as a network like ours.

What it eats is read from the metadata that `posekit.export_onnx` writes; a file without them is
taken for the commonest kind (RGB, ImageNet mean and deviation), unless the caller knows better.
"""

import json
import os
import reprlib
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.paths import expanded, regular_file
from ..geometry.skeletons import SKELETONS
from ..models import Description

if TYPE_CHECKING:
    import onnxruntime

METADATA = "posekit"  # key of the metadata, a JSON object with the fields of a Description
IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, of pixel values 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)
_BY_JOINTS = {17: "coco", 16: "mpii"}  # what a number of maps usually means
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_INFINITE = 1e30  # float32 ends near here; no mean does, and NaN is not below it
_NEEDS = "needs the packages onnx and onnxruntime: pip install 'posekit[onnx]'"


class Size(NamedTuple):
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

    Attributes:
        description: what it eats and returns.
        input_size: (h, w) that the file demands, None where it takes any.
        told: whether the file says itself what it eats.
    """

    def __init__(self, path: Path, description: Description | None = None) -> None:
        super().__init__()
        self.path = path
        self._session = open_session(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _check_interface(path, inputs, outputs)
        output = outputs[0]
        self._names = [value.name for value in inputs]
        self._batch, *_, h, w = inputs[0].shape
        self.input_size = (h, w) if isinstance(h, int) and isinstance(w, int) else None
        stored = _stored(path, self._session.get_modelmeta().custom_metadata_map)
        self.told = bool(stored)
        joints = output.shape[-3] if isinstance(output.shape[-3], int) else None
        self.description = description or _describe(path, stored, joints)
        if len(inputs) != 1 + self.description.centre_map:
            wanted = "images and a centre map" if self.description.centre_map else "images alone"
            raise PosekitError(f"{path}: takes {', '.join(self._names)} instead of {wanted}.")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Heat maps (B, K, H, W) of images (B, 3, h, w), in the units of the description.

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

    def size(self, height: int, width: int) -> Size:
        """How large the network is and what one image (h, w) costs."""
        import onnx

        model = onnx.load(self.path)
        sizes = (1, 3, height, width), (1, 1, height, width)
        fed = [value for value in model.graph.input if value.name in self._names]
        for value, size in zip(fed, sizes, strict=False):
            for dim, length in zip(value.type.tensor_type.shape.dim, size, strict=True):
                dim.dim_value = length
        graph = onnx.shape_inference.infer_shapes(model).graph
        sizes = {value.name: _sizes(value) for value in (*graph.value_info, *graph.output)}
        stored = {t.name: t for t in graph.initializer}
        floats = onnx.TensorProto.FLOAT
        params = sum(prod(t.dims) for t in stored.values() if t.data_type == floats)
        macs = sum(
            prod(stored[node.input[1]].dims) * _cells(sizes.get(node.output[0])) / _upsampling(node)
            for node in graph.node
            if node.op_type in _CONVOLUTIONS and node.input[1] in stored
        )
        return Size(params, macs / 1e9, (1, *sizes[graph.output[0].name][1:]))


def load_onnx(path: str | os.PathLike, **known: Any) -> OnnxNetwork:
    """Open a heat-map network stored as ONNX.

    Args:
        path: the .onnx file, with one input of images (B, 3, h, w) and heat maps (B, K, H, W) as
            its first output.
        **known: fields of the `Description` that the caller knows better than the file; None
            leaves them to the file. The stride follows from the sizes of image and map.

    Raises:
        PosekitError: the file cannot be read, or is no heat-map network.
    """
    network = OnnxNetwork(expanded(path))
    given = {name: value for name, value in known.items() if value is not None}
    about = replace(network.description, **given)
    _check_description(network.path, about)
    network.description = about
    return network


def open_session(path: Path) -> "onnxruntime.InferenceSession":
    """The file in onnxruntime, on as many threads as torch has.

    Raises:
        PosekitError: there is no such file, or onnxruntime cannot read it or is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise PosekitError(f"{path}: an ONNX file {_NEEDS}") from error
    path = regular_file(path, "ONNX file")
    try:
        return onnxruntime.InferenceSession(
            str(path), _options(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own errors have no common class
        raise PosekitError(
            f"{path}: cannot be read as ONNX, it is incomplete or of another kind "
            f"({_first_line(error)})."
        ) from error


def _options() -> "onnxruntime.SessionOptions":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait in a loop starve the loading processes on a small machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, no need to print them as well
    return options


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _cells(sizes: tuple[int, ...] | None) -> float:
    """Cells of a map (1, C, H, W); not a number where its size is not known."""
    return prod(sizes[2:]) if sizes and all(sizes) else float("nan")


def _upsampling(node: Any) -> int:
    """Cells that a transposed convolution makes of one; its multiply-adds are per input cell."""
    strides = next((prod(a.ints) for a in node.attribute if a.name == "strides"), 1)
    return strides if node.op_type == "ConvTranspose" else 1


def _check_interface(path: Path, inputs: list, outputs: list) -> None:
    """Refuse what eats no pictures or returns no maps."""
    if not inputs or not outputs:
        raise PosekitError(
            f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs; a heat-map network "
            "takes images (B, 3, h, w) and returns maps (B, K, H, W)."
        )
    shape, output = inputs[0].shape or (), outputs[0]
    if inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] != 3:
        raise PosekitError(
            f"{path}: its input {inputs[0].name} is {shape} of {inputs[0].type}; a heat-map "
            "network takes float images (B, 3, h, w)."
        )
    if len(output.shape or ()) not in (4, 5):
        raise PosekitError(
            f"{path}: its output {output.name} is {output.shape}; heat maps are (B, K, H, W)."
        )


def _stored(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The fields of a Description in the metadata of a file; nothing in those of strangers."""
    if METADATA not in metadata:
        return {}
    try:
        stored = json.loads(metadata[METADATA])
        stored["mean"], stored["std"] = tuple(stored["mean"]), tuple(stored["std"])
        names = Description.__dataclass_fields__
        return {name: value for name, value in stored.items() if name in names}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PosekitError(f"{path}: its metadata {METADATA!r} are damaged ({error}).") from error


def _describe(path: Path, stored: dict[str, Any], joints: int | None) -> Description:
    usual = {
        "name": path.name,
        "paper": f"a network stored as ONNX, {path.name}",
        "skeleton": _BY_JOINTS.get(joints),
        "num_keypoints": joints or 0,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    }
    about = Description(**(usual | stored))
    _check_description(path, about)
    return about


def _check_description(path: Path, about: Description) -> None:
    wrong = _mistyped(about)
    if wrong:
        raise PosekitError(f"{path}: {'; '.join(wrong)}.")
    if about.colour not in ("RGB", "BGR"):
        wrong.append(f"colour is {about.colour!r}, not RGB or BGR")
    if about.skeleton is not None and about.skeleton not in SKELETONS:
        wrong.append(f"skeleton is {about.skeleton!r}, not one of {', '.join(SKELETONS)}")
    elif about.skeleton and about.num_keypoints not in (0, len(SKELETONS[about.skeleton])):
        wrong.append(
            f"the skeleton {about.skeleton} has {len(SKELETONS[about.skeleton])} joints, the "
            f"network {about.num_keypoints}"
        )
    if min(about.std) <= 0:
        wrong.append(f"std is {about.std}, but numbers divide by it: write std above 0")
    if about.kind != "image":
        wrong.append("it is one step of a video network; load its weights into lpm instead")
    if wrong:
        raise PosekitError(f"{path}: {'; '.join(wrong)}.")


def _mistyped(about: Description) -> list[str]:
    """What is not of its field's type in a description, in words."""
    kinds = {
        "name": (str, "a text"),
        "paper": (str, "a text"),
        "kind": (str, "a text"),
        "skeleton": (str | None, "a name or null"),
        "num_keypoints": (int, "a number of joints"),
        "centre_map": (bool, "true or false"),
        "half_pixel": (bool, "true or false"),
        "background": (bool, "true or false"),
    }
    found = {name: (getattr(about, name), *kind) for name, kind in kinds.items()}
    wrong = [
        f"{name} is {reprlib.repr(value)}, not {wanted}"
        for name, (value, kind, wanted) in found.items()
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool))
    ]
    wrong += [
        f"{name} is {reprlib.repr(getattr(about, name))}, not three finite numbers"
        for name in ("mean", "std")
        if not _three_numbers(getattr(about, name))
    ]
    return wrong


def _three_numbers(value: Any) -> bool:
    """Whether a value is a list of three finite numbers."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 3
        and all(isinstance(n, int | float) and not isinstance(n, bool) for n in value)
        and all(abs(n) < _INFINITE for n in value)
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:160] or type(error).__name__
