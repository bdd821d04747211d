"""The steps of notebooks/convert_weights.ipynb: any weights in, safetensors and ONNX out."""

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import Field
from torch import nn

from ..config.knobs import NETWORK_OPTIONS, NOTED
from ..config.parameters import Parameters, check, problems
from ..errors import PosekitError
from ..files.places import project_root
from ..files.words import near
from ..files.writing import write_text
from ..geometry.skeletons import SKELETONS
from ..models import create_model, describe, list_models
from ..reporting.record import trained_runs
from ..reporting.run_folder import new_folder
from ..weights import RUN_WEIGHTS, LoadReport, load_weights, read_metadata, save_weights
from ..weights.inventory import identify
from ..weights.onnx_out import ExportReport, export_onnx

TITLE = "the convert_weights notebook cannot run with this:"
Count = Annotated[int, Field(ge=1)]


class Wishes(Parameters):
    """The parameters of the notebook."""

    weights: str | list[str] | None = Field(
        None, description="a file, or several with commas, or a run folder"
    )
    network: str | None = Field(None, description="a name of posekit.list_models()")
    num_keypoints: Count | None = Field(None, description="joints, for a network of any number")
    width: Annotated[float, Field(gt=0, le=8)] = Field(1.0, description="multiplier on channels")
    attention: Literal["gc", "se", "none"] = Field("gc", description="lpn: gc, se or none")
    gcb: bool = Field(True, description="lp_net: whether it has context blocks")
    survival: Literal["linear", "constant", "off"] = Field(
        "linear", description="lsdnet: linear, constant or off"
    )
    p_last: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="lsdnet: chance to keep the last block"
    )
    skeleton: str | None = Field(None, description="coco, mpii, lsp, penn_action or pose_machine")
    image_size: tuple[Count, Count] | None = Field(None, description="crop as [h, w], pixels")
    onnx: bool = Field(True, description="write ONNX and a model card as well")
    folder: str | None = Field(None, description="where to write; None: a new one in reports/")


TOLD = ("network", "num_keypoints", *NETWORK_OPTIONS, "skeleton", "image_size")
_BY_JOINTS = {17: "coco", 16: "mpii"}


@dataclass
class Conversion:
    """What every later step needs from the earlier ones.

    Attributes:
        wishes: the checked parameters, filled up with what the files say about themselves.
        files: weight files, or one run folder.
        story: where they come from.
        scratch: keeps the example's temporary folder alive.
        model: the network, after `load`.
        report: what was loaded.
        folder: of the results, after `save`.
        exported: what was written as ONNX, if anything.
    """

    wishes: Wishes
    files: list[Path]
    story: str
    scratch: Any = None
    model: nn.Module | None = None
    report: LoadReport | None = None
    folder: Path | None = None
    exported: ExportReport | None = None
    written: list[str] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """The network's options where they differ from the usual."""
        values = {name: getattr(self.wishes, name) for name in NETWORK_OPTIONS}
        own = {n: v for n, v in values.items() if v != Wishes.model_fields[n].default}
        return {name: None if value == "none" else value for name, value in own.items()}

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the crop, pixels: what is wished or noted, else the usual."""
        if self.wishes.image_size:
            return self.wishes.image_size
        about = describe(self.wishes.network)
        if about.centre_map:
            return (368, 368)
        return (256, 256) if self.skeleton == "mpii" else (256, 192)

    @property
    def skeleton(self) -> str | None:
        """Name of the joints, None if neither the file, the network nor their number says it."""
        name = describe(self.wishes.network).skeleton or self.wishes.skeleton
        return name or _BY_JOINTS.get(self.model.description.num_keypoints)

    def text(self) -> str:
        """What is read, and as which network."""
        options = "".join(f", {n} {str(v).lower()}" for n, v in self.options.items())
        lines = [self.story, *(f"file     {path}" for path in self.files)]
        return "\n".join([*lines, f"network  {self.wishes.network}{options}"])


def start(namespace: dict[str, Any]) -> Conversion:
    """Check the notebook's parameters, find the files and read what they say about themselves.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, or what is missing.
    """
    given = Wishes(**check(Wishes, namespace, TITLE)).model_dump(exclude_defaults=True)
    scratch = None
    if wanted := given.get("weights"):
        files, story = _files(wanted), "your weights"
    elif lost := [name for name in TOLD if name in given and name != "image_size"]:
        raise PosekitError(f"{TITLE}\n  weights: set it, {' and '.join(lost)} alone says no file")
    elif run := _newest_run():
        files, story = [run], f"no weights given: those of the newest finished run, {run.name}"
    else:
        scratch = tempfile.TemporaryDirectory(prefix="posekit-convert-")
        files = [_example(Path(scratch.name))]
        story = "no weights given, no finished run: an example of a published file, RANDOM weights"
        given = {"network": "pose_resnet_50", "width": 0.125, "image_size": (64, 64)} | given
    wishes = _wishes(_noted(files) | given, files)
    return Conversion(wishes, files, story, scratch)


def _files(weights: str | list[str]) -> list[Path]:
    """Paths, looked for below the current folder and then below the project."""
    if isinstance(weights, str):
        weights = [weights] if _place(weights).exists() else weights.split(",")
    files = [_place(text.strip()) for text in weights]
    for path in files:
        if not path.exists():
            raise PosekitError(f"weights: {path}: there is no such file or run folder")
    return files


def _place(text: str) -> Path:
    path = Path(os.path.expanduser(text))
    return path if path.exists() else project_root() / path


def _newest_run() -> Path | None:
    return next((folder for folder, _ in trained_runs()), None)


def _example(folder: Path) -> Path:
    """A narrow network in the shape of a published training checkpoint."""
    torch.manual_seed(0)
    state = create_model("pose_resnet_50", width=0.125).state_dict()
    content = {"epoch": 140, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    path = folder / "checkpoint.pth.tar"
    torch.save(content | {"optimizer": {"lr": 0.001}}, path)
    return path


def _noted(files: list[Path]) -> dict[str, Any]:
    """What the files say about the network they are for."""
    (first, *_), noted = files, {}
    try:
        if stored := _metadata(first):
            noted = {n: stored[n] for n in TOLD if n in stored} | {"network": stored.get("model")}
            if "image_size" in noted:
                noted["image_size"] = noted["image_size"].strip("[]").split(",")
        recipe = first / "params.yaml"
        if recipe.is_file():
            values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
            noted = {n: values[n] for n in (*NETWORK_OPTIONS, "image_size") if n in values} | noted
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise PosekitError(f"{first}: what it says about its network is damaged: {error}") from None
    return {name: value for name, value in noted.items() if value is not None}


def _metadata(file: Path) -> dict[str, str]:
    """What a .safetensors file or that of a run notes; nothing for other files."""
    weights = file / RUN_WEIGHTS if file.is_dir() else file
    return read_metadata(weights) if weights.suffix.lower() == ".safetensors" else {}


def _wishes(told: dict[str, Any], files: list[Path]) -> Wishes:
    """The parameters with the files' own words, refused where they make no sense together."""
    if told.get("network") is None:
        seen = "".join(f"\n  {path}: {identify(path)}" for path in files if path.is_file())
        raise PosekitError(f"{TITLE}\n  network: set it, no file says which it holds{seen}")
    if found := problems(Wishes, told):
        raise PosekitError("\n  ".join([TITLE, *found]))
    wishes = Wishes(**told)
    if wishes.network not in list_models():
        hint = near(wishes.network, list_models()) or f": there are {', '.join(list_models())}"
        raise PosekitError(f"{TITLE}\n  network={wishes.network!r}: unknown network{hint}")
    if wishes.skeleton is None:
        return wishes
    if wishes.skeleton not in SKELETONS:
        known = ", ".join(SKELETONS)
        raise PosekitError(f"{TITLE}\n  skeleton={wishes.skeleton!r}: choose one of {known}")
    own, joints = describe(wishes.network).skeleton, len(SKELETONS[wishes.skeleton])
    if own not in (None, wishes.skeleton):
        raise PosekitError(f"{TITLE}\n  skeleton={wishes.skeleton!r}: {wishes.network} has {own}")
    if wishes.num_keypoints not in (None, joints):
        raise PosekitError(
            f"{TITLE}\n  num_keypoints={wishes.num_keypoints}: {wishes.skeleton} has {joints}"
        )
    return wishes.model_copy(update={"num_keypoints": joints})


def load(conversion: Conversion) -> str:
    """Build the network and put the weights in, all or none; what was done, as text.

    Raises:
        PosekitError: the files cannot be read, hold code, or belong to another network.
    """
    wishes, files = conversion.wishes, conversion.files
    model = create_model(wishes.network, wishes.num_keypoints, **conversion.options)
    report = load_weights(model, files if len(files) > 1 else files[0])
    conversion.model, conversion.report = model.eval(), report
    numbers = sum(p.numel() for p in model.parameters())
    lines = [
        f"matched    {report.matched} of {len(model.state_dict())} tensors of the network",
        f"converted  {', '.join(report.converted) or 'nothing'}",
        f"ignored    {', '.join(report.ignored) or 'nothing'}",
        f"the network has {numbers:,} parameters, {model.description.num_keypoints} joints "
        f"({conversion.skeleton or 'unknown: set skeleton'})",
    ]
    if strange := report.not_finite:
        lines.append(f"NOT FINITE: {len(strange)} tensors, {', '.join(strange[:4])}")
    return "\n".join(lines)


def save(conversion: Conversion) -> str:
    """Write weights.safetensors and read it back; what is noted in it, as text.

    Raises:
        PosekitError: the folder cannot be written, or holds results already.
    """
    wishes, model = conversion.wishes, conversion.model
    conversion.folder = conversion.folder or _folder(wishes)
    path = conversion.folder / RUN_WEIGHTS
    about = model.description
    stored = _metadata(conversion.files[0])
    noted = {name: stored[name] for name in NOTED if name in stored}
    noted |= {"paper": about.paper, "colour": about.colour, "num_keypoints": about.num_keypoints}
    noted |= {"skeleton": conversion.skeleton} if conversion.skeleton else {}
    noted |= {"image_size": list(conversion.image_size), "width": wishes.width}
    noted |= {name: getattr(wishes, name) for name in conversion.options}
    noted |= {"source": ", ".join(file.name for file in conversion.files)}
    save_weights(model, path, {name: str(value) for name, value in noted.items()})
    again = create_model(wishes.network, wishes.num_keypoints, **conversion.options)
    load_weights(again, path)
    state = model.state_dict()
    for name, value in again.state_dict().items():
        if not torch.equal(_bytes(value), _bytes(state[name])):
            raise PosekitError(f"{path}: {name} differs from what was written; is the disk whole?")
    conversion.written = [path.name]
    lines = [f"{path.name}, {path.stat().st_size / 1e6:.1f} MB, read back: every number equal"]
    return "\n".join([*lines, *(f"  {n}: {v}" for n, v in sorted(read_metadata(path).items()))])


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.flatten().view(torch.uint8)  # equal also where a number is NaN


def _folder(wishes: Wishes) -> Path:
    if wishes.folder is None:
        return new_folder(f"convert-{wishes.network}")
    folder = Path(os.path.expanduser(wishes.folder))
    if (folder / RUN_WEIGHTS).exists():
        raise PosekitError(f"folder={wishes.folder!r} holds {RUN_WEIGHTS}: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PosekitError(f"folder={wishes.folder!r}: {error.strerror}") from error
    return folder


def export(conversion: Conversion) -> str:
    """Write ONNX and the model card if they are wished; how far ONNX is from the original.

    Raises:
        PosekitError: the network cannot be exported at this size, or differs afterwards.
    """
    if not conversion.wishes.onnx:
        return "onnx is False: no ONNX file, no model card"
    path = conversion.folder / f"{conversion.wishes.network}.onnx"
    size = conversion.image_size
    conversion.exported = export_onnx(conversion.model, path, size, conversion.skeleton)
    conversion.written += [file.name for file in conversion.exported.files]
    return f"{conversion.exported}\npictures of {size[0]} x {size[1]} pixels (h, w)"


def card(conversion: Conversion) -> Any:
    """The model card, for display."""
    from IPython.display import Markdown

    if conversion.exported is None:
        return Markdown("no model card: it belongs to the ONNX file")
    return Markdown(conversion.exported.files[-1].read_text(encoding="utf-8"))


def finish(conversion: Conversion) -> str:
    """Write conversion.json, the record of what was done; where everything is, as text."""
    report, exported = conversion.report, conversion.exported
    record = {
        "story": conversion.story,
        "source": [path.name for path in conversion.files],
        "network": conversion.wishes.network,
        "options": conversion.options,
        "matched": report.matched,
        "converted": report.converted,
        "ignored": report.ignored,
        "onnx_difference": exported.difference if exported else None,
        "files": conversion.written,
    }
    write_text(conversion.folder / "conversion.json", json.dumps(record, indent=1))
    weights = conversion.folder / RUN_WEIGHTS
    lines = [f"results {conversion.folder}", f"files   {', '.join(conversion.written)}"]
    return "\n".join(
        [*lines, f"watch   papermill notebooks/demo.ipynb out.ipynb -p network {weights}"]
    )
