"""Recipes: the published settings of each paper, as files below params/, and published scores."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ..data import dataset_name
from ..errors import PosekitError
from ..files.places import project_root
from ..models import describe, list_models, options_of
from .families import FAMILIES

_COMMENT = re.compile(r"^(\w+):[^#\n]*#\s*(.+)$", re.MULTILINE)


def papers() -> list[str]:
    """Stems of the papers that have recipes and a notebook."""
    return sorted(path.name for path in (project_root() / "params").iterdir() if path.is_dir())


def usual_dataset(paper: str) -> str:
    """The data set that a paper's family starts with.

    Raises:
        PosekitError: for an unknown paper.
    """
    known = (describe(name) for name in list_models())
    families = [about.family for about in known if about.stem == paper]
    if not families or paper not in papers():
        raise PosekitError(f"unknown paper {paper!r}: there are {', '.join(papers())}")
    return FAMILIES[families[0]].dataset


def recipe_file(paper: str, dataset: str, variant: str = "paper") -> str:
    """The name of a recipe's file below params/<paper>/.

    A data set that no paper has a recipe for, one of your own, takes that of the usual one.
    """
    if not list((project_root() / "params").glob(f"*/{dataset}*.yaml")):
        dataset = usual_dataset(paper)
    return f"{dataset}.yaml" if variant == "paper" else f"{dataset}-{variant}.yaml"


def read_recipe(paper: str, file: str) -> dict[str, Any]:
    """The flat values of one file below params/<paper>/.

    A first line `base: <file>` starts from another file of the folder.
    """
    text = _text(paper, file)
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PosekitError(f"params/{paper}/{file} is not readable YAML: {error}") from error
    if not isinstance(values, dict):
        raise PosekitError(f"params/{paper}/{file} must hold `name: value` lines")
    if "base" not in values:
        return values
    base = str(values.pop("base"))
    if "-" in base or "-" not in file:  # one step only: no circles, two files to look at
        raise PosekitError(f"params/{paper}/{file}: base={base} has to be a data set's own file")
    return read_recipe(paper, base) | values


def recipe_sources(paper: str, file: str) -> dict[str, str]:
    """What a recipe's comments say about the source of its values."""
    return dict(_COMMENT.findall(_text(paper, file)))


def _text(paper: str, file: str) -> str:
    path = project_root() / "params" / paper / file
    if not path.is_file():
        there = sorted(p.name for p in path.parent.glob("*.yaml"))
        hint = f"there are {', '.join(there)}" if there else "there is no recipe of this paper"
        raise PosekitError(f"no recipe params/{paper}/{file}: {hint}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PosekitError(f"params/{paper}/{file} is not readable YAML: {error}") from error


def recipe_of_network(network: str, dataset: str | None = None) -> tuple[str, dict[str, Any]]:
    """A network's own recipe: on this data set, or the one that its family starts with.

    Returns:
        The data set that the recipe is for, and its values with this network's name, without the
        options of other networks.
    """
    about = describe(network)
    folder, _, variant = about.recipe.partition("/")
    usual = FAMILIES[about.family].dataset
    choices = [(dataset, variant), (dataset, ""), (usual, variant), (usual, "")]
    files = [(name, f"{name}{kind and '-'}{kind}.yaml") for name, kind in choices if name]
    there = [
        (name, file)
        for name, file in files
        if (project_root() / "params" / folder / file).is_file()
    ]
    trained_on, file = (there or files)[0]
    values = own_values(read_recipe(folder, file), folder, network)
    return trained_on, values | {"network": network}


def own_values(values: dict[str, Any], paper: str, network: str) -> dict[str, Any]:
    """A recipe's values without the options of the paper's networks that this network lacks."""
    others = (options_of(name) for name in list_models() if describe(name).stem == paper)
    foreign = set().union(*others) - options_of(network).keys()
    return {name: value for name, value in values.items() if name not in foreign}


def published(paper: str, dataset: str) -> list[dict[str, Any]]:
    """Published scores from params/published.csv, or published_coco.csv for COCO's numbers.

    Returns:
        Rows with paper, dataset, method, metric, source and the scores as printed, None where the
        source is silent: percent for head, shoulder, elbow, wrist, hip, knee, ankle, mean; 0..1 for
        COCO's ap, ap50, ...
    """
    dataset, words = dataset_name(dataset), ("paper", "dataset", "method", "metric", "source")
    return [
        {k: v if k in words else float(v) if v else None for k, v in row.items()}
        for row in _published_rows(project_root() / "params")
        if (row["paper"], row["dataset"]) == (paper, dataset)
    ]


def _published_rows(folder: Path) -> Iterable[dict[str, str]]:
    for file in ("published.csv", "published_coco.csv"):
        with (folder / file).open(encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines)
