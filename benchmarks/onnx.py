"""LPN-50 for one image: exported and run by onnxruntime, against eager PyTorch, one thread each."""

import os
import tempfile
from pathlib import Path

import onnxruntime
import torch

from posekit import export_onnx
from posekit.models import create_model

SIZE, PASSES, ROUNDS = (256, 192), 10, 7


@torch.inference_mode()
def main() -> float:
    """Print one line and return the ratio of CPU times, eager over exported (best rounds)."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, image = create_model("lpn_50").eval(), torch.rand(1, 3, *SIZE) - 0.5
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lpn_50.onnx"
        export_onnx(model, path, SIZE, "coco")
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: image.numpy()}
    ways = {"eager": lambda: model(image), "exported": lambda: session.run(None, feed)}
    seconds = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            way()
            start = os.times().user
            for _ in range(PASSES):
                way()
            seconds[name].append((os.times().user - start) / PASSES)
    eager, exported = min(seconds["eager"]), min(seconds["exported"])
    print(
        f"lpn_50, one image of {SIZE[0]} x {SIZE[1]}, 1 thread: exported {1e3 * exported:.0f} ms, "
        f"eager {1e3 * eager:.0f} ms, ratio {eager / exported:.2f}"
    )
    return eager / exported


if __name__ == "__main__":
    main()
