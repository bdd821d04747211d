"""Our networks as ONNX: checked against the original, with what a reader has to know inside.

A file carries the network's description under the key "posekit" of its metadata, so that
`load_onnx` and evaluate.ipynb feed it rightly, and a card in plain text lies beside it. The batch
is free, the picture's size is the one that it was exported for.

LPM is exported as one step of a stream, in two files, as its authors deploy it: NAME-first.onnx
turns the first frame and the centre map into a belief and a state, NAME.onnx turns the next frame,
the centre map and that state into the next. The first frame has a stage of its own and no
memory; one graph for both would compute that stage for every frame and throw it away.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.paths import expanded
from ..geometry.skeletons import SKELETONS
from ..models import Description
from .onnx_graphs import CLIP_FRAMES, OPSET, graphs, write_graph
from .onnx_in import METADATA, open_session
from .plain import check_room

TOLERANCE = 1e-4  # largest difference, relative to the largest output
_BY_JOINTS = {17: "coco", 16: "mpii"}


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
    opset: int

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
        input_size: (h, w) of the pictures, pixels.
        skeleton: name of the joints; by default that of the network, else COCO's for 17 maps and
            MPII's for 16.

    Raises:
        PosekitError: the file cannot be written, the joints are not the network's, it refuses the
            size, its outputs are not finite, or onnxruntime and the original differ by more than
            `TOLERANCE`; nothing is left behind then.
    """
    path = expanded(path)
    _check_request(model, path, input_size)
    name = _joints(path, model.description, skeleton)
    about = replace(model.description, skeleton=name)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder,
            _evaluating(model),
        ):
            drafts, worst, sizes = [], 0.0, {}
            for target, graph, inputs, outputs in graphs(model, path, input_size):
                drafts.append((Path(folder, target.name), target))
                maps = write_graph(graph, drafts[-1][0], inputs, outputs)
                sizes |= {n: tuple(value.shape[1:]) for n, value in (inputs | maps).items()}
                stride = input_size[0] / next(iter(maps.values())).shape[-2]
                _annotate(drafts[-1][0], about, input_size, stride)
                worst = max(worst, _compare(graph, drafts[-1][0], inputs))
            if not worst <= TOLERANCE:
                raise PosekitError(
                    f"{path}: onnxruntime differs from {about.name} by {worst:.1e} of the largest "
                    f"output, more than {TOLERANCE:.0e}; nothing was written"
                )
            card = Path(folder, path.with_suffix(".md").name)
            files = [target for _, target in drafts]
            card.write_text(_card(model, files, input_size, name, sizes, stride, worst), "utf-8")
            drafts.append((card, path.with_suffix(".md")))
            _check_free([target for _, target in drafts])
            for draft, target in drafts:
                os.replace(draft, target)
    except OSError as error:
        raise PosekitError(f"cannot write {path}: {error.strerror or error}.") from error
    return ExportReport(tuple(target for _, target in drafts), worst, OPSET)


def _check_request(model: nn.Module, path: Path, size: tuple[int, int]) -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise PosekitError(
            f"{path}: export needs the packages onnx and onnxruntime: pip install 'posekit[onnx]'"
        ) from error
    if path.suffix.lower() != ".onnx":
        raise PosekitError(f"{path}: the file's name has to end in .onnx")
    if not hasattr(model, "description"):
        raise PosekitError(f"{path}: only networks made by posekit.create_model can be exported")
    check_room(model.state_dict(), model.description.name)
    whole = isinstance(size, tuple | list) and all(type(n) is int and n > 0 for n in size)
    if not whole or len(size) != 2:
        raise PosekitError(
            f"{path}: input_size={size!r} must be (h, w), two whole numbers of pixels above 0"
        )


def _joints(path: Path, about: Description, wanted: str | None) -> str | None:
    """Name of the joints that a network returns: what is wished, if it is true, else the usual."""
    joints = about.num_keypoints
    own = about.skeleton if about.skeleton and len(SKELETONS[about.skeleton]) == joints else None
    if wanted is None:
        return own or _BY_JOINTS.get(joints)
    if wanted not in SKELETONS:
        raise PosekitError(f"{path}: skeleton={wanted!r}: choose one of {', '.join(SKELETONS)}")
    if own not in (None, wanted):
        raise PosekitError(f"{path}: skeleton={wanted!r}: {about.name} has {own}; leave it out")
    if len(SKELETONS[wanted]) != joints:
        raise PosekitError(
            f"{path}: skeleton={wanted!r} has {len(SKELETONS[wanted])} joints, this {about.name} "
            f"{joints}: choose another, or set num_keypoints in create_model"
        )
    return wanted


def _check_free(targets: list[Path]) -> None:
    """Refuse before anything is written if one of several files cannot be."""
    if folders := [str(target) for target in targets if target.is_dir()]:
        raise PosekitError(f"cannot write {', '.join(folders)}: a folder of that name is there.")


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """On the CPU and in evaluation mode for a while."""
    training = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    try:
        model.eval().cpu()
        yield
    finally:
        model.to(device)
        for module, was in training.items():
            module.training = was


def _annotate(path: Path, about: object, size: tuple[int, int], stride: float) -> None:
    """Put the description where `load_onnx` and any other reader finds it."""
    import onnx

    content = onnx.load(path)
    told = asdict(about) | {"image_size": list(size), "stride": stride}
    onnx.helper.set_model_props(content, {METADATA: json.dumps(told)})
    content.doc_string = f"{told['name']}: {told['paper']}"
    onnx.checker.check_model(content)
    onnx.save(content, path)


def _compare(graph: nn.Module, path: Path, inputs: dict[str, Tensor]) -> float:
    """Largest difference on inputs of other batch sizes, relative to the largest output."""
    session, worst = open_session(path), 0.0
    for rows in ([0], [1, 0, 1]):
        given = {name: value[rows] for name, value in inputs.items()}
        with torch.no_grad():
            expected = graph(*given.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
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


def _card(
    model: nn.Module,
    files: list[Path],
    size: tuple[int, int],
    skeleton: str | None,
    sizes: dict[str, tuple[int, ...]],
    stride: float,
    worst: float,
) -> str:
    """The model card: what goes in, what comes out, how to read it."""
    about = model.description
    joints = SKELETONS[skeleton].joints if skeleton else ()
    place = "(g + 0.5) * s - 0.5" if about.half_pixel else "g * s"
    lines = [f"# {about.name}", "", f"{about.paper}.", ""]
    lines += [f"- files: {', '.join(file.name for file in files)} (ONNX, opset {OPSET})"]
    lines += [f"- parameters: {sum(p.numel() for p in model.parameters()):,}"]
    lines += [f"- {name}: (batch, {', '.join(map(str, s))})" for name, s in sizes.items()]
    lines += [
        f"- pictures: one person's crop, {size[0]} x {size[1]} pixels (h, w), {about.colour}, "
        f"(value - mean) / std of 0..255 with mean {list(about.mean)}, std {list(about.std)}",
        f"- maps: cell g lies at crop pixel {place}, s = {stride:g}",
        f"- joints: {', '.join(joints) or about.num_keypoints}"
        + (", then the background" if about.background else ""),
    ]
    if about.centre_map:
        lines.append("- centre: a Gaussian, 21 pixels wide, at the middle of the crop")
    if len(files) > 1:
        lines.append(
            f"- video: run {files[0].name} on the first frame; give its three outputs as belief, "
            f"hidden and cell to {files[1].name} with the next frame, and so on"
        )
    elif about.kind == "clip":
        lines.append(f"- video: clips of exactly {CLIP_FRAMES} frames")
    lines += [
        f"- check: onnxruntime differs from the original by at most {worst:.1e} of the largest "
        "output",
        "",
        "Scores belong to a run and a data set: see the run's report, or score the file itself "
        "with notebooks/evaluate.ipynb.",
    ]
    return "\n".join([*lines, ""])
