"""What computes networks stored as ONNX: onnxruntime, or OpenVINO, faster and less exact."""

import os
from typing import Any

import torch

from ..errors import PosekitError
from ..weights.onnx_reader import OnnxNetwork

_CHOICE = "POSEKIT_ONNX_RUNTIME"


def choose_runtime(network: OnnxNetwork) -> str:
    """Let a stored network be computed by what POSEKIT_ONNX_RUNTIME names, and return its name.

    OpenVINO computes in bfloat16 where the processor has it: heat maps of HRNet-W32 then differ by
    0.9 % of their largest value.

    Raises:
        PosekitError: another name, OpenVINO is not installed, or it cannot read the file.
    """
    name = os.environ.get(_CHOICE, "onnxruntime")
    if name == "openvino":
        network.compute = _openvino(network)
    elif name != "onnxruntime":
        raise PosekitError(f"{_CHOICE}={name!r}: choose onnxruntime or openvino")
    return name


def _openvino(network: OnnxNetwork) -> Any:
    try:
        import openvino
    except ImportError as error:
        raise PosekitError(
            f"{_CHOICE}=openvino needs the package openvino: pip install 'posekit[openvino]', or "
            "unset the variable"
        ) from error
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
    try:
        return openvino.Core().compile_model(str(network.path), "CPU", threads)
    except RuntimeError as error:  # its own errors are of this class
        raise PosekitError(f"{network.path}: OpenVINO cannot read it: {error}") from error
