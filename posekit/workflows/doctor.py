"""What is installed, on which device networks run, which data and weights are there; all knobs."""

import json
import os
import sys
from importlib import metadata
from pathlib import Path

import torch

from ..config.families import settings_of
from ..config.recipes import read_recipe, recipe_file, recipe_sources, usual_dataset
from ..data import DATASETS, check, dataset_name
from ..errors import PosekitError
from ..files.places import data_root, reports_root, weight_folders
from ..weights import RUN_WEIGHTS
from ..weights.identify import identify
from ..weights.storage import TORCH_ENDINGS

PACKAGES = (
    "torch torchvision numpy scipy pandas opencv-python matplotlib pydantic safetensors lmdb "
    "pycocotools jupyterlab papermill nbval"
).split()
ENDINGS = (".safetensors", ".caffemodel", ".onnx", *TORCH_ENDINGS)


def examine(given_root: str | None, weights: Path | None = None) -> str:
    """Packages, device, data sets and weight files, as text.

    Args:
        given_root: the folder that holds coco, LSP, mpii, PennAction; None for the usual one.
        weights: a further folder of weight files.
    """
    lines = [f"python {sys.version.split()[0]}, posekit {metadata.version('posekit')}"]
    for package in PACKAGES:
        try:
            lines.append(f"  {package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"  {package} is missing: python3 run.py setup")
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    lines.append(f"device: {torch.cuda.get_device_name() if cuda else 'mps' if mps else 'cpu'}")
    root = data_root(given_root)
    lines.append(f"data below {root}:")
    for name, spec in DATASETS.items():
        if spec.find(root) is None:
            lines.append(f"  {name}: not there; {spec.download} from {spec.page}")
        elif missing := check(name, root):
            lines.append("\n    ".join([f"  {name}: incomplete", *missing]))
        else:
            lines.append(f"  {name}: complete")
    files = weight_files(weights)
    further = f" and {weights}" if weights else ""
    lines.append(f"weights: {len(files)} files in data/weights, models/pytorch, the runs{further}")
    return "\n".join([*lines, *(f"  {path}: {identify(path)}" for path in files)])


def weight_files(folder: Path | None = None) -> list[Path]:
    """Files below `weight_folders()`, those of all runs, and those of one folder more.

    Raises:
        PosekitError: there is no such folder.
    """
    if folder is not None and not os.path.isdir(folder):
        raise PosekitError(f"{folder}: there is no such folder of weights")
    found = {
        path
        for root in filter(None, (*weight_folders(), folder))
        for path in root.rglob("*")
        if path.name.lower().endswith(ENDINGS) and not os.path.isdir(path)
    }
    return sorted(found) + sorted(reports_root().glob(f"*/{RUN_WEIGHTS}"))


def knobs(paper: str, dataset: str | None = None) -> str:
    """Every knob of a paper: meaning, default, the recipe's value and its source, as text.

    Args:
        paper: stem of the paper.
        dataset: whose recipe; None for the usual one.

    Raises:
        PosekitError: there is no such paper, data set or recipe.
    """
    file = recipe_file(paper, dataset_name(dataset or usual_dataset(paper)))
    recipe, sources = read_recipe(paper, file), recipe_sources(paper, file)
    lines = [f"knobs of {paper}; the recipe is params/{paper}/{file}; set one with -p NAME VALUE"]
    for name, field in settings_of(recipe["network"]).model_fields.items():
        default = "" if field.is_required() else f"default {json.dumps(field.default)}"
        value = f"recipe {json.dumps(recipe[name])}" if name in recipe else ""
        source = f" ({sources[name]})" if name in sources else ""
        values = "; ".join(filter(None, [default, value]))
        lines.append(f"{name:22} {field.description}\n{'':22} {values}{source}")
    return "\n".join(lines)
