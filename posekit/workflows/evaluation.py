"""The steps of notebooks/evaluate.ipynb: any network, scored by the pipeline of the others.

The network is an ONNX file of anybody's, the folder of a run, or a name of the registry with a
weights file. What it was trained with decides how it is tested, unless a parameter says otherwise.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, create_model

from ..config.machine import choose_machine
from ..config.resolve import Config, resolve_source
from ..config.settings import Settings, check, problems
from ..data import dataset, dataset_name
from ..errors import PosekitError
from ..files.places import smoke
from ..geometry.skeletons import convert
from ..inference.open_network import Found, find_network
from ..models import cost, list_models
from ..models.onnx_complexity import onnx_cost
from ..weights.onnx_reader import OnnxNetwork
from .training import error_gallery, evaluate, finish, heatmaps, load
from .training.experiment import Experiment
from .training.opening import open_run

__all__ = ["build", "error_gallery", "evaluate", "finish", "heatmaps", "load", "protocol", "start"]

Three = tuple[float, float, float]
_TITLE = "the evaluate notebook cannot run with this:"


class EvaluationKnobs(Settings):
    """Which network is scored; how it is tested are further knobs, those of its family."""

    model: str = Field(
        "hrnet_w32", description="an .onnx file, a run folder, or a name of posekit.list_models()"
    )
    weights: str | None = Field(None, description="weights file for a name; None for random ones")
    skeleton: str | None = Field(None, description="the network's joints, for an .onnx file")
    colour: Literal["rgb", "bgr"] | None = Field(None, description="order of channels, .onnx only")
    mean: Three | None = Field(None, description="subtracted from pixels 0..255, .onnx only")
    std: Three | None = Field(None, description="divides what is left, .onnx only")
    half_pixel: bool | None = Field(None, description="maps align at pixel centres, .onnx only")


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
    known = {
        n: v for n, v in namespace.items() if n in EvaluationKnobs.model_fields and v is not None
    }
    if wrong := problems(EvaluationKnobs, known):
        raise PosekitError("\n  ".join([_TITLE, *wrong]))
    source = EvaluationKnobs(**known)
    name = dataset_name(namespace.get("dataset") or "COCO")
    found = _find(source, name, namespace.get("width"))
    tested = type(found.settings)
    kind = create_model("EvaluationSettings", __base__=(EvaluationKnobs, tested))
    given = check(kind, namespace, _TITLE)
    values = found.settings.model_dump(exclude={"source", "data_root", "eval_split", "holdout"})
    filled = values | _read_as(found) | {"dataset": name}
    filled = {n: v for n, v in filled.items() if n in kind.model_fields and n not in given}
    if wrong := problems(kind, filled | given):
        raise PosekitError("\n  ".join([f"{_TITLE} {found.story}", *wrong]))
    settings = kind.model_validate(filled | given)
    if found.about.name in list_models():
        settings.check_shapes(found.joints or dataset(name).skeleton)
    source_name, root = resolve_source(name, settings.source, settings.data_root)
    origins = dict.fromkeys(kind.model_fields, "default") | dict.fromkeys(filled, found.origin)
    usual = {n: field.default for n, field in kind.model_fields.items()}
    origins |= {n: "you" for n in given if getattr(settings, n) != usual[n]}
    config = Config("evaluate", found.about.name, settings, origins, source_name, root, smoke())
    machine = choose_machine(settings.device, settings.precision, settings.workers)
    return Evaluation(config, open_run(config), machine, found.about, found=found)


def _find(source: EvaluationKnobs, dataset: str, width: Any) -> Found:
    """The network that the parameters name.

    Raises:
        PosekitError: nothing of that name exists, or a parameter does not go with it.
    """
    is_file, is_name = source.model.lower().endswith(".onnx"), _is_name(source.model)
    onnx = source.model_dump(include={"skeleton", "colour", "mean", "std", "half_pixel"})
    given = {n: v for n, v in onnx.items() if v is not None and not is_file}
    given |= {"weights": source.weights} if source.weights and not is_name else {}
    if given:
        raise PosekitError(
            f"{', '.join(given)}: not for model={source.model!r}, which knows it by itself"
        )
    onnx["colour"] = source.colour and source.colour.upper()
    name = f"{source.model}@{source.weights}" if source.weights else source.model
    return find_network(name, dataset, {"width": width} if width else {}, onnx)


def _is_name(model: str) -> bool:
    """Whether this names a network, perhaps one from outside, and no file."""
    return model in list_models() or ":" in model


def _read_as(found: Found) -> dict[str, Any]:
    """What the network eats, as parameters."""
    names = ("skeleton", "mean", "std", "half_pixel")
    return {n: getattr(found.about, n) for n in names} | {"colour": found.about.colour.lower()}


def build(evaluation: Evaluation) -> str:
    """Make the network with its weights.

    Returns:
        What it is, as text.

    Raises:
        PosekitError: its joints are not enough for the score, or its weights do not fit.
    """
    settings, found, clips = evaluation.settings, evaluation.found, evaluation.train
    joints = clips.skeleton
    _check_joints(evaluation)
    torch.manual_seed(0)
    model = found.build(settings, joints)
    about = model.description
    inputs = settings.one_clip(about)
    if about.num_keypoints not in (0, len(joints)):
        raise PosekitError(
            f"{about.name} returns {about.num_keypoints} maps, {joints.name} has {len(joints)} "
            "joints: set skeleton to the one that it was trained with"
        )
    is_file = isinstance(model, OnnxNetwork)
    work = onnx_cost(model.path, *settings.image_size) if is_file else cost(model, *inputs)
    evaluation.run.update(
        notes=[found.story, *evaluation.run.record.notes],
        model=about.name,
        params_count=work.params,
        gmacs=work.gmacs,
        paper_title=about.paper,
    )
    model.to(evaluation.machine.device)
    evaluation.task = settings.task(model, joints)
    legacy = "" if is_file else f", {work.legacy_gflops:.3f} GFLOPs as HRNet's repository counts"
    lines = [
        f"{about.name}: {about.paper}",
        found.story,
        f"input {' and '.join(str(tuple(i.shape)) for i in inputs)} {about.colour}, "
        f"output {work.output}, joints of {joints.name}",
        f"{work.params:,} parameters, {work.gmacs:.3f} GMACs{legacy}",
    ]
    evaluation.network = "\n".join(lines)
    return evaluation.network


def _check_joints(evaluation: Evaluation) -> None:
    """Refuse a network that does not predict all the joints that the data set scores."""
    joints, scored = evaluation.train.skeleton, evaluation.train.people.skeleton
    everything = np.zeros((1, len(joints), 2)), np.ones((1, len(joints)), bool)
    lacking = ~convert(*everything, joints, scored)[1][0]
    if lacking.any():
        names = ", ".join(name for name, no in zip(scored.joints, lacking, strict=True) if no)
        raise PosekitError(
            f"{evaluation.about.name} predicts the joints of {joints.name}; "
            f"{evaluation.settings.dataset} scores {names} as well, so it cannot be scored there"
        )


def protocol(evaluation: Evaluation) -> str:
    """How the score was made and what it does not cover, after `evaluate`."""
    record = evaluation.run.record
    return "\n".join([record.protocol, *(f"note: {note}" for note in record.notes)])
