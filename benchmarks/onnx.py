"""Networks for one image: exported and run by onnxruntime or OpenVINO, against eager PyTorch."""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch

from posekit import export_onnx
from posekit.inference.open_network import find_network
from posekit.models import create_model

from .harness import NotHere, Pair, row

SIZE = (256, 192)


@row("lpn_onnx", goal=1.6, against="eager PyTorch")
def lpn_onnx() -> Pair:
    return _exported("lpn_50")


@row("hrnet_onnx", goal=1.6, against="eager PyTorch")
def hrnet_onnx() -> Pair:
    return _exported("hrnet_w32")


@row("hrnet_openvino", goal=2.5, against="eager PyTorch")
def hrnet_openvino() -> Pair:
    return _exported("hrnet_w32", "openvino", 0.03)


def _exported(name: str, runtime: str = "onnxruntime", most: float = 1e-4) -> Pair:
    """Heat maps may differ by `most` of their largest value."""
    if not find_spec(runtime):
        raise NotHere(f"{runtime} is not installed")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, image = create_model(name).eval(), torch.rand(1, 3, *SIZE) - 0.5
    os.environ["POSEKIT_ONNX_RUNTIME"] = runtime
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        export_onnx(model, path, SIZE, "coco")
        exported = find_network(str(path)).onnx

    def eager() -> torch.Tensor:
        with torch.inference_mode():
            return model(image)

    def equal(eager: torch.Tensor, ours: torch.Tensor) -> str:
        away = ((ours - eager).abs().max() / eager.abs().max()).item()
        assert away < most, f"heat maps {away:.1%} of their largest value apart"
        return f"heat maps within {away:.0e} of their largest value"

    data = f"{name}, one image of {SIZE[0]} x {SIZE[1]}"
    return Pair(eager, lambda: exported(image), equal, data)
