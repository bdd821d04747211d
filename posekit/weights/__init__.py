"""Weights in and out: own and published checkpoints in, safetensors and ONNX out.

Reading is safe: a file can hold numbers, never code, and a file that does not fit the network
to the last tensor is refused before anything is changed.
"""

from .load import LoadReport, load_weights
from .storage import RUN_WEIGHTS, read_metadata, read_weights, save_weights

__all__ = ["RUN_WEIGHTS", "LoadReport", "load_weights", "read_metadata", "read_weights"]
__all__ += ["save_weights"]
