"""Our networks as ONNX: checked against the original, with a description for their readers.

A file carries the network's description under the key "posekit" of its metadata, so that
`load_onnx` and evaluate.ipynb feed it rightly, and a model card in plain text lies beside it. The
batch is free, the image's size is the one that it was exported for.

LPM is exported as one step of a stream, in two files, as its authors deploy it: NAME-first.onnx
turns the first frame and the centre map into a belief and a state, NAME.onnx turns the next frame,
the centre map and that state into the next. The first frame has a stage of its own and no
memory; one graph for both would compute that stage for every frame and throw it away.
"""

import copy
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import nn

from ..errors import PosekitError
from ..files.paths import expanded
from ..geometry.skeletons import SKELETONS
from ..models import Description
from .load import check_allocated
from .onnx_graphs import CLIP_FRAMES, OPSET, compare, graphs, write_graph
from .onnx_reader import METADATA, SKELETON_BY_SIZE, check_packages

TOLERANCE = 1e-4  # largest difference, relative to the largest output
_CARD = """# {name}

{paper}.

- files: {files} (ONNX, opset {opset})
- parameters: {params:,}
{shapes}
- images: one person's crop, {size[0]} x {size[1]} pixels (h, w), {colour}, (value - mean) / std of \
0..255 with mean {mean}, std {std}
- maps: cell g lies at crop pixel {position}, s = {stride:g}
- joints: {joints}
{notes}- check: onnxruntime differs from the original by at most {difference:.1e} of the largest output

Scores belong to a run and a data set: see the run's report, or score the file itself with \
notebooks/evaluate.ipynb.
"""


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
    about = replace(model.description, skeleton=skeleton)
    model = copy.deepcopy(model).cpu().eval()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            targets, shapes, difference = [], {}, 0.0
            for target, graph, inputs, outputs in graphs(model, path, input_size):
                draft = Path(folder, target.name)
                maps = write_graph(graph, draft, inputs, outputs)
                shapes |= {name: value.shape[1:] for name, value in (inputs | maps).items()}
                stride = input_size[0] / next(iter(maps.values())).shape[-2]
                _describe(draft, asdict(about) | {"image_size": [*input_size], "stride": stride})
                difference = max(difference, compare(graph, draft, inputs))
                targets.append(target)
            if not difference <= TOLERANCE:
                raise PosekitError(
                    f"{path}: onnxruntime differs from {about.name} by {difference:.1e} of the "
                    f"largest output, more than {TOLERANCE:.0e}; nothing was written"
                )
            report = ExportReport((*targets, path.with_suffix(".md")), difference)
            params = sum(p.numel() for p in model.parameters())
            card = _card(about, report, params, input_size, shapes, stride)
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
    joints = about.num_keypoints
    own = about.skeleton if about.skeleton and len(SKELETONS[about.skeleton]) == joints else None
    if wanted is None:
        return own or SKELETON_BY_SIZE.get(joints)
    if wanted not in SKELETONS:
        problem = f": choose one of {', '.join(SKELETONS)}"
    elif own not in (None, wanted):
        problem = f": {about.name} has {own}; leave it out"
    elif len(SKELETONS[wanted]) != joints:
        problem = (
            f" has {len(SKELETONS[wanted])} joints, this {about.name} {joints}: choose another, or "
            "set num_keypoints in create_model"
        )
    else:
        return wanted
    raise PosekitError(f"{path}: skeleton={wanted!r}{problem}")


def _describe(path: Path, description: dict[str, object]) -> None:
    """Put the description where `load_onnx` and any other reader finds it."""
    import onnx

    content = onnx.load(path)
    onnx.helper.set_model_props(content, {METADATA: json.dumps(description)})
    content.doc_string = f"{description['name']}: {description['paper']}"
    onnx.checker.check_model(content)
    onnx.save(content, path)


def _card(
    about: Description,
    report: ExportReport,
    params: int,
    size: tuple[int, int],
    shapes: Mapping[str, tuple[int, ...]],
    stride: float,
) -> str:
    """The model card: what goes in, what comes out, how to read it."""
    files = [file.name for file in report.files[:-1]]
    joints = SKELETONS[about.skeleton].joints if about.skeleton else [str(about.num_keypoints)]
    notes = ""
    if about.centre_map:
        notes += "- centre: a Gaussian, 21 pixels wide, at the middle of the crop\n"
    if len(files) > 1:
        notes += (
            f"- video: run {files[0]} on the first frame; give its three outputs as belief, hidden "
            f"and cell to {files[1]} with the next frame, and so on\n"
        )
    elif about.kind == "clip":
        notes += f"- video: clips of exactly {CLIP_FRAMES} frames\n"
    return _CARD.format(
        **asdict(about) | {"mean": [*about.mean], "std": [*about.std]},
        files=", ".join(files),
        opset=report.opset,
        params=params,
        shapes="\n".join(f"- {n}: (batch, {', '.join(map(str, s))})" for n, s in shapes.items()),
        size=size,
        position="(g + 0.5) * s - 0.5" if about.half_pixel else "g * s",
        stride=stride,
        joints=", ".join(joints) + (", then the background" if about.background else ""),
        notes=notes,
        difference=report.difference,
    )
