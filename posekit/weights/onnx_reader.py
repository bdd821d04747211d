"""A heatmap network stored as ONNX by anybody, as a network like ours.

What it takes and returns is read from the metadata that `posekit.export_onnx` writes; a file
without them is taken for the commonest kind (RGB, ImageNet mean and deviation), unless the caller
knows better.
"""

import json
import os
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.paths import expanded, regular_file
from ..files.reading import reading
from ..geometry.skeletons import USUAL_SKELETON
from ..models import Description
from ..models.complexity import limit_memory, refuse_loops
from .metadata import checked_description

METADATA = "posekit"  # key of the metadata, a JSON object with the fields of a Description


class OnnxNetwork(nn.Module):
    """A network that onnxruntime computes on the CPU; it cannot be trained.

    Args:
        path: the file.
        known: fields of the description that the caller knows better than the file.

    Attributes:
        description: what it takes and returns.
        input_size: (h, w) that the file demands, None where it takes any.
        described: whether the file has a description.
        compute: inputs by name -> outputs.
    """

    def __init__(self, path: Path, known: dict[str, Any]) -> None:
        super().__init__()
        self.path = path
        session = open_session(path)
        self.compute = lambda feed: session.run(None, feed)
        with reading(path, "a readable ONNX file"):  # its texts may be no texts
            inputs, outputs = session.get_inputs(), session.get_outputs()
            _check_interface(path, inputs, outputs)
            stored = _stored_fields(path, session.get_modelmeta().custom_metadata_map)
        self._names, (self._batch, *_, h, w) = [v.name for v in inputs], inputs[0].shape
        self.input_size = (h, w) if isinstance(h, int) and isinstance(w, int) else None
        self.described = bool(stored)
        maps = outputs[0].shape[-3] if isinstance(outputs[0].shape[-3], int) else 0
        usual = Description(path.name, f"a network stored as ONNX, {path.name}", num_keypoints=maps)
        fields = asdict(usual) | {"skeleton": USUAL_SKELETON.get(maps)} | stored | known
        self.description = checked_description(fields, path)
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
            maps = self.compute(dict(zip(self._names, arrays, strict=True)))[0]
        except Exception as error:  # a runtime's own errors have no common class
            raise PosekitError(f"{self.path}: the runtime stopped: {_first_line(error)}") from error
        return maps[:count]


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
    return OnnxNetwork(expanded(path), {n: v for n, v in known.items() if v is not None})


def open_session(path: Path) -> Any:
    """An onnxruntime.InferenceSession of the file, on as many threads as torch has.

    Raises:
        PosekitError: there is no such file, or onnxruntime cannot read it or is not installed.
    """
    check_packages(path)
    import onnxruntime

    path, options = regular_file(path, "ONNX file"), onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait in a loop starve the loading processes on a small machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 4  # errors are raised, no need to print them as well
    limit_memory()
    try:
        refuse_loops(path)
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


def _check_interface(path: Path, inputs: list, outputs: list) -> None:
    """Refuse what takes no images or returns no maps."""
    problem = ""
    if not inputs or not outputs:
        problem = f"has {len(inputs)} inputs and {len(outputs)} outputs"
    elif (shape := inputs[0].shape or ())[1:2] != [3] or len(shape) != 4:
        problem = f"its input {inputs[0].name} is {shape}"
    elif inputs[0].type != "tensor(float)":
        problem = f"its input {inputs[0].name} is a {inputs[0].type}"
    elif len(outputs[0].shape or ()) not in (4, 5):
        problem = f"its output {outputs[0].name} is {outputs[0].shape}"
    if problem:
        raise PosekitError(
            f"{path}: {problem}; a heatmap network takes float images (B, 3, h, w) and returns "
            "heatmaps (B, K, H, W)."
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


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][-160:] or type(error).__name__
