"""What is installed, on which device networks run, which data and weights are there; all knobs."""

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import torch

from ..config import recipes
from ..config.families import settings_of
from ..data import DATASETS, check, dataset_name
from ..errors import PosekitError
from ..files.paths import data_root, reports_root, weight_folders
from ..weights import RUN_WEIGHTS
from ..weights.identify import identify
from ..weights.storage import TORCH_ENDINGS

PACKAGES = (
    "torch torchvision numpy scipy pandas opencv-contrib-python matplotlib pydantic safetensors "
    "lmdb pycocotools jupyterlab papermill nbval"
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
    lines += [f"data below {root}, and what they serve:", *_data(root)]
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


def _data(root: Path) -> list[str]:
    """Every data set, whether its parts are there, and what each part serves."""
    lines, uses = [], _uses()
    for name, spec in DATASETS.items():
        if (folder := spec.find(root)) is None:
            lines.append(f"  {name}: not there; {spec.download} from {spec.page}")
        else:
            lines.append(f"  {name}")
            unscored = spec.unscored_in(folder)  # what is not there, nobody has to have
            parts = {(split, "ground_truth"): [] for split in unscored} | uses[name]
            for (split, boxes), serves in parts.items():
                if split in spec.unscored and split not in unscored:
                    continue
                part = f"{split}, detections" if boxes == "detections" else split
                problems = check(name, root, split, boxes)
                state = "; ".join(problem.removeprefix(f"{split}: ") for problem in problems)
                lines.append(f"    {part}: {f'not ready, {state}' if state else 'ready'}")
                lines += [f"      {use}" for use in serves]
    return lines


def _uses() -> dict[str, dict[tuple[str, str], list[str]]]:
    """Data set -> split and boxes -> the trainings and published protocols that need them."""
    usual = ("train", "ground_truth"), ("test", "ground_truth")
    uses = {name: {part: [] for part in usual} for name in DATASETS}
    for name, parts in uses.items():
        ours = [paper for paper in recipes.papers() if name in recipes.recipe_datasets(paper)]
        parts[usual[0]] += [f"training of {', '.join(ours)}"] if ours else []
    quoted: dict[tuple[str, ...], dict[str, None]] = {}
    for row in recipes.published():
        given = dict(re.findall(r"-p (\w+) (\S+)", row["line"]))
        split, boxes = given.get("eval_split", "test"), given.get("boxes", "ground_truth")
        if row["line"]:
            part = row["dataset"], split, boxes, row["metric"]
            quoted.setdefault(part, {})[row["paper"]] = None
    for (name, split, boxes, metric), by in quoted.items():
        uses[name].setdefault((split, boxes), []).append(f"{metric} as {', '.join(by)} quote it")
    return uses


def knobs(paper: str, dataset: str | None = None) -> str:
    """Every knob of a paper: meaning, default, the recipe's value and its source, as text.

    Args:
        paper: stem of the paper.
        dataset: whose recipe; None for the usual one.

    Raises:
        PosekitError: there is no such paper, data set or recipe.
    """
    file = recipes.recipe_file(paper, dataset_name(dataset or recipes.usual_dataset(paper)))
    recipe, sources = recipes.read_recipe(paper, file), recipes.recipe_sources(paper, file)
    lines = [f"knobs of {paper}; the recipe is params/{paper}/{file}; set one with -p NAME VALUE"]
    for name, field in settings_of(recipe["network"]).model_fields.items():
        default = "" if field.is_required() else f"default {json.dumps(field.default)}"
        value = f"recipe {json.dumps(recipe[name])}" if name in recipe else ""
        source = f" ({sources[name]})" if name in sources else ""
        values = "; ".join(filter(None, [default, value]))
        lines.append(f"{name:22} {field.description}\n{'':22} {values}{source}")
    return "\n".join(lines)
