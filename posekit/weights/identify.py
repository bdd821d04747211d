"""Which network a weight file is of, whether it loads, and what it leaves open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import PosekitError
from ..files.paths import named_size
from ..files.words import short
from ..models import create_model, list_models, options_of
from ..models.mobilepose import RAW_MEANS, TrainedOn, named_training_data
from . import lsdnet
from .caffe import convert, family_of
from .caffemodel import read_caffemodel
from .metadata import WeightsMetadata, checked
from .storage import RUN_WEIGHTS, Checkpoint, read_metadata, read_weights

# Counts steps for an averaging mode that no network here uses; files older than 2018 lack it.
STEP_COUNTS = ".num_batches_tracked"
# Options that change which tensors there are, with values other than the usual: files of all exist.
_VARIANTS: dict[str, tuple[Any, ...]] = {"attention": ("se", None), "gcb": (False,)}


@dataclass
class NetworkMatch:
    """What is known of the network that tensors belong to.

    Attributes:
        name: of the registry; None for unknown networks.
        options: of `create_model` that follow from the tensors.
        num_keypoints: K, None where only the names of the tensors fit.
        candidates: networks of the registry whose tensors have these names.
    """

    name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    num_keypoints: int | None = None
    candidates: list[str] = field(default_factory=list)


def match_network(
    tensors: Mapping[str, Tensor],
    names: Sequence[str] | None = None,
    keypoints: Sequence[int] = (17, 16, 14, 13),
    width: float | None = None,
) -> NetworkMatch:
    """The first network that tensors fit in names and shapes, or else in names alone.

    Args:
        tensors: under the network's own names.
        names: of networks to try; None for all.
        keypoints: numbers of joints to try: those of COCO, MPII, LSP, Penn Action.
        width: of the networks; None for 1.
    """
    found = NetworkMatch()
    for name in names or list_models():
        special = _VARIANTS.keys() & options_of(name).keys()
        variants = [{option: value} for option in special for value in _VARIANTS[option]]
        for variant in ({}, *variants):
            for count in keypoints:
                own = _meta_tensors(name, count, width, tuple(variant.items()))
                given = _shapes(lsdnet.complete(own, tensors))
                if own.keys() != given.keys():
                    break
                release = {"survival": "off"} if lsdnet.is_release(own, tensors) else {}
                if _shapes(own) == given:
                    return NetworkMatch(name, variant | release, count, [name])
                found = found if found.name else NetworkMatch(name, variant | release)
                found.candidates += [name] * (name not in found.candidates)
    return found


@cache
def _meta_tensors(
    name: str, keypoints: int, width: float | None, options: tuple[tuple[str, Any], ...]
) -> dict[str, Tensor]:
    size = {} if width is None else {"width": width}
    with torch.device("meta"):  # shapes only, nothing is allocated
        state = create_model(name, keypoints, **size, **dict(options)).state_dict()
    return {n: t for n, t in state.items() if not n.endswith(STEP_COUNTS)}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {n: t.shape for n, t in tensors.items() if not n.endswith(STEP_COUNTS)}


def open_questions(network: str, path: Path, options: Mapping[str, Any]) -> list[str]:
    """What is left to say of a file before its network can be fed and read as it was trained.

    Args:
        network: of the registry.
        path: a weight file or a run folder.
        options: of the network, those that are said already.

    Returns:
        A line for each option with what to set; for a file of MobilePose-master, `trained_on`.
    """
    option, said = options_of(network).get("trained_on"), options.get("trained_on")
    if option is None or option.annotation is not TrainedOn:
        return []
    stored = read_metadata(path / RUN_WEIGHTS if path.is_dir() else path)
    if "model" in stored:  # posekit's own
        noted = next((name for name in RAW_MEANS if name == stored.get("trained_on")), None)
        problem = f"trained_on: the file notes {noted or 'none'}, not {said or 'none'}: set that"
        return [problem] * (noted != said)
    named = named_training_data(path)
    guess = f"{named} if its name is right, else " if named else ""
    problem = (
        "trained_on: colours and sides of MobilePose-master depend on the data set, which the file "
        f"does not say: add -p trained_on {guess}{' or '.join(n for n in RAW_MEANS if n != named)}"
    )
    return [problem] * (said is None)


def identify(path: Path) -> str:
    """What a weight file is and whether it loads, in one line."""
    name = path.name.lower()
    try:
        if name.endswith(".onnx"):
            return _identify_onnx(path)
        if name.endswith(".caffemodel"):
            return _identify_caffe(path)
        return _identify_tensors(path, read_weights(path))
    except PosekitError as error:
        return f"does not load: {_without_path(error, path)}"


def _identify_onnx(path: Path) -> str:
    from .onnx_reader import load_onnx

    network = load_onnx(path)
    about, size = network.description, network.input_size
    shape = f"{size[0]} x {size[1]} pixels" if size else "any size"
    name = short(about.name) if network.described else "network without description"
    joints = f"{about.num_keypoints} maps ({about.skeleton or 'unknown joints'})"
    return f"{name} as ONNX, {joints}, {shape}: loads"


def _identify_caffe(path: Path) -> str:
    family = family_of(path, read_caffemodel(path))
    try:
        result = f"loads ({', '.join(convert(create_model(family), [path]).steps)})"
    except PosekitError as error:
        result = f"does not load alone: {_without_path(error, path)}"
    return f"{family} of Caffe: {result}"


def _identify_tensors(path: Path, stored: Checkpoint) -> str:
    noted, tensors = checked(WeightsMetadata, stored.metadata, path), stored.tensors
    names = [noted.model] if noted.model in list_models() else None
    match = match_network(tensors, names, width=noted.width)
    if match.num_keypoints:
        details = [f", {name} {value}" for name, value in match.options.items()]
        details += [f", width {noted.width:g}"] if noted.width not in (None, 1.0) else []
        details += [f", run {short(noted.run)}"] if noted.run is not None else []
        size = named_size(path)
        details += [f", {size[0]} x {size[1]} pixels by its name"] if size else []
        release = " of the released code" * ("survival" in match.options)
        known = f"{match.name}{release}, {match.num_keypoints} joints{''.join(details)}: loads"
        return "; ".join([known, *([] if noted.model else open_questions(match.name, path, {}))])
    if match.candidates:
        return f"{' or '.join(match.candidates)} of another size or joint number: loads with these"
    if "fc.weight" in tensors or "classifier.weight" in tensors:
        return "a classifier, such as ImageNet's: for the parameter backbone"
    if noted.model is not None:
        return f"{short(noted.model)}, not of posekit: loads as my_module:NAME@FILE"
    return "none of posekit's networks: does not load"


def _without_path(error: PosekitError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
