"""Which weight files there are, what each one is, and whether it loads."""

import os
from pathlib import Path

from torch import Tensor

from ..errors import PosekitError
from ..files.places import project_root, reports_root
from ..files.words import short
from ..models import create_model, list_models
from .caffe import convert as convert_caffe
from .caffe import family_of
from .caffemodel import read_caffemodel
from .files import RUN_WEIGHTS, TORCH_ENDINGS, read_file, read_metadata
from .plain import check_plain
from .whose import owner_of

ENDINGS = (".safetensors", ".caffemodel", ".onnx", *TORCH_ENDINGS)


def weight_files(folder: Path | None = None) -> list[Path]:
    """Files below data/weights, those of all runs, and those of one folder more.

    Raises:
        PosekitError: there is no such folder.
    """
    if folder is not None and not os.path.isdir(folder):
        raise PosekitError(f"{folder}: there is no such folder of weights")
    found = [
        path
        for root in (project_root() / "data" / "weights", folder)
        if root is not None and os.path.isdir(root)
        for path in root.rglob("*")
        if path.name.lower().endswith(ENDINGS) and not os.path.isdir(path)
    ]
    return sorted(set(found)) + sorted(reports_root().glob(f"*/{RUN_WEIGHTS}"))


def identify(path: Path) -> str:
    """What a weight file is and whether it loads, in one line."""
    name = path.name.lower()
    try:
        if name.endswith(".onnx"):
            return _onnx(path)
        if name.endswith(".caffemodel"):
            return _caffe(path)
        noted = read_metadata(path) if name.endswith(".safetensors") else {}
        tensors = read_file(path).tensors
        check_plain(tensors, str(path))
        return _tensors(tensors, noted)
    except PosekitError as error:
        return f"does not load: {str(error).removeprefix(f'{path}: ')}"


def _onnx(path: Path) -> str:
    from .onnx_in import load_onnx

    network = load_onnx(path)
    about, size = network.description, network.input_size
    shape = f"{size[0]} x {size[1]} pixels" if size else "any size"
    whose = short(about.name) if network.told else "network without description"
    joints = f"{about.num_keypoints} maps ({about.skeleton or 'unknown joints'})"
    return f"{whose} as ONNX, {joints}, {shape}: loads"


def _caffe(path: Path) -> str:
    family = family_of(path, read_caffemodel(path))
    return f"{family} of Caffe: {_steps(path, family)}"


def _steps(path: Path, family: str) -> str:
    try:
        steps = convert_caffe(create_model(family), [path]).steps
    except PosekitError as error:
        return f"does not load alone: {str(error).removeprefix(f'{path}: ')}"
    return f"loads ({', '.join(steps)})"


def _width(noted: dict[str, str]) -> float | None:
    """The width that a file notes, if any."""
    if "width" not in noted:
        return None
    try:
        return float(noted["width"])
    except ValueError:
        raise PosekitError(
            f"its metadata say width={noted['width'][:20]!r}, which is no number: write it again "
            "with save_weights"
        ) from None


def _tensors(tensors: dict[str, Tensor], noted: dict[str, str]) -> str:
    """The network of the registry that tensors belong to."""
    names = [noted["model"]] if noted.get("model") in list_models() else None
    width = _width(noted)
    owner = owner_of(tensors, names, width=width)
    if owner.num_keypoints:
        told = [f", {n} {v}" for n, v in owner.options.items()]
        told += [f", width {width:g}"] if width not in (None, 1.0) else []
        told += [f", run {short(noted['run'])}"] if "run" in noted else []
        release = " of the released code" if owner.release else ""
        return f"{owner.name}{release}, {owner.num_keypoints} joints{''.join(told)}: loads"
    if owner.namesakes:
        names = " or ".join(owner.namesakes)
        return f"{names} of another size or number of joints: loads with these"
    if "fc.weight" in tensors or "classifier.weight" in tensors:
        return "a classifier, such as ImageNet's: for the parameter backbone"
    return "none of posekit's networks: does not load"
