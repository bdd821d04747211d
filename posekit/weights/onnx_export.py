"""Our networks as ONNX: checked against the original, with a description for their readers.

A file carries the network's description under the key "posekit" of its metadata, so that
`load_onnx` and evaluate.ipynb feed it rightly, and a model card in plain text lies beside it. The
batch is free, the image's size is the one that it was exported for.

LPM is exported as one step of a stream, in two files, as its authors deploy it: NAME-first.onnx
turns the first frame and the centre map into a belief and a state, NAME.onnx turns the next frame,
the centre map and that state into the next. The first frame has a stage of its own and no
memory; one graph for both would compute that stage for every frame and throw it away.
"""

import contextlib
import copy
import io
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jinja2 import Template
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.paths import expanded
from ..geometry.skeletons import SKELETONS, USUAL_SKELETON
from ..models import Description
from ..models.lpm import LPM, State
from .load import check_allocated
from .onnx_reader import METADATA, check_packages, open_session

OPSET = 20
CLIP_FRAMES = 5  # of the clip networks that have no step
STATE = ("belief", "hidden", "cell")
TOLERANCE = 1e-4  # largest difference, relative to the largest output
_CARD = Path(__file__).with_name("onnx_card.md.jinja")


@dataclass(frozen=True)
class ExportReport:
    """What `export_onnx` wrote.

    Attributes:
        files: the graphs, then the card.
        difference: largest deviation from the original, relative to its largest output.
        opset: version of the operators.
    """

    files: tuple[Path, ...]
    difference: float
    opset: int = OPSET

    def __str__(self) -> str:
        """One sentence."""
        names = ", ".join(path.name for path in self.files)
        return (
            f"wrote {names} (opset {self.opset}); onnxruntime differs from the original by "
            f"{self.difference:.1e} of the largest output at batch sizes 1 and 3"
        )


def export_onnx(
    model: nn.Module,
    path: str | os.PathLike,
    input_size: tuple[int, int],
    skeleton: str | None = None,
) -> ExportReport:
    """Write a network as ONNX, with a card beside it, after comparing the two.

    Args:
        model: made by `create_model`; it is left as it is.
        path: the .onnx file; its folder must exist. LPM's first frame goes to NAME-first.onnx.
        input_size: (h, w) of the images, pixels.
        skeleton: name of the joints; by default that of the network, else COCO's for 17 maps and
            MPII's for 16.

    Raises:
        PosekitError: the file cannot be written, the joints are not the network's, it refuses the
            size, its outputs are not finite, or onnxruntime and the original differ by more than
            `TOLERANCE`; nothing is left behind then.
    """
    path = expanded(path)
    _check_request(model, path, input_size)
    skeleton = _skeleton(path, model.description, skeleton)
    address = SKELETONS[skeleton].address if skeleton else None
    about = replace(model.description, skeleton=address)
    model = copy.deepcopy(model).cpu().eval()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            targets, shapes, difference = [], {}, 0.0
            for target, graph, inputs, outputs in _graphs(model, path, input_size):
                draft = Path(folder, target.name)
                maps = _write(graph, draft, inputs, outputs)
                shapes |= {name: value.shape[1:] for name, value in (inputs | maps).items()}
                stride = input_size[0] / next(iter(maps.values())).shape[-2]
                _describe(draft, asdict(about) | {"image_size": [*input_size], "stride": stride})
                difference = max(difference, _compare(graph, draft, inputs))
                targets.append(target)
            report = ExportReport((*targets, path.with_suffix(".md")), difference)
            card = Template(_CARD.read_text("utf-8"), trim_blocks=True).render(
                about=about,
                joints=SKELETONS[skeleton].joints if skeleton else [about.num_keypoints],
                params=sum(p.numel() for p in model.parameters()),
                size=input_size,
                shapes=shapes,
                stride=stride,
                clip_frames=CLIP_FRAMES,
                report=report,
            )
            Path(folder, report.files[-1].name).write_text(card, "utf-8")
            if taken := [str(target) for target in report.files if target.is_dir()]:
                raise PosekitError(f"cannot write {', '.join(taken)}: a folder of that name exists")
            for target in report.files:
                os.replace(Path(folder, target.name), target)
    except OSError as error:
        raise PosekitError(f"cannot write {path}: {error.strerror or error}.") from error
    return report


def _check_request(model: nn.Module, path: Path, size: tuple[int, int]) -> None:
    check_packages(path)
    if path.suffix.lower() != ".onnx":
        raise PosekitError(f"{path}: the file's name has to end in .onnx")
    if not hasattr(model, "description"):
        raise PosekitError(f"{path}: only networks made by posekit.create_model can be exported")
    check_allocated(model.state_dict(), model.description.name)
    whole = isinstance(size, tuple | list) and all(type(n) is int and n > 0 for n in size)
    if not whole or len(size) != 2:
        raise PosekitError(
            f"{path}: input_size={size!r} must be (h, w), two whole numbers of pixels above 0"
        )


def _skeleton(path: Path, about: Description, wanted: str | None) -> str | None:
    """Name of the joints that a network returns: what is asked for, if it fits, else the usual."""
    fitting = [name for name in SKELETONS if len(SKELETONS[name]) == about.num_keypoints]
    own = about.skeleton if about.skeleton in fitting else None
    if wanted is None:
        return own or USUAL_SKELETON.get(about.num_keypoints)
    choices = [own] if own else fitting
    if wanted not in choices:
        raise PosekitError(
            f"{path}: skeleton={wanted!r}: {about.name} with {about.num_keypoints} joints can have "
            f"{' or '.join(choices) or 'none that posekit knows'}: choose that, or leave it out"
        )
    return wanted


def _describe(path: Path, description: dict[str, object]) -> None:
    """Put the description where `load_onnx` and any other reader finds it."""
    import onnx

    content = onnx.load(path)
    onnx.helper.set_model_props(content, {METADATA: json.dumps(description)})
    content.doc_string = f"{description['name']}: {description['paper']}"
    onnx.checker.check_model(content)
    onnx.save(content, path)


class _Step(nn.Module):
    """LPM's first frame, or with a state one of its later frames."""

    def __init__(self, model: LPM) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: Tensor, centre: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.step(frame, centre, State(*state) if state else None)[1])


def _graphs(
    model: nn.Module, path: Path, size: tuple[int, int]
) -> Iterator[tuple[Path, nn.Module, dict[str, Tensor], tuple[str, ...]]]:
    """What is written: file, graph, example inputs of batch 2, names of the outputs."""
    random = torch.Generator().manual_seed(0)
    about = model.description
    frames = torch.randn(2, CLIP_FRAMES, 3, *size, generator=random)
    centre = {"centre": torch.rand(2, 1, *size, generator=random)} if about.centre_map else {}
    if not isinstance(model, LPM):
        clip = about.kind == "clip"
        inputs = {"frames": frames} if clip else {"images": frames[:, 0]}
        yield path, model, inputs | centre, ("beliefs" if clip or centre else "heatmaps",)
        return
    names = tuple(f"next_{name}" for name in STATE)
    inputs = {"frame": frames[:, 0]} | centre
    yield path.with_stem(f"{path.stem}-first"), _Step(model).eval(), inputs, names
    with torch.no_grad():
        state = dict(zip(STATE, model.step(**inputs)[1], strict=True))
    yield path, _Step(model).eval(), inputs | state, names


def _write(
    graph: nn.Module, path: Path, inputs: dict[str, Tensor], outputs: tuple[str, ...]
) -> dict[str, Tensor]:
    """Export one graph; its outputs for the example inputs."""
    names = {"input_names": list(inputs), "output_names": list(outputs)}
    free = {name: {0: "batch"} for name in (*inputs, *outputs)}
    try:
        # Its warnings and its print-out of the whole graph tell a user nothing.
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            example = graph(*inputs.values())
            # The older exporter is ten times faster here than the newer one, same results.
            options = {"opset_version": OPSET, "dynamic_axes": free, "dynamo": False} | names
            torch.onnx.export(graph, tuple(inputs.values()), str(path), **options)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise PosekitError(f"{path.name}: this network cannot be exported ({first})") from error
    return dict(zip(outputs, _tuple(example), strict=True))


def _compare(graph: nn.Module, path: Path, inputs: dict[str, Tensor]) -> float:
    """Largest difference on inputs of other batch sizes, relative to the largest output.

    Raises:
        PosekitError: it is above `TOLERANCE`, or an output is not finite.
    """
    session, worst = open_session(path), 0.0
    for rows in ([0], [1, 0, 1]):
        given = {name: value[rows] for name, value in inputs.items()}
        with torch.no_grad():
            expected = _tuple(graph(*given.values()))
        got = session.run(None, {name: value.numpy() for name, value in given.items()})
        for ours, theirs in zip(expected, map(torch.from_numpy, got), strict=True):
            scale = ours.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
            difference = float((ours - theirs).abs().max() / scale)
            if not difference <= TOLERANCE:
                raise PosekitError(
                    f"{path.name}: onnxruntime differs from the network by {difference:.1e} of the "
                    f"largest output, more than {TOLERANCE:.0e} (nan: there are NaN or infinite "
                    "numbers; check its weights); nothing was written"
                )
            worst = max(worst, difference)
    return worst


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
