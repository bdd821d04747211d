"""Recipes: the published settings of each paper, as files below params/, and published scores."""

import csv
import re
from pathlib import Path
from typing import Any

from ..data import DATASETS, dataset_name
from ..errors import PosekitError
from ..files.paths import project_root
from ..files.yaml_files import load_yaml
from ..models import describe, list_models, options_of
from .families import first_dataset

_COMMENT = re.compile(r"^(\w+):[^#\n]*#\s*(.+)$", re.MULTILINE)


def usual_dataset(paper: str) -> str:
    """The data set that a paper's family starts with.

    Raises:
        PosekitError: for an unknown paper.
    """
    families = {about.stem: about.family for about in map(describe, list_models())}
    if paper not in families or paper not in papers():
        raise PosekitError(f"unknown paper {paper!r}: there are {', '.join(papers())}")
    return first_dataset(families[paper])


def papers() -> list[str]:
    """The stems of the papers that have recipes."""
    return sorted(path.name for path in (project_root() / "params").iterdir() if path.is_dir())


def recipe_datasets(paper: str) -> list[str]:
    """The data sets that a paper has a recipe for."""
    files = {file.stem for file in (project_root() / "params" / paper).glob("*.yaml")}
    return [name for name in DATASETS if name in files]


def recipe_file(paper: str, dataset: str, variant: str = "paper") -> str:
    """The name of a recipe's file below params/<paper>/.

    A data set that no paper has a recipe for, one of your own, takes that of the usual one; several
    take that of the first.
    """
    dataset = dataset.split("+")[0]
    if not list((project_root() / "params").glob(f"*/{dataset}*.yaml")):
        dataset = usual_dataset(paper)
    return f"{dataset}.yaml" if variant == "paper" else f"{dataset}-{variant}.yaml"


def read_recipe(paper: str, file: str) -> dict[str, Any]:
    """The flat values of one file below params/<paper>/.

    A first line `base: <file>` starts from another file of the folder.
    """
    values = load_yaml(_file(paper, file))
    if "base" not in values:
        return values
    base = str(values.pop("base"))
    if "-" in base or "-" not in file:  # one step only: no circles, two files to look at
        raise PosekitError(f"params/{paper}/{file}: base={base} has to be a data set's own file")
    return read_recipe(paper, base) | values


def recipe_sources(paper: str, file: str) -> dict[str, str]:
    """What a recipe's comments say about the source of its values."""
    return dict(_COMMENT.findall(_file(paper, file).read_text(encoding="utf-8")))


def _file(paper: str, file: str) -> Path:
    path = project_root() / "params" / paper / file
    if path.is_file():
        return path
    dataset, _, variant = path.stem.partition("-")
    variants = sorted(p.stem.partition("-")[2] for p in path.parent.glob(f"{dataset}-*.yaml"))
    has = f"{paper} has those of {', '.join(recipe_datasets(paper)) or 'no data set'}"
    if variant:
        has = f"recipes of {paper} on {dataset} are {', '.join(['paper', *variants])}"
    raise PosekitError(f"no recipe params/{paper}/{file}: {has}")


def recipe_of_network(network: str, dataset: str | None = None) -> tuple[str, dict[str, Any]]:
    """A network's own recipe: on this data set, or the one that its family starts with.

    Returns:
        The data set that the recipe is for, and its values with this network's name, without the
        options of other networks.
    """
    about = describe(network)
    folder, _, variant = about.recipe.partition("/")
    names = [name for name in (dataset, first_dataset(about.family)) if name]
    endings = [f"-{variant}.yaml", ".yaml"] if variant else [".yaml"]
    files = {f"{name}{ending}": name for name in names for ending in endings}
    there = [file for file in files if (project_root() / "params" / folder / file).is_file()]
    file = (there or list(files))[0]
    values = own_values(read_recipe(folder, file), folder, network)
    return files[file], values | {"network": network}


def own_values(values: dict[str, Any], paper: str, network: str) -> dict[str, Any]:
    """A recipe's values without the options of the paper's networks that this network lacks."""
    others = (options_of(name) for name in list_models() if describe(name).stem == paper)
    foreign = set().union(*others) - options_of(network).keys()
    return {name: value for name, value in values.items() if name not in foreign}


def published(paper: str = "", dataset: str = "", sides: bool = False) -> list[dict[str, Any]]:
    """Published scores from params/published.csv, and published_coco.csv for COCO's numbers.

    Args:
        paper: only those of a paper.
        dataset: only those on a data set.
        sides: instead, from published_sides.csv, those that tell left from right.

    Returns:
        Rows with paper, dataset, method, metric, source, line (what measures it, see
        `measuring_line`) and the scores as printed, None where the source is silent: percent for
        head, shoulder, elbow, wrist, hip, knee, ankle, mean, or for the data set's own joints; 0..1
        for COCO's ap, ap50, ...
    """
    wanted = {"paper": paper, "dataset": dataset and dataset_name(dataset)}
    words = "paper", "dataset", "method", "metric", "source", "line"
    ends = ("_sides",) if sides else ("", "_coco")
    files = [project_root() / "params" / f"published{end}.csv" for end in ends]
    lines = [file.read_text(encoding="utf-8").splitlines() for file in files]
    return [
        {k: v if k in words else float(v) if v else None for k, v in row.items()}
        for table in lines
        for row in csv.DictReader(table)
        if all(not value or row[name] == value for name, value in wanted.items())
    ]


def measuring_line(row: dict[str, Any]) -> str:
    """The command that measures a published row under its own protocol; empty where none does.

    Args:
        row: from `published`; the network's weights take the place of WEIGHTS.
    """
    start = f"papermill notebooks/evaluate.ipynb out.ipynb -p dataset {row['dataset']}"
    return f"{start} {row['line']}" if row["line"] else ""
