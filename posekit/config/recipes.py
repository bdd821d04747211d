"""Recipes: every knob of a run, where its value came from, and whether it is possible.

A value is looked for in this order, the last one found wins: the default below, the paper's recipe
`params/<paper>/<Dataset>.yaml`, `params/<paper>/sample.yaml` where the generated sample stands in
for the data, `params/<paper>/smoke.yaml` where the test-suite runs a notebook on it, and what
papermill or the reader sets in the notebook. None means "not set here".
"""

import csv
import hashlib
import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal

import yaml

from ..data import dataset as spec_of
from ..data import dataset_name
from ..errors import PosekitError
from ..files.places import data_root, project_root, smoke
from .knobs import LPNRecipe, LSDNetRecipe, PoseMachineRecipe, Recipe, TopDownRecipe
from .parameters import check, problems

# Paper -> its family's knobs.
RECIPES: dict[str, type[Recipe]] = {
    "cpm": PoseMachineRecipe,
    "lpm": PoseMachineRecipe,
    "simplebaseline": TopDownRecipe,
    "hrnet": TopDownRecipe,
    "hourglass": TopDownRecipe,
    "lpn": LPNRecipe,
    "ldcrn": TopDownRecipe,
    "lsdnet": LSDNetRecipe,
}

# What may differ between two runs that end with the same numbers.
_NO_EFFECT = {"data_root", "device", "workers", "resume", "tensorboard", "interactive"}


@dataclass(frozen=True)
class Bound:
    """A checked recipe and where it came from.

    Attributes:
        recipe: the values.
        origins: knob -> "default", "recipe params/...", "sample.yaml", "smoke" or "you".
        source: real or sample, resolved.
        data_root: the folder that holds the real data sets; None for the sample.
        smoke: the sample and every budget are shrunk for a test.
    """

    recipe: Recipe
    origins: dict[str, str]
    source: Literal["real", "sample"]
    data_root: Path | None
    smoke: bool

    def table(self) -> list[tuple[str, Any, str]]:
        """Rows (name, value, origin); the source is the resolved one."""
        values = self.recipe.model_dump(mode="json") | {"source": self.source}
        return [(name, values[name], self.origins[name]) for name in self.recipe.knobs()]

    def text(self) -> str:
        """The table as aligned text, without rows that differ between machines."""
        rows = [
            (name, Path(value).name if name == "init" and value else _show(value), origin)
            for name, value, origin in self.table()
            if name not in _NO_EFFECT
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        return "\n".join(f"{n:<{widths[0]}}  {v:<{widths[1]}}  {o}".rstrip() for n, v, o in rows)

    def fingerprint(self) -> str:
        """Sixteen hex digits that are equal for runs that end with the same numbers."""
        values = self.recipe.model_dump(mode="json", exclude=_NO_EFFECT)
        values |= {"source": self.source, "smoke": self.smoke}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def bind(paper: str, namespace: MutableMapping[str, Any]) -> Bound:
    """Check a notebook's parameters and complete them from the recipe.

    Args:
        paper: stem of the paper, the folder below params/.
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming every unknown, mistyped or impossible parameter at once.
    """
    if paper not in RECIPES:
        raise PosekitError(f"unknown paper {paper!r}: there are {', '.join(RECIPES)}")
    kind = RECIPES[paper]
    title = f"the {paper} notebook cannot run with this:"
    stem = ["paper"] if namespace.get("paper") in (None, paper) else []
    given = check(kind, namespace, title, stem)
    defaults = {name: field.default for name, field in kind.model_fields.items()}

    dataset = dataset_name(given.get("dataset", defaults["dataset"]))
    source, root = resolve_source(dataset, given.get("source"), given.get("data_root"))
    small = source == "sample" and smoke()
    file = _file(dataset, given.get("recipe", "paper").strip().lower())
    layers = [(f"recipe params/{paper}/{file}", file)]
    layers += [("sample.yaml", "sample.yaml")] if source == "sample" else []
    layers += [("smoke", "smoke.yaml")] if small else []

    values: dict[str, Any] = {"paper": paper}
    origins = dict.fromkeys(kind.knobs(), "default")
    for origin, file in layers:
        found = read_recipe(paper, file)
        values |= found
        origins |= dict.fromkeys(found, origin)
    values |= given
    origins |= {
        name: "you"
        for name, value in given.items()
        if name not in ("dataset", "source") or value != defaults[name]
    }
    if found := problems(kind, values):
        files = ", ".join(file for _, file in layers)
        title = f"params/{paper}/ ({files}) is incomplete or impossible:"
        raise PosekitError("\n  ".join([title, *found]))
    return Bound(kind.model_validate(values), origins, source, root, small)


def read_recipe(paper: str, file: str) -> dict[str, Any]:
    """The flat values of one file below params/<paper>/.

    A first line `base: <file>` starts from another file of the folder.
    """
    path = project_root() / "params" / paper / file
    if not path.is_file():
        there = sorted(p.name for p in path.parent.glob("*.yaml"))
        hint = f"there are {', '.join(there)}" if there else "there is no recipe of this paper"
        raise PosekitError(f"no recipe params/{paper}/{file}: {hint}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PosekitError(f"params/{paper}/{file} is not readable YAML: {error}") from error
    if not isinstance(values, dict):
        raise PosekitError(f"params/{paper}/{file} must hold `name: value` lines")
    if "base" not in values:
        return values
    base = str(values.pop("base"))
    if "-" in base or "-" not in file:  # one step only: no circles, two files to look at
        raise PosekitError(f"params/{paper}/{file}: base={base} has to be a data set's own file")
    return read_recipe(paper, base) | values


def published(paper: str, dataset: str) -> list[dict[str, Any]]:
    """Published scores from params/published.csv, or published_coco.csv for COCO.

    Returns:
        Rows with paper, dataset, method, metric, source and the scores as printed, None where the
        source is silent: percent for head, shoulder, elbow, wrist, hip, knee, ankle, mean; 0..1 for
        COCO's ap, ap50, ...
    """
    dataset = dataset_name(dataset)
    file = "published_coco.csv" if dataset == "COCO" else "published.csv"
    with (project_root() / "params" / file).open(encoding="utf-8", newline="") as lines:
        rows = [r for r in csv.DictReader(lines) if (r["paper"], r["dataset"]) == (paper, dataset)]
    words = ("paper", "dataset", "method", "metric", "source")
    return [{k: v if k in words else float(v) if v else None for k, v in r.items()} for r in rows]


def resolve_source(
    dataset: str, source: str | None, given_root: str | None
) -> tuple[Literal["real", "sample"], Path | None]:
    """What a run reads: the real data and the folder that holds them, or the sample and None.

    Args:
        dataset: canonical name.
        source: auto, real or sample; None for auto.
        given_root: the parameter data_root.

    Raises:
        PosekitError: real data are wanted and not there; says what to get and where to put it.
    """
    source = (source or "auto").strip().lower()
    root = data_root(given_root)
    spec = spec_of(dataset)
    # A test must not start a full run because the developer has the data.
    wants_real = source == "real" or (source == "auto" and given_root is not None)
    if source == "sample" or (source == "auto" and smoke() and not wants_real):
        return "sample", None
    if spec.find(root):
        return "real", root
    if not wants_real:
        return "sample", None
    raise PosekitError(
        f"no {dataset} data: {root / spec.folder} does not exist. Get {spec.download} from "
        f"{spec.page} and put them "
        "there (data/README.md shows the layout), name another folder with data_root or "
        "POSEKIT_DATA, or set source to sample."
    )


def _file(dataset: str, variant: str) -> str:
    return f"{dataset}.yaml" if variant == "paper" else f"{dataset}-{variant}.yaml"


def _show(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | bool | NoneType) else str(value)
