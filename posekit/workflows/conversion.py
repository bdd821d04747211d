"""The steps of notebooks/convert_weights.ipynb: any weights in, safetensors and ONNX out."""

import json
import os
import tempfile
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pydantic
import torch
from IPython.display import Markdown
from torch import nn

from ..config.families import option_fields
from ..config.knobs import Count, Joints, NetworkName
from ..config.settings import check, early, knob, refuse
from ..errors import PosekitError
from ..files.paths import existing_path, named_size, size_note
from ..files.writing import write_text
from ..geometry.skeletons import SKELETONS, USUAL_SKELETON
from ..inference import stored_settings as stored
from ..models import create_model, describe, options_of
from ..reporting.record import trained_runs
from ..reporting.run_folder import new_folder
from ..weights import RUN_WEIGHTS, LoadReport, load_weights, read_metadata, save_weights
from ..weights.identify import identify, open_questions
from ..weights.onnx_export import ExportReport, export_onnx

TITLE = "the convert_weights notebook cannot run with this:"


class ConversionKnobs(NetworkName):
    """What is converted; the options of the network are further knobs."""

    weights: str | list[str] | None = knob("a file, or several with commas, or a run folder", None)
    network: str | None = knob("a name of posekit.list_models()", None)
    num_keypoints: Count | None = knob("joints, for a network of any number", None)
    skeleton: Joints | None = knob("coco, mpii, lsp, penn_action or pose_machine", None)
    image_size: tuple[Count, Count] | None = knob("crop as [h, w], pixels", None)
    onnx: bool = knob("write ONNX and a model card as well", True)
    folder: str | None = knob("where to write; None: a new one in reports/", None)


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
    """

    settings: ConversionKnobs
    files: list[Path]
    story: str
    scratch: Any = None
    model: nn.Module | None = None
    report: LoadReport | None = None
    folder: Path | None = None
    exported: ExportReport | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the crop, pixels: what is set or noted, else the recipe's."""
        usual = stored.usual_settings(self.settings.network, stored.home_of(self.skeleton))
        return self.settings.image_size or usual.image_size

    @property
    def skeleton(self) -> str | None:
        """Name of the joints, None if neither the file, the network nor their number says it."""
        name = describe(self.settings.network).skeleton or self.settings.skeleton
        return name or USUAL_SKELETON.get(self.model.description.num_keypoints)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        settings = self.settings
        return create_model(settings.network, settings.num_keypoints, **settings.options())

    def text(self) -> str:
        """What is read, and as which network."""
        options = "".join(f", {n} {str(v).lower()}" for n, v in self.settings.options().items())
        lines = [self.story, *(f"file     {path}" for path in self.files)]
        lines.append(f"network  {self.settings.network}{options}")
        return "\n".join(filter(None, [*lines, size_note(self.files[0], self.settings.image_size)]))


def start(namespace: MutableMapping[str, Any]) -> Conversion:
    """Check the notebook's parameters, find the files and read what they say about themselves.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, or what is missing.
    """
    asked, scratch, noted = early(ConversionKnobs, namespace, TITLE), None, {}
    if asked.weights:
        files, story = _files(asked.weights), "your weights"
    elif asked.network or asked.skeleton or asked.num_keypoints:
        raise PosekitError(f"{TITLE}\n  weights: set it, a network alone is no file")
    elif runs := trained_runs():
        files = [runs[0][0]]
        story = f"no weights given: those of the newest finished run, {files[0].name}"
    else:
        scratch = tempfile.TemporaryDirectory(prefix="posekit-convert-")
        files = [_example(Path(scratch.name))]
        story = "no weights given, no finished run: an example of a published file, RANDOM weights"
        noted = {"network": "pose_resnet_50", "width": 0.125, "image_size": (64, 64)}
    noted |= _noted(files[0])
    if not (network := asked.network or noted.get("network")):
        seen = "".join(f"\n  {path}: {identify(path)}" for path in files if path.is_file())
        raise PosekitError(f"{TITLE}\n  network: set it, no file says which it holds{seen}")
    job = Conversion(_settings(namespace, network, noted), files, story, scratch)
    options = job.settings.options()
    refuse(TITLE, [line for file in files for line in open_questions(network, file, options)])
    return job


def _files(weights: str | list[str]) -> list[Path]:
    """Paths, looked for below the current folder and then below the project."""
    if isinstance(weights, str):
        weights = [weights] if existing_path(weights).exists() else weights.split(",")
    return [stored.weights_path(text) for text in weights]


def _example(folder: Path) -> Path:
    """A narrow network in the shape of a published training checkpoint."""
    torch.manual_seed(0)
    state = create_model("pose_resnet_50", width=0.125).state_dict()
    content = {"epoch": 140, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    path = folder / "checkpoint.pth.tar"
    torch.save(content | {"optimizer": {"lr": 0.001}}, path)
    return path


def _noted(file: Path) -> dict[str, Any]:
    """What a file or a run says about the network that it is for."""
    noted = {"image_size": size} if (size := named_size(file)) else {}
    noted |= read_metadata(file / RUN_WEIGHTS if file.is_dir() else file)
    if (file / "params.yaml").is_file():
        settings = stored.run_settings(file)
        options = settings.options() | {"image_size": settings.image_size}
        return options | noted | {"network": settings.network}
    return noted | ({"network": noted["model"]} if noted.get("model") else {})


def _settings(
    namespace: MutableMapping[str, Any], network: str, noted: dict[str, Any]
) -> ConversionKnobs:
    """The parameters with what the files note, refused where they make no sense together."""
    fields = option_fields(network)
    kind = pydantic.create_model("ConversionSettings", __base__=ConversionKnobs, **fields)
    values = {n: v for n, v in noted.items() if n in kind.model_fields}
    settings = kind.made(values | check(kind, namespace, TITLE) | {"network": network}, TITLE)
    if (name := settings.skeleton) is None:
        return settings
    own, count, given = describe(network).skeleton, len(SKELETONS[name]), settings.num_keypoints
    if own not in (None, name):
        raise PosekitError(f"{TITLE}\n  skeleton={name!r}: {network} has {own}")
    if given not in (None, count):
        raise PosekitError(f"{TITLE}\n  num_keypoints={given}: {name} has {count}")
    return settings.model_copy(update={"num_keypoints": count})


def load(job: Conversion) -> str:
    """Build the network and put the weights in, all or none; what was done, as text.

    Raises:
        PosekitError: the files cannot be read, hold code, or belong to another network.
    """
    files, model = job.files, job.build()
    job.report = load_weights(model, files if len(files) > 1 else files[0])
    job.model = model.eval()
    numbers, joints = sum(p.numel() for p in model.parameters()), model.description.num_keypoints
    known = job.skeleton or "unknown: set skeleton"
    return f"{job.report}\nthe network has {numbers:,} parameters, {joints} joints ({known})"


def save(job: Conversion) -> str:
    """Write weights.safetensors and read it back; what is noted in it, as text.

    Raises:
        PosekitError: the folder cannot be written, or holds results already.
    """
    settings, model, about = job.settings, job.model, job.model.description
    job.folder = job.folder or _folder(settings)
    path = job.folder / RUN_WEIGHTS
    noted = {n: v for n, v in _noted(job.files[0]).items() if n in stored.NOTED}
    noted |= {n: getattr(about, n) for n in ("paper", "colour", "num_keypoints")}
    noted |= {"skeleton": SKELETONS[job.skeleton].address} if job.skeleton else {}
    noted |= {n: getattr(settings, n) for n in options_of(settings.network)}
    noted |= {"image_size": list(job.image_size), "source": ", ".join(f.name for f in job.files)}
    save_weights(model, path, {name: str(value) for name, value in noted.items()})
    again, state = job.build(), model.state_dict()
    load_weights(again, path)
    for name, value in again.state_dict().items():
        # As bytes, which are equal also where a number is NaN.
        if not torch.equal(*(t.flatten().view(torch.uint8) for t in (value, state[name]))):
            raise PosekitError(f"{path}: {name} differs from what was written; is the disk whole?")
    lines = [f"{path.name}, {path.stat().st_size / 1e6:.1f} MB, read back: every number equal"]
    return "\n".join([*lines, *(f"  {n}: {v}" for n, v in sorted(read_metadata(path).items()))])


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


def export(job: Conversion) -> str:
    """Write ONNX and the model card if asked; how far ONNX is from the original.

    Raises:
        PosekitError: the network cannot be exported at this size, or differs afterwards.
    """
    if not job.settings.onnx:
        return "onnx is False: no ONNX file, no model card"
    path, size = job.folder / f"{job.model.description.name}.onnx", job.image_size
    job.exported = export_onnx(job.model, path, size, job.skeleton)
    return f"{job.exported}\npictures of {size[0]} x {size[1]} pixels (h, w)"


def card(job: Conversion) -> Any:
    """The model card, for display."""
    if job.exported is None:
        return Markdown("no model card: it belongs to the ONNX file")
    return Markdown(job.exported.files[-1].read_text(encoding="utf-8"))


def finish(job: Conversion) -> str:
    """Write conversion.json, the record of what was done; where everything is, as text."""
    exported = job.exported.files if job.exported else ()
    files = [RUN_WEIGHTS, *(file.name for file in exported)]
    record = asdict(job.report) | {
        "story": job.story,
        "source": [path.name for path in job.files],
        "network": job.settings.network,
        "options": job.settings.options(),
        "onnx_difference": job.exported and job.exported.difference,
        "files": files,
    }
    write_text(job.folder / "conversion.json", json.dumps(record, indent=1))
    watch = f"papermill notebooks/demo.ipynb out.ipynb -p network {job.folder / RUN_WEIGHTS}"
    return f"results {job.folder}\nfiles   {', '.join(files)}\nwatch   {watch}"
