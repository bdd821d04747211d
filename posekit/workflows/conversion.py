"""The steps of notebooks/convert_weights.ipynb: any weights in, safetensors and ONNX out."""

import json
import os
import tempfile
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, create_model
from torch import nn

from .. import models
from ..config.families import option_fields
from ..config.knobs import Count
from ..config.settings import Settings, check, problems
from ..data import DATASETS
from ..errors import PosekitError
from ..files.places import project_root
from ..files.words import near
from ..files.writing import write_text
from ..geometry.skeletons import SKELETONS
from ..inference.stored_settings import (
    NOTED,
    noted_metadata,
    run_settings,
    usual_settings,
)
from ..models import describe, list_models, options_of
from ..reporting.record import trained_runs
from ..reporting.run_folder import new_folder
from ..weights import RUN_WEIGHTS, LoadReport, load_weights, read_metadata, save_weights
from ..weights.identify import identify
from ..weights.onnx_export import ExportReport, export_onnx

TITLE = "the convert_weights notebook cannot run with this:"
_BY_JOINTS = {17: "coco", 16: "mpii"}


class ConversionKnobs(Settings):
    """What is converted; the options of the network are further knobs."""

    weights: str | list[str] | None = Field(
        None, description="a file, or several with commas, or a run folder"
    )
    network: str | None = Field(None, description="a name of posekit.list_models()")
    num_keypoints: Count | None = Field(None, description="joints, for a network of any number")
    skeleton: str | None = Field(None, description="coco, mpii, lsp, penn_action or pose_machine")
    image_size: tuple[Count, Count] | None = Field(None, description="crop as [h, w], pixels")
    onnx: bool = Field(True, description="write ONNX and a model card as well")
    folder: str | None = Field(None, description="where to write; None: a new one in reports/")


@dataclass
class Conversion:
    """What every later step needs from the earlier ones.

    Attributes:
        settings: the checked parameters, filled up with what the files say about themselves.
        files: weight files, or one run folder.
        story: where they come from.
        scratch: keeps the example's temporary folder alive.
        model: the network, after `load`.
        report: what was loaded.
        folder: of the results, after `save`.
        exported: what was written as ONNX, if anything.
        written: names of the files in the folder.
    """

    settings: ConversionKnobs
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
        usual = options_of(self.settings.network).items()
        values = {name: getattr(self.settings, name) for name, _ in usual}
        return {name: values[name] for name, option in usual if values[name] != option.default}

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the crop, pixels: what is set or noted, else the recipe's."""
        home = (name for name, spec in DATASETS.items() if spec.skeleton.name == self.skeleton)
        usual = usual_settings(self.settings.network, next(home, None))
        return self.settings.image_size or usual.image_size

    @property
    def skeleton(self) -> str | None:
        """Name of the joints, None if neither the file, the network nor their number says it."""
        name = describe(self.settings.network).skeleton or self.settings.skeleton
        return name or _BY_JOINTS.get(self.model.description.num_keypoints)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        settings = self.settings
        return models.create_model(settings.network, settings.num_keypoints, **self.options)

    def text(self) -> str:
        """What is read, and as which network."""
        options = "".join(f", {n} {str(v).lower()}" for n, v in self.options.items())
        lines = [self.story, *(f"file     {path}" for path in self.files)]
        return "\n".join([*lines, f"network  {self.settings.network}{options}"])


def start(namespace: MutableMapping[str, Any]) -> Conversion:
    """Check the notebook's parameters, find the files and read what they say about themselves.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, or what is missing.
    """
    names = ConversionKnobs.model_fields
    known = {n: v for n, v in namespace.items() if n in names and v is not None}
    if wrong := problems(ConversionKnobs, known):
        raise PosekitError("\n  ".join([TITLE, *wrong]))
    given, scratch, noted = ConversionKnobs(**known), None, {}
    if given.weights:
        files, story = _files(given.weights), "your weights"
    elif given.network or given.skeleton or given.num_keypoints:
        raise PosekitError(f"{TITLE}\n  weights: set it, a network alone is no file")
    elif runs := trained_runs():
        run, _ = runs[0]
        files, story = [run], f"no weights given: those of the newest finished run, {run.name}"
    else:
        scratch = tempfile.TemporaryDirectory(prefix="posekit-convert-")
        files = [_example(Path(scratch.name))]
        story = "no weights given, no finished run: an example of a published file, RANDOM weights"
        noted = {"network": "pose_resnet_50", "width": 0.125, "image_size": (64, 64)}
    noted |= _noted(files[0])
    return Conversion(_settings(namespace, given, noted, files), files, story, scratch)


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


def _example(folder: Path) -> Path:
    """A narrow network in the shape of a published training checkpoint."""
    torch.manual_seed(0)
    state = models.create_model("pose_resnet_50", width=0.125).state_dict()
    content = {"epoch": 140, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    path = folder / "checkpoint.pth.tar"
    torch.save(content | {"optimizer": {"lr": 0.001}}, path)
    return path


def _noted(file: Path) -> dict[str, Any]:
    """What a file or a run says about the network that it is for."""
    weights = file / RUN_WEIGHTS if file.is_dir() else file
    stored: dict[str, Any] = dict(noted_metadata(weights))
    if "image_size" in stored:
        stored["image_size"] = stored["image_size"].strip("[]").split(",")
    if (file / "params.yaml").is_file():
        settings = run_settings(file)
        stored = settings.options() | {"image_size": settings.image_size} | stored
        return stored | {"network": settings.network}
    network = {"network": stored["model"]} if stored.get("model") else {}
    return stored | network


def _settings(
    namespace: MutableMapping[str, Any],
    given: ConversionKnobs,
    noted: dict[str, Any],
    files: list[Path],
) -> ConversionKnobs:
    """The parameters with what the files note, refused where they make no sense together."""
    network = given.network or noted.get("network")
    if network is None:
        seen = "".join(f"\n  {path}: {identify(path)}" for path in files if path.is_file())
        raise PosekitError(f"{TITLE}\n  network: set it, no file says which it holds{seen}")
    if ":" not in network and network not in list_models():
        hint = near(network, list_models()) or f": there are {', '.join(list_models())}"
        raise PosekitError(f"{TITLE}\n  network={network!r}: unknown network{hint}")
    kind = create_model("ConversionSettings", __base__=ConversionKnobs, **option_fields(network))
    values = {n: v for n, v in noted.items() if n in kind.model_fields}
    values |= check(kind, namespace, TITLE) | {"network": network}
    if found := problems(kind, values):
        raise PosekitError("\n  ".join([TITLE, *found]))
    settings = kind(**values)
    if settings.skeleton is None:
        return settings
    if settings.skeleton not in SKELETONS:
        known = ", ".join(SKELETONS)
        raise PosekitError(f"{TITLE}\n  skeleton={settings.skeleton!r}: choose one of {known}")
    own, joints = describe(network).skeleton, len(SKELETONS[settings.skeleton])
    if own not in (None, settings.skeleton):
        raise PosekitError(f"{TITLE}\n  skeleton={settings.skeleton!r}: {network} has {own}")
    if settings.num_keypoints not in (None, joints):
        raise PosekitError(
            f"{TITLE}\n  num_keypoints={settings.num_keypoints}: {settings.skeleton} has {joints}"
        )
    return settings.model_copy(update={"num_keypoints": joints})


def load(conversion: Conversion) -> str:
    """Build the network and put the weights in, all or none; what was done, as text.

    Raises:
        PosekitError: the files cannot be read, hold code, or belong to another network.
    """
    files, model = conversion.files, conversion.build()
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
    settings, model = conversion.settings, conversion.model
    conversion.folder = conversion.folder or _folder(settings)
    path = conversion.folder / RUN_WEIGHTS
    about = model.description
    noted = {n: v for n, v in _noted(conversion.files[0]).items() if n in NOTED}
    noted |= {"paper": about.paper, "colour": about.colour, "num_keypoints": about.num_keypoints}
    noted |= {"skeleton": conversion.skeleton} if conversion.skeleton else {}
    noted |= {"image_size": list(conversion.image_size)}
    noted |= {name: getattr(settings, name) for name in options_of(settings.network)}
    noted |= {"source": ", ".join(file.name for file in conversion.files)}
    save_weights(model, path, {name: str(value) for name, value in noted.items()})
    again = conversion.build()
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


def _folder(settings: ConversionKnobs) -> Path:
    if settings.folder is None:
        return new_folder(f"convert-{describe(settings.network).name}")
    folder = Path(os.path.expanduser(settings.folder))
    if (folder / RUN_WEIGHTS).exists():
        raise PosekitError(f"folder={settings.folder!r} holds {RUN_WEIGHTS}: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PosekitError(f"folder={settings.folder!r}: {error.strerror}") from error
    return folder


def export(conversion: Conversion) -> str:
    """Write ONNX and the model card if they are wished; how far ONNX is from the original.

    Raises:
        PosekitError: the network cannot be exported at this size, or differs afterwards.
    """
    if not conversion.settings.onnx:
        return "onnx is False: no ONNX file, no model card"
    path = conversion.folder / f"{conversion.model.description.name}.onnx"
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
        "network": conversion.settings.network,
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
