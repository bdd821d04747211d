"""The steps of notebooks/evaluate.ipynb: any network, scored by the pipeline of the others.

The network is an ONNX file of anybody's, the folder of a run, or a name of the registry with a
weights file. What it was trained with decides how it is tested, unless a parameter says otherwise.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import data
from ..config.knobs import NETWORK_OPTIONS, EvaluateRecipe, PoseMachineRecipe, Recipe, TopDownRecipe
from ..config.machine import choose_machine
from ..config.parameters import check, problems
from ..config.recipes import Bound, resolve_source
from ..errors import PosekitError
from ..files.places import project_root, smoke
from ..files.words import near
from ..geometry.skeletons import SKELETONS, Skeleton, convert
from ..inference.stored_settings import noted_skeleton, told_recipe, trained_run
from ..models import Description, cost, describe, list_models
from ..weights import RUN_WEIGHTS, load_weights
from ..weights.onnx_in import OnnxNetwork, load_onnx
from .training import (
    Experiment,
    error_gallery,
    evaluate,
    finish,
    heatmaps,
    load,
    make_task,
    network_of,
    one_clip,
    open_run,
    recipe_of_network,
    shapes_only,
    try_shapes,
)

# What the notebook's parameters decide alone, and what they leave to the network if they are None.
_RUNNING = ("dataset", "boxes", "eval_split", "batch_size", "device", "precision", "workers")
_RUNNING += ("interactive",)
_TESTING = ("width", "image_size", "box_padding", "sigma", "decoder", "flip_test", "shift_heatmap")
_TESTING += ("soft_nms", "test_bias")

__all__ = [
    "EvaluateRecipe",
    "build",
    "error_gallery",
    "evaluate",
    "finish",
    "heatmaps",
    "load",
    "protocol",
    "start",
]


@dataclass(frozen=True)
class Subject:
    """The network that is looked at.

    Attributes:
        about: what it eats and returns, its skeleton where that is known.
        make: builds it for the joints it is asked for, with its weights.
        story: where its weights come from, for the record.
        kind: the family of its recipe.
        values: of the recipe it was trained with, as far as they are known.
        origin: where those come from.
    """

    about: Description
    make: Callable[[Skeleton], nn.Module]
    story: str
    kind: type[Recipe]
    values: dict[str, Any]
    origin: str


@dataclass
class Evaluation(Experiment):
    """One evaluation: an `Experiment` that trains nothing.

    Attributes:
        subject: the network.
    """

    subject: Subject | None = None

    def text(self) -> str:
        """The parameters as a table, with where each value came from."""
        return self.run.bound.text()


def start(namespace: dict[str, Any]) -> Evaluation:
    """Check the notebook's parameters, find the network and open the run folder.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, before any work.
    """
    title = "the evaluate notebook cannot run with this:"
    given = check(EvaluateRecipe, namespace, title)
    recipe = EvaluateRecipe(**given)
    source, root = resolve_source(recipe.dataset, recipe.source, recipe.data_root)
    subject = _find(recipe)
    told = _told(recipe, subject, given, title)
    if told.network in list_models():
        try_shapes(told, data.dataset(recipe.dataset).skeleton)
    filled = {n: getattr(told, n) for n in _TESTING if hasattr(told, n)}
    if "width" not in subject.values:
        filled.pop("width")
    filled |= _eaten(subject.about)
    filled = {n: v for n, v in filled.items() if n not in given and v is not None}
    origins = dict.fromkeys(recipe.knobs(), "default") | dict.fromkeys(filled, subject.origin)
    usual = {n: field.default for n, field in EvaluateRecipe.model_fields.items()}
    origins |= {n: "you" for n in given if getattr(recipe, n) != usual[n]}
    bound = Bound(recipe.model_copy(update=filled), origins, source, root, smoke())
    machine = choose_machine(recipe)
    return Evaluation(
        replace(bound, recipe=told), open_run(bound), machine, about=subject.about, subject=subject
    )


def _told(recipe: EvaluateRecipe, subject: Subject, given: dict[str, Any], title: str) -> Recipe:
    """The recipe that the network is tested by: its own, with what the notebook says.

    Raises:
        PosekitError: a parameter is not possible, or not one of this network.
    """
    known = subject.kind.model_fields.keys()
    if strange := [n for n in _TESTING if n in given and n not in known]:
        raise PosekitError(f"{title}\n  {', '.join(strange)}: not for {recipe.network}")
    values = subject.values | {n: given[n] for n in _TESTING if n in given}
    values |= {n: getattr(recipe, n) for n in _RUNNING if n in known}
    if found := problems(subject.kind, values):
        raise PosekitError("\n  ".join([f"{title} {subject.story}", *found]))
    return subject.kind.model_validate(values)


def _eaten(about: Description) -> dict[str, Any]:
    """What a network eats, as parameters."""
    names = ("skeleton", "mean", "std", "half_pixel")
    return {n: getattr(about, n) for n in names} | {"colour": about.colour.lower()}


def _find(recipe: EvaluateRecipe) -> Subject:
    """What the parameter model names.

    Raises:
        PosekitError: nothing of that name exists, or a parameter does not go with it.
    """
    path, names = _place(recipe.model), list_models()
    is_file = recipe.model.lower().endswith(".onnx")
    misplaced = [n for n in ("skeleton", "colour", "mean", "std", "half_pixel") if not is_file]
    misplaced += ["weights", "width"] if is_file or recipe.model not in names else []
    if used := [n for n in misplaced if getattr(recipe, n) is not None]:
        raise PosekitError(
            f"{', '.join(used)}: not for model={recipe.model!r}, which knows it by itself"
        )
    if is_file:
        return _stored_network(path, recipe)
    if recipe.model in names:
        return _named_network(recipe)
    if (path / "metrics.json").is_file():
        return _trained_network(path)
    known = near(recipe.model, names) or f": there are {', '.join(names)}"
    raise PosekitError(
        f"model={recipe.model!r}: there is no such .onnx file or run folder, and no network of "
        f"that name{known}"
    )


def _place(name: str) -> Path:
    """A path below the current folder, or else below the project."""
    path = os.path.expanduser(name)
    # os.path and not Path, which raises for a text that cannot be a path.
    return Path(path).absolute() if os.path.exists(path) else project_root() / path


def _stored_network(path: Path, recipe: EvaluateRecipe) -> Subject:
    network = load_onnx(
        path,
        skeleton=recipe.skeleton,
        colour=recipe.colour and recipe.colour.upper(),
        mean=recipe.mean,
        std=recipe.std,
        half_pixel=recipe.half_pixel,
    )
    about = network.description
    kind, values = _usual(about, recipe.dataset)
    if network.input_size:
        values["image_size"] = network.input_size
    story = (
        f"{path.name} computed by onnxruntime: {about.colour}, mean {_numbers(about.mean)}, "
        f"std {_numbers(about.std)} of 0..255"
    )
    origin = "the file" if network.told else "usual"
    return Subject(about, lambda joints: network, story, kind, values, origin)


def _named_network(recipe: EvaluateRecipe) -> Subject:
    weights = _place(recipe.weights) if recipe.weights else None
    if weights is None:
        usual = recipe_of_network(recipe.model, recipe.dataset, {"width": recipe.width or 0.25})
    else:
        if not weights.exists():
            raise PosekitError(f"weights={weights}: there is no such file or run folder")
        file = weights / RUN_WEIGHTS if weights.is_dir() else weights
        known = {} if recipe.width is None else {"width": recipe.width}
        usual = told_recipe(recipe.model, file, recipe.dataset, known)
    own = {"init", "source", "data_root", "resume", "recipe", "dataset"}
    values = usual.model_dump(exclude=own)
    joints = data.dataset(recipe.dataset).skeleton
    about = shapes_only(usual, joints).description
    about = replace(about, skeleton=describe(recipe.model).skeleton)

    def make(joints: Skeleton) -> nn.Module:
        model = network_of(usual, joints)
        if weights is not None:
            load_weights(model, weights)
        return model

    if weights is not None:
        options = [f"{n} {getattr(usual, n)}" for n in usual.options() if n in NETWORK_OPTIONS]
        story = ", ".join([f"weights of {weights.name}", *options])
    else:
        values["image_size"] = (64, 64) if about.centre_map else (128, 128)
        story = "RANDOM weights, because none were given: this shows the pipeline and is no result"
    origin = "the recipe" if weights else "usual"
    return Subject(about, make, story, type(usual), values, origin)


def _trained_network(folder: Path) -> Subject:
    record, told, weights = trained_run(folder)
    noted = noted_skeleton(weights)
    if noted is None:
        raise PosekitError(
            f"{weights}: its metadata lack skeleton, the joints that it was trained on: copy the "
            "run folder again"
        )
    trained_on = SKELETONS[noted]

    def make(joints: Skeleton) -> nn.Module:
        model = network_of(told, joints)
        load_weights(model, weights)
        return model

    about = replace(shapes_only(told, trained_on).description, skeleton=trained_on.name)
    story = f"weights of the run {folder.name}, trained on {record.label}"
    values = told.model_dump(exclude={"init", "source", "data_root", "resume"})
    return Subject(about, make, story, type(told), values, "the run")


def _usual(about: Description, dataset: str) -> tuple[type[Recipe], dict[str, Any]]:
    """The family of a network and the usual way of testing it; it is never trained here."""
    never = {"epochs": 1, "optimiser": "adam", "lr": 1.0, "weight_decay": 0.0, "lr_gamma": 1.0}
    never |= {"rotation": 0.0, "flip_prob": 0.0, "network": about.name, "paper": "evaluate"}
    if about.centre_map:
        frames = 5 if about.kind == "clip" else 1
        never |= {"scale_range": (1.0, 1.0), "lr_step": 1, "frames": frames}
        test = {"image_size": (368, 368), "sigma": 7.0, "box_padding": 1.25}
        return PoseMachineRecipe, never | test
    never |= {"scale_factor": 0.0, "lr_milestones": (1,), "shift_heatmap": not about.half_pixel}
    size = (256, 256) if dataset == "MPII" else (256, 192)
    return TopDownRecipe, never | {"image_size": size, "sigma": 2.0}


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def build(evaluation: Evaluation) -> str:
    """Make the network with its weights.

    Returns:
        What it is, as text.

    Raises:
        PosekitError: its joints are not enough for the score, or its weights do not fit.
    """
    recipe, subject, clips = evaluation.recipe, evaluation.subject, evaluation.train
    scored, joints = clips.people.skeleton, clips.skeleton
    everything = np.zeros((1, len(joints), 2)), np.ones((1, len(joints)), bool)
    lacking = ~convert(*everything, joints, scored)[1][0]
    if lacking.any():
        names = ", ".join(name for name, no in zip(scored.joints, lacking, strict=True) if no)
        raise PosekitError(
            f"{subject.about.name} predicts the joints of {joints.name}; {recipe.dataset} scores "
            f"{names} as well, so it cannot be scored there"
        )
    torch.manual_seed(0)
    model = subject.make(joints)
    about = model.description
    inputs = one_clip(model, clips.image_size, clips.rows.shape[1])
    if about.num_keypoints not in (0, len(joints)):
        raise PosekitError(
            f"{about.name} returns {about.num_keypoints} maps, {joints.name} has {len(joints)} "
            "joints: set skeleton to the one that it was trained with"
        )
    is_file = isinstance(model, OnnxNetwork)
    price = model.size(*recipe.image_size) if is_file else cost(model, *inputs)
    evaluation.run.update(
        notes=[subject.story, *evaluation.run.record.notes],
        model=about.name,
        params_count=price.params,
        gmacs=price.gmacs,
        paper_title=about.paper,
    )
    model.to(evaluation.machine.device)
    evaluation.task = make_task(recipe, model, joints)
    legacy = "" if is_file else f", {price.legacy_gflops:.3f} GFLOPs as HRNet's repository counts"
    lines = [
        f"{about.name}: {about.paper}",
        subject.story,
        f"input {' and '.join(str(tuple(i.shape)) for i in inputs)} {about.colour}, "
        f"output {price.output}, joints of {joints.name}",
        f"{price.params:,} parameters, {price.gmacs:.3f} GMACs{legacy}",
    ]
    evaluation.network = "\n".join(lines)
    return evaluation.network


def protocol(evaluation: Evaluation) -> str:
    """How the score was made and what it does not cover, after `evaluate`."""
    record = evaluation.run.record
    return "\n".join([record.protocol, *(f"note: {note}" for note in record.notes)])
