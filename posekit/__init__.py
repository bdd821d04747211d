"""Human-pose papers re-implemented: one notebook, one recipe and one honest score a paper.

`import posekit` is instant: the names below are imported from their modules when first used.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# libgomp reads this when torch is imported. Its threads otherwise wait for each other in a loop,
# which on a busy machine makes two of them many times slower than one.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# OpenCV reads this when it is imported: a small file may claim a picture of gigabytes.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))

_HOME = {
    "Estimator": "inference.images",
    "PosekitError": "errors",
    "create_model": "models",
    "export_onnx": "weights.onnx_export",
    "list_models": "models",
    "load_weights": "weights",
    "score": "data.scores",
    "skeleton": "geometry.skeletons",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'posekit' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
