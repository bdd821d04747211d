"""The steps of notebooks/evaluate.ipynb: any network, scored by the pipeline of the others.

The network is an ONNX file of anybody's, the folder of a run, or a name of the registry with a
weights file. What it was trained with decides how it is tested, unless a parameter says otherwise.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from ..config.knobs import DataKnobs, Joints
from ..config.resolve import Config, resolve_source
from ..config.settings import Settings, check, early, is_set, knob
from ..data import dataset, dataset_name
from ..data.own.spec import OwnDataSet
from ..errors import PosekitError
from ..files.paths import existing_path, named_size, smoke
from ..inference import stored_settings as stored
from ..inference.open_network import ONNX_INPUT, Found, check_joints, find_network
from ..models import list_models
from ..models.registry import Width
from ..reporting.record import read_record
from .default_networks import default_networks
from .training import building, error_gallery, evaluate, evaluate_leniently, finish, heatmaps, load
from .training.experiment import Experiment
from .training.live import browse
from .training.opening import begin

__all__ = [
    "browse", "build", "error_gallery", "evaluate", "finish", "heatmaps", "lenient", "load",
    "protocol", "start",
]  # fmt: skip

Three = tuple[float, float, float]
_TITLE = "the evaluate notebook cannot run with this:"


class EvaluationKnobs(Settings):
    """Which network is scored; how it is tested are further knobs, those of its family."""

    model: str | None = knob("run folder, .onnx file or name; None for the newest run", None)
    weights: str | None = knob("weights file for a name, or random", None)
    width: Width | None = knob("multiplier on channels", None)
    skeleton: Joints | None = knob("the network's joints, for an .onnx file", None)
    colour: Literal["rgb", "bgr"] | None = knob("order of channels, .onnx only", None)
    mean: Three | None = knob("subtracted from pixels 0..255, .onnx only", None)
    std: Three | None = knob("divides what is left, .onnx only", None)
    half_pixel: bool | None = knob("maps align at pixel centres, .onnx only", None)


@dataclass
class Evaluation(Experiment):
    """One evaluation: an `Experiment` that trains nothing.

    Attributes:
        found: the network.
    """

    found: Found | None = None


def start(namespace: MutableMapping[str, Any]) -> Evaluation:
    """Check the notebook's parameters, find the network and open the run folder.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, before any work.
    """
    asked = early(EvaluationKnobs, namespace, _TITLE)
    name = dataset_name(namespace["dataset"]) if is_set(namespace.get("dataset")) else None
    unasked = {} if asked.model else {"model": default_networks(["hrnet_w32"], name)[0]}
    asked = asked.model_copy(update=unasked)
    record = read_record(existing_path(asked.model))
    name = _own_data(asked.model) or name or (record and record.dataset) or "COCO"
    found = _find(asked, name)
    kind = create_model("EvaluationSettings", __base__=(EvaluationKnobs, type(found.settings)))
    given = check(kind, namespace, _TITLE) | {"dataset": name}
    about = found.about
    values = found.settings.model_dump(exclude=DataKnobs.model_fields.keys() - {"boxes"})
    values |= {n: getattr(about, n) for n in ONNX_INPUT}
    values |= {"dataset": name, "colour": about.colour.lower()}
    values |= unasked
    if record and record.dataset == name and not is_set(namespace.get("data_root")):
        values["source"] = record.source
    filled = {n: v for n, v in values.items() if n not in given}
    settings = kind.made(filled | given, f"{_TITLE} {found.story}")
    found.check(settings, f"{_TITLE} {found.story}")
    if not found.onnx:
        settings.check_shapes(found.joints or dataset(name).skeleton)
    source, root = resolve_source(name, settings.source, settings.data_root)
    usual = {n: field.default for n, field in kind.model_fields.items()}
    origins = dict.fromkeys(usual, "default") | dict.fromkeys(filled, found.origin)
    if found.origin == "the recipe" and named_size(found.weights) == settings.image_size:
        origins["image_size"] = "the file's name"
    origins |= dict.fromkeys(unasked, "a test" if smoke() else "the newest finished run")
    origins |= {n: "you" for n in given if getattr(settings, n) != usual[n]}
    config = Config("evaluate", about.name, settings, origins, source, root, smoke())
    evaluation = begin(Evaluation, config, about, found=found)
    evaluation.run.update(trained=found.trained)
    return evaluation


def _own_data(model: str) -> str | None:
    """The data set of the reader's own that a run was trained on, which only that run knows."""
    if not (folder := existing_path(model)).is_dir() or not (folder / "params.yaml").is_file():
        return None
    spec = dataset(stored.run_settings(folder).scored)
    return spec.name if isinstance(spec, OwnDataSet) else None


def _find(asked: EvaluationKnobs, dataset: str) -> Found:
    """The network that the parameters name.

    Raises:
        PosekitError: nothing of that name exists, or a parameter does not go with it.
    """
    is_file = asked.model.lower().endswith(".onnx")
    is_name = asked.model in list_models() or ":" in asked.model  # perhaps one from outside
    names = [*(("width",) if is_file else ONNX_INPUT), *(() if is_name else ("weights",))]
    if foreign := [name for name in names if getattr(asked, name) is not None]:
        raise PosekitError(
            f"{', '.join(foreign)}: not for model={asked.model!r}, which knows it by itself"
        )
    name = f"{asked.model}@{asked.weights}" if asked.weights else asked.model
    known = {n: getattr(asked, n) for n in ("width", *ONNX_INPUT)}
    known["colour"] = asked.colour and asked.colour.upper()
    return find_network(name, dataset, known)


def build(evaluation: Evaluation) -> str:
    """Make the network with its weights.

    Returns:
        What it is, as text.

    Raises:
        PosekitError: its joints are not enough for the score, or its weights do not fit.
    """
    found, joints = evaluation.found, evaluation.train.skeleton
    check_joints(evaluation.about.name, joints, evaluation.settings.dataset)
    model = found.build(evaluation.settings, joints)
    notes = [found.told(evaluation.settings)]
    if (file := found.settings.box_file) and not evaluation.settings.box_file:
        used = f"the run was scored on the boxes of {Path(file).name}"
        notes.append(f"{used}, which are not taken over: set box_file to score them")
    evaluation.run.update(notes=[*notes, *evaluation.run.record.notes])
    return building.use(evaluation, model, [f"joints of {joints.name}", *notes])


def lenient(evaluation: Evaluation) -> Any:
    """MobilePose-master's lenient table, of pose machines; else why there is none."""
    if evaluation.about.family == "pose_machine" and evaluation.run.record.metric:
        return evaluate_leniently(evaluation)
    return "the lenient metric of MobilePose-master is for the scores of pose machines"


def protocol(evaluation: Evaluation) -> str:
    """How the score was made and what it does not cover, after `evaluate`."""
    record = evaluation.run.record
    return "\n".join([record.protocol, *(f"note: {note}" for note in record.notes)])
