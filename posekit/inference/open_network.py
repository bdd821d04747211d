"""Any network as an `Estimator`: run folders, weight files, names, ONNX files."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from ..config.knobs import Pixels, Recipe
from ..data.framing import Framing
from ..errors import PosekitError
from ..files.words import near
from ..geometry.skeletons import MPII, SKELETONS, Skeleton, skeleton
from ..models import describe, list_models
from ..models.families.pose_machine import PoseMachineTask
from ..models.families.top_down import TopDownTask
from ..weights import load_weights
from ..weights.onnx_in import load_onnx
from ..workflows import training as experiment
from .estimator import Estimator
from .stored_settings import noted, noted_skeleton, tensors_of, told_recipe, trained_run

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
                f"image_size={self.image_size!r}: must be (h, w), whole pixels from 16"
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
    if (name := noted(path).get("model")) in list_models():
        return _of_file(name, path, wanted)
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


def _of_run(folder: Path, wanted: Wanted) -> Estimator:
    record, recipe, file = trained_run(folder)
    stored = noted_skeleton(file)
    joints = skeleton(stored or _joints(recipe.network, wanted).name)
    data = "the generated sample of " if record.is_sample else ""
    about = f"{recipe.network} of run {folder.name}, trained on {data}{record.dataset}"
    name = recipe.network
    if recipe.covering:
        name, about = f"{name} ({recipe.covering})", f"{about}, crops covered by {recipe.covering}"
    return _estimator(name, about, True, recipe, joints, wanted, file)


def _of_file(name: str, path: Path, wanted: Wanted) -> Estimator:
    """A network by name with weights of a file, which may lack its skeleton and sizes."""
    if not path.is_file():
        raise PosekitError(f"{path}: no such weight file.")
    recipe = told_recipe(name, path)
    about = f"{name} with the weights of {path.name}"
    given = wanted.skeleton or noted_skeleton(path) or describe(name).skeleton
    joints = skeleton(given or _guess(recipe, path))
    if joints is MPII and recipe.dataset != "MPII":
        recipe = told_recipe(name, path, "MPII")
    return _estimator(name, about, True, recipe, joints, wanted, path)


def _guess(recipe: Recipe, path: Path) -> str:
    """The first skeleton whose number of joints fits the weights; coco if none does."""
    tensors = tensors_of(path)
    for guess in _GUESSES:
        own = experiment.shapes_only(recipe, skeleton(guess)).state_dict()
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
        experiment.try_shapes(recipe, joints)
    model = experiment.network_of(recipe, joints)
    if weights:
        load_weights(model, weights)
    model.eval().to(wanted.device)
    task = experiment.make_task(recipe, model, joints)
    framing = replace(experiment.crops_of(recipe, joints)[0], drop=0.0)  # drop goes with the boxes
    return Estimator(name, about, trained, task, joints, framing, wanted.device, wanted.flip_test)


def _joints(name: str, wanted: Wanted) -> Skeleton:
    return skeleton(describe(name).skeleton or wanted.skeleton or "coco")
