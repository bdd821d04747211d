"""The graphs that a network is exported as: one, or LPM's two for its first and later frames."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..models.lpm import LPM, State

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
        if about.kind == "clip":
            frames = torch.randn(2, CLIP_FRAMES, 3, *size, generator=random)
            yield path, model, {"frames": frames} | centre, ("beliefs",)
            return
        outputs = ("beliefs",) if about.centre_map else ("heatmaps",)
        yield path, model, {"images": images} | centre, outputs
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
    values = example if isinstance(example, tuple) else (example,)
    return dict(zip(outputs, values, strict=True))
