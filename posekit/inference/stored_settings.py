"""What files tell of their networks: run folders in params.yaml, weight files in metadata."""

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError

from ..config.knobs import NOTED, Recipe
from ..config.recipes import RECIPES
from ..errors import PosekitError
from ..files.places import DATASETS
from ..geometry.skeletons import SKELETONS
from ..reporting.record import RunRecord, read_record
from ..weights import RUN_WEIGHTS, read_metadata
from ..weights.files import read_file
from ..weights.whose import owner_of
from ..workflows.training import recipe_of_network


def trained_run(folder: Path) -> tuple[RunRecord, Recipe, Path]:
    """A training run: its record, its recipe without the weights it began with, its weights.

    Raises:
        PosekitError: the folder is not one of a training run that left weights.
    """
    record, weights = read_record(folder), folder / RUN_WEIGHTS
    if record is None or record.paper not in RECIPES or not weights.is_file():
        raise PosekitError(
            f"{folder}: this run left no {RUN_WEIGHTS}; choose a finished training run"
        )
    return record, recipe_of_run(folder, record.paper), weights


def recipe_of_run(folder: Path, paper: str) -> Recipe:
    """The recipe of a run as its folder holds it, without the weights it began with.

    Raises:
        PosekitError: params.yaml is missing or damaged, or holds an impossible value.
    """
    path = folder / "params.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no `name: value` lines")
        return RECIPES[paper].model_validate({**values, "paper": paper, "init": None})
    except ValidationError as error:
        reason = _mistakes(error)
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:160]
    raise PosekitError(f"{path} cannot be used: {reason}: copy the run folder again")


def told_recipe(
    name: str, path: Path, dataset: str | None = None, changes: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe of a network with what a weight file tells of it, in metadata and tensors.

    Args:
        name: of the registry.
        path: the file.
        dataset: whose recipe; None for what the file tells, else the usual one.
        changes: values that the reader knows better.

    Raises:
        PosekitError: the file cannot be read, or its metadata make no network.
    """
    known = type(recipe_of_network(name)).model_fields.keys() & {*NOTED}
    told = {k: _value(v) for k, v in noted(path).items() if k in known} | dict(changes or {})
    trained_on = told.pop("dataset", None)
    if dataset is None and isinstance(trained_on, str) and trained_on in DATASETS:
        dataset = trained_on
    width = _changed_recipe(name, path, dataset, told).width
    seen = owner_of(tensors_of(path), [name], width=width).options
    seen = {k: "none" if v is None else v for k, v in seen.items()}
    return _changed_recipe(name, path, dataset, seen | told)


def noted(path: Path) -> dict[str, str]:
    """The metadata of a .safetensors file; nothing of other files."""
    return read_metadata(path) if path.suffix.lower() == ".safetensors" else {}


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file under the network's own names; none where only `convert` knows them."""
    return {} if path.suffix.lower() == ".caffemodel" else read_file(path).tensors


def _changed_recipe(
    name: str, path: Path, dataset: str | None, changes: Mapping[str, Any]
) -> Recipe:
    try:
        return recipe_of_network(name, dataset, changes)
    except ValidationError as error:
        raise PosekitError(
            f"{path}: its metadata make no network: {_mistakes(error)}: write the file again with "
            "save_weights"
        ) from error


def noted_skeleton(path: Path) -> str | None:
    """The name of the joints in the metadata of a weight file, None where it tells none.

    Raises:
        PosekitError: there is no such skeleton.
    """
    name = noted(path).get("skeleton")
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


def _value(text: str) -> Any:
    """A value that was stored as text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
