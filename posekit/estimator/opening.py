"""Any network as an `Estimator`: run folders, weight files, names, ONNX files."""

import json
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import TypeAdapter, ValidationError

from .. import experiment
from ..data.framing import Framing
from ..errors import PosekitError
from ..knobs import Pixels
from ..models import describe, list_models
from ..places import near
from ..recipes import RECIPES, Recipe
from ..results import read_record
from ..skeletons import SKELETONS, Skeleton, skeleton
from ..train.pose_machine import PoseMachineTask
from ..train.top_down import TopDownTask
from ..weights import RUN_WEIGHTS, load_weights, read_metadata
from ..weights.files import read_file
from ..weights.onnx_in import load_onnx
from ..weights.whose import owner_of
from .look import Estimator

_GUESSES = ("coco", "mpii", "lsp", "penn_action")  # skeletons of files that do not say theirs
_CROP = TypeAdapter(tuple[Pixels, Pixels])
_SMALL = {"width": 0.125, "image_size": (64, 64), "weight_init": "he"}  # of untrained networks


@dataclass(frozen=True)
class Wanted:
    """What a notebook says about a network beside its name; None leaves it to the file.

    Attributes:
        skeleton: name of its joints.
        image_size: (h, w) of the crop.
        flip_test: average with the mirror image.
        device: where to compute.

    Raises:
        PosekitError: image_size is no size of a crop.
    """

    skeleton: str | None
    image_size: tuple[int, int] | None
    flip_test: bool
    device: torch.device

    def __post_init__(self) -> None:
        """Refuse an impossible crop before anything is opened."""
        if self.image_size is None:
            return
        try:
            _CROP.validate_python(self.image_size, strict=True)
        except ValidationError as error:
            raise PosekitError(
                f"image_size={self.image_size!r}: must be (h, w), whole multiples of 8 pixels "
                "from 16"
            ) from error


def open_estimator(source: str, wanted: Wanted) -> Estimator:
    """Open a network by whatever the reader has.

    Args:
        source: a run folder, an ONNX file, weights of posekit's own (.safetensors), `NAME@FILE` for
            the weights of others, or the name of a network alone, untrained.
        wanted: what the reader knows better.

    Raises:
        PosekitError: there is no such thing, or it does not fit.
    """
    source, path = source.strip(), Path(os.path.expanduser(source.strip()))
    name, at, file = source.partition("@")
    if source in list_models():
        return untrained(source, wanted)
    if at and name in list_models():
        return _of_file(name, Path(os.path.expanduser(file)), wanted)
    if path.is_dir():
        return _of_run(path, wanted)
    if not path.is_file():
        raise PosekitError(
            f"network={source!r}: no such run folder, file or network"
            f"{near(source, list_models()) or '; networks are ' + ', '.join(list_models())}"
        )
    if path.suffix.lower() == ".onnx":
        return _of_onnx(path, wanted)
    if path.suffix.lower() == ".safetensors":
        stored = read_metadata(path)
        if stored.get("model") in list_models():
            return _of_file(stored["model"], path, wanted, stored)
    raise PosekitError(
        f"{path} does not say which network it holds: write NAME@{path.name} with a name of "
        "posekit.list_models(), such as hrnet_w32@FILE"
    )


def untrained(name: str, wanted: Wanted) -> Estimator:
    """A network with random weights, small, to see the machinery move."""
    small = {**_SMALL, "image_size": wanted.image_size or _SMALL["image_size"]}
    recipe = experiment.recipe_of_network(name, changes=small)
    about = f"{name} untrained: random weights at an eighth of its width, its poses mean nothing"
    torch.manual_seed(0)
    joints = _joints(name, wanted)
    return _estimator(name, about, False, recipe, joints, wanted)


def read_params(folder: Path) -> dict[str, Any]:
    """The parameters of a run, as its folder holds them.

    Raises:
        PosekitError: there is no params.yaml, or it is damaged.
    """
    path = folder / "params.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:160]
        raise PosekitError(f"{path} cannot be used: {reason}: copy the run folder again") from error
    if not isinstance(values, dict):
        raise PosekitError(
            f"{path} cannot be used: it holds no `name: value` lines: copy the run folder again"
        )
    return values


def recipe_of_run(folder: Path, paper: str, values: Mapping[str, Any]) -> Recipe:
    """The recipe of a run from parameters in its folder.

    Raises:
        PosekitError: a value is not possible, or one is missing.
    """
    try:
        return RECIPES[paper].model_validate({**values, "paper": paper})
    except (ValueError, TypeError) as error:
        reason = _mistakes(error) if isinstance(error, ValidationError) else error
        raise PosekitError(
            f"{folder / 'params.yaml'} cannot be used: {reason}: copy the run folder again"
        ) from error


def _of_run(folder: Path, wanted: Wanted) -> Estimator:
    record, file = read_record(folder), folder / RUN_WEIGHTS
    paper = record.get("paper")
    if not isinstance(paper, str) or paper not in RECIPES or not file.is_file():
        raise PosekitError(f"{folder} is no run folder with metrics.json and {RUN_WEIGHTS}")
    recipe = recipe_of_run(folder, paper, read_params(folder) | {"init": None})
    stored = noted_skeleton(file, read_metadata(file))
    joints = skeleton(stored or _joints(recipe.network, wanted).name)
    data = "the generated sample of " if record.get("source") == "sample" else ""
    about = f"{recipe.network} of run {folder.name}, trained on {data}{record.get('dataset')}"
    name = recipe.network
    if recipe.covering:
        name, about = f"{name} ({recipe.covering})", f"{about}, crops covered by {recipe.covering}"
    return _estimator(name, about, True, recipe, joints, wanted, file)


def _of_file(
    name: str, path: Path, wanted: Wanted, stored: Mapping[str, str] | None = None
) -> Estimator:
    """A network by name with weights of a file, which may lack its skeleton and sizes."""
    if not path.is_file():
        raise PosekitError(f"{path}: no such weight file.")
    if stored is None:
        stored = read_metadata(path) if path.suffix == ".safetensors" else {}
    usual = experiment.recipe_of_network(name)
    fields = type(usual).model_fields.keys() - {"paper", "dataset", "source", "init"}
    told = {k: _value(v) for k, v in stored.items() if k in fields}
    width = _told_recipe(name, path, told).width if "width" in told else None
    tensors = {} if path.suffix.lower() == ".caffemodel" else read_file(path).tensors
    seen = owner_of(tensors, [name], width=width).options
    told = {k: "none" if v is None else v for k, v in seen.items()} | told
    recipe = _told_recipe(name, path, told)
    about = f"{name} with the weights of {path.name}"
    given = wanted.skeleton or noted_skeleton(path, stored) or describe(name).skeleton
    joints = skeleton(given or _guess(recipe, tensors))
    return _estimator(name, about, True, recipe, joints, wanted, path)


def _told_recipe(name: str, path: Path, told: Mapping[str, Any]) -> Recipe:
    """The recipe of a network with the values that its file tells."""
    try:
        return experiment.recipe_of_network(name, changes=told)
    except ValidationError as error:
        raise PosekitError(
            f"{path}: its metadata make no network: {_mistakes(error)}: write the file again with "
            "save_weights"
        ) from error


def noted_skeleton(path: Path, stored: Mapping[str, str]) -> str | None:
    """The name of the joints in the metadata of a weight file, None where it tells none.

    Raises:
        PosekitError: there is no such skeleton.
    """
    name = stored.get("skeleton")
    if name is not None and name not in SKELETONS:
        raise PosekitError(
            f"{path}: its metadata say skeleton={name[:40]!r}, which is not one of "
            f"{', '.join(SKELETONS)}: write the file again with save_weights"
        )
    return name


def _mistakes(error: ValidationError) -> str:
    """The fields that a recipe refuses, with what is wrong with each."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc']))}={reprlib.repr(e.get('input'))}: {e['msg']}"
        for e in error.errors(include_url=False)
    )


def _guess(recipe: Recipe, tensors: Mapping[str, torch.Tensor]) -> str:
    """The first skeleton whose number of joints fits the weights; coco if none does."""
    for guess in _GUESSES:
        own = experiment.network_of(recipe, skeleton(guess)).state_dict()
        if all(tensors[key].shape == own[key].shape for key in own.keys() & tensors.keys()):
            return guess
    return _GUESSES[0]  # load_weights explains what is wrong


def _of_onnx(path: Path, wanted: Wanted) -> Estimator:
    network = load_onnx(path, skeleton=wanted.skeleton)
    about = network.description
    if about.kind != "image" or about.skeleton not in SKELETONS:
        raise PosekitError(
            f"{path} has {about.num_keypoints} maps for a {about.kind}: set skeleton to one of "
            f"{', '.join(SKELETONS)}; networks of one frame can be shown"
        )
    size = wanted.image_size or network.input_size or (256, 192)
    joints = skeleton(about.skeleton)
    if len(joints) != about.num_keypoints:
        raise PosekitError(
            f"{path} has {about.num_keypoints} joints, the skeleton {joints.name} {len(joints)}"
        )
    if about.centre_map:
        task, framing = PoseMachineTask(network, 1.0, 21.0), Framing(size, 1.25)
    else:
        task = TopDownTask(network, joints, sigma=2.0)
        framing = Framing(size, 1.25, half_pixel=False, fill=0)
    about = f"{path.name}, {len(joints)} joints of {joints.name}, input {size[0]} x {size[1]}"
    return Estimator(path.stem, about, True, task, joints, framing, wanted.device, wanted.flip_test)


def _estimator(
    name: str,
    about: str,
    trained: bool,
    recipe: Recipe,
    joints: Skeleton,
    wanted: Wanted,
    weights: Path | None = None,
) -> Estimator:
    """Build the recipe's network, fill it, and frame people as it was trained on them."""
    if wanted.image_size:
        recipe = recipe.model_copy(update={"image_size": wanted.image_size})
    model = experiment.network_of(recipe, joints)
    if weights:
        load_weights(model, weights)
    model.eval().to(wanted.device)
    task = experiment.make_task(recipe, model, joints)
    framing = experiment.crops_of(recipe, joints)[0]
    return Estimator(name, about, trained, task, joints, framing, wanted.device, wanted.flip_test)


def _joints(name: str, wanted: Wanted) -> Skeleton:
    return skeleton(describe(name).skeleton or wanted.skeleton or "coco")


def _value(text: str) -> Any:
    """A value that was stored as text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
