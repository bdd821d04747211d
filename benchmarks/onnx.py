"""Networks for one image: exported and run by onnxruntime, against eager PyTorch."""

import tempfile
from pathlib import Path

import torch

from posekit import export_onnx
from posekit.models import create_model

from .harness import NotHere, Pair, row

SIZE = (256, 192)


@row("lpn_onnx", goal=1.6, against="eager PyTorch")
def lpn_onnx() -> Pair:
    return _exported("lpn_50")


@row("hrnet_onnx", goal=1.6, against="eager PyTorch")
def hrnet_onnx() -> Pair:
    return _exported("hrnet_w32")


def _exported(name: str) -> Pair:
    try:
        import onnxruntime
    except ImportError:
        raise NotHere("onnxruntime is not installed") from None
    torch.manual_seed(0)
    model, image = create_model(name).eval(), torch.rand(1, 3, *SIZE) - 0.5
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        export_onnx(model, path, SIZE, "coco")
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: image.numpy()}

    def eager() -> torch.Tensor:
        with torch.inference_mode():
            return model(image)

    def equal(eager: torch.Tensor, exported: list) -> str:
        ours = torch.from_numpy(exported[0])
        torch.testing.assert_close(ours, eager, rtol=1e-3, atol=1e-4)
        return f"heat maps within {(ours - eager).abs().max():.0e}"

    data = f"{name}, one image of {SIZE[0]} x {SIZE[1]}"
    return Pair(eager, lambda: session.run(None, feed), equal, data)
