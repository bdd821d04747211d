"""The graphs that a network is exported as: one, or LPM's two for its first and later frames."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..models.lpm import LPM, State
from .onnx_reader import open_session

OPSET = 20
CLIP_FRAMES = 5  # of the clip networks that have no step
STATE = ("belief", "hidden", "cell")


class _Step(nn.Module):
    """LPM's first frame, or with a state one of its later frames."""

    def __init__(self, model: LPM) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: Tensor, centre: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.step(frame, centre, State(*state) if state else None)[1])


def graphs(
    model: nn.Module, path: Path, size: tuple[int, int]
) -> Iterator[tuple[Path, nn.Module, dict[str, Tensor], tuple[str, ...]]]:
    """What is written: file, graph, example inputs of batch 2, names of the outputs."""
    random = torch.Generator().manual_seed(0)
    about = model.description
    images = torch.randn(2, 3, *size, generator=random)
    centre = {"centre": torch.rand(2, 1, *size, generator=random)} if about.centre_map else {}
    if not isinstance(model, LPM):
        inputs = {"images": images}
        if about.kind == "clip":
            inputs = {"frames": torch.randn(2, CLIP_FRAMES, 3, *size, generator=random)}
        pose_machine = about.centre_map or about.kind == "clip"
        yield path, model, inputs | centre, ("beliefs",) if pose_machine else ("heatmaps",)
        return
    names = tuple(f"next_{name}" for name in STATE)
    inputs = {"frame": images} | centre
    yield path.with_stem(f"{path.stem}-first"), _Step(model).eval(), inputs, names
    with torch.no_grad():
        state = dict(zip(STATE, model.step(**inputs)[1], strict=True))
    yield path, _Step(model).eval(), inputs | state, names


def write_graph(
    graph: nn.Module, path: Path, inputs: dict[str, Tensor], outputs: tuple[str, ...]
) -> dict[str, Tensor]:
    """Export one graph; its outputs for the example inputs."""
    free = {name: {0: "batch"} for name in (*inputs, *outputs)}
    try:
        # Its warnings and its print-out of the whole graph tell a user nothing.
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            example = graph(*inputs.values())
            torch.onnx.export(
                graph,
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=free,
                opset_version=OPSET,
                dynamo=False,  # ten times faster here than the newer exporter, same results
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise PosekitError(f"{path.name}: this network cannot be exported ({first})") from error
    return dict(zip(outputs, _tuple(example), strict=True))


def compare(graph: nn.Module, path: Path, inputs: dict[str, Tensor]) -> float:
    """Largest difference on inputs of other batch sizes, relative to the largest output.

    Raises:
        PosekitError: an output is not finite.
    """
    session, worst = open_session(path), 0.0
    for rows in ([0], [1, 0, 1]):
        given = {name: value[rows] for name, value in inputs.items()}
        with torch.no_grad():
            expected = _tuple(graph(*given.values()))
        got = session.run(None, {name: value.numpy() for name, value in given.items()})
        for ours, theirs in zip(expected, got, strict=True):
            gap, largest = np.abs(ours.numpy() - theirs).max(), np.abs(ours.numpy()).max()
            if not np.isfinite(gap):
                raise PosekitError(
                    f"{path.name}: the network or onnxruntime returns NaN or infinite numbers; "
                    "check its weights"
                )
            worst = max(worst, float(gap / max(largest, np.finfo(np.float32).tiny)))
    return worst


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
