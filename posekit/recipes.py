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
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator

from .errors import PosekitError
from .parameters import Parameters, check, coerce, problems
from .places import (
    DATASETS,
    data_root,
    dataset_name,
    find_data,
    project_root,
    reports_root,
    smoke,
)

__all__ = [
    "DATASETS",
    "KNOBS",
    "Bound",
    "Recipe",
    "bind",
    "data_root",
    "dataset_name",
    "find_data",
    "project_root",
    "published",
    "read_recipe",
    "reports_root",
    "resolve_source",
    "smoke",
]

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Pixels = Annotated[int, Field(ge=16, multiple_of=8)]


class Recipe(Parameters):
    """Every knob of a run; the descriptions are what the notebooks and errors show."""

    paper: str = Field(description="stem of the paper: lpm, cpm, ...")
    dataset: str = Field("PennAction", description="LSP, MPII, PennAction or COCO")
    source: Literal["auto", "real", "sample"] = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds coco, LSP, mpii, PennAction")
    recipe: Literal["paper", "mobilepose"] = Field("paper", description="whose training settings")

    network: str = Field(description="a name of posekit.list_models()")
    width: Annotated[float, Field(gt=0, le=4)] = Field(1.0, description="multiplier on channels")
    weight_init: Literal["paper", "he"] = Field("paper", description="random weights: paper or he")
    frames: Annotated[int, Field(ge=1, le=128)] = Field(description="frames in a clip (T)")
    image_size: tuple[Pixels, Pixels] = Field(description="crop as [h, w], pixels")
    sigma: Positive = Field(description="Gaussian of a target, crop pixels")
    centre_sigma: Positive = Field(21.0, description="Gaussian of the centre map, crop pixels")
    box_padding: Positive = Field(description="side of the crop as a multiple of the person's box")

    scale_range: tuple[Positive, Positive] = Field(description="random factor on the person's size")
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(description="random turn, +- degrees")
    flip_prob: Fraction = Field(description="share of clips that are mirrored")
    colour_jitter: Fraction = Field(0.0, description="random factor on each channel, 1 +- this")

    init: str | None = Field(None, description="run folder or weights file to start from")
    epochs: Annotated[int, Field(ge=1)] = Field(description="passes over all training frames")
    batch_size: Annotated[int, Field(ge=1)] = Field(description="clips in an iteration")
    optimiser: Literal["sgd", "adam", "adamw"] = Field(description="sgd, adam or adamw")
    lr: Positive = Field(description="base learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of sgd")
    weight_decay: NotNegative = Field(description="on weights; biases have none")
    bias_lr_factor: Positive = Field(1.0, description="learning rate of biases, relative")
    first_stage_lr_factor: Positive = Field(1.0, description="learning rate of stage 1, relative")
    schedule: Literal["step", "onecycle"] = Field("step", description="step or onecycle")
    lr_step: Annotated[int, Field(ge=1)] = Field(description="iterations between two steps")
    lr_gamma: Annotated[float, Field(gt=0, le=1)] = Field(description="factor at each step")
    clip_grad: NotNegative = Field(0.0, description="largest global gradient norm; 0 for none")
    loss: Literal["sum", "mean"] = Field("sum", description="squared errors: sum / 2B, or mean")

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="of the network")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    workers: Annotated[int, Field(ge=-1)] = Field(-1, description="loading processes; -1 for auto")
    channels_last: bool = Field(True, description="memory format of the convolutions")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of everything random")
    holdout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="share of the training part kept for validation"
    )
    eval_every: Annotated[int, Field(ge=1)] = Field(1, description="epochs between validations")
    eval_split: Literal["test", "val", "train"] = Field("test", description="split of the score")
    flip_test: bool = Field(False, description="average with the mirrored image when testing")
    test_scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1.0,), description="sizes of the person to add up when testing"
    )
    resume: Literal["auto", "never"] = Field("auto", description="continue an interrupted run")
    tensorboard: bool = Field(False, description="also write TensorBoard events")
    interactive: bool = Field(False, description="show the live browser of samples")

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        return dataset_name(value)

    @field_validator("scale_range")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("must be [smallest, largest]")
        return value


KNOBS = tuple(name for name in Recipe.model_fields if name != "paper")
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
        return [(name, values[name], self.origins[name]) for name in KNOBS]

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


def bind(paper: str, namespace: MutableMapping[str, Any], first: bool = True) -> Bound:
    """Check a notebook's parameters and complete them from the recipe.

    Args:
        paper: stem of the paper, the folder below params/.
        namespace: the notebook's `globals()`.
        first: False if other variables exist already, see `parameters.check`.

    Raises:
        PosekitError: naming every unknown, mistyped or impossible parameter at once.
    """
    title = f"the {paper} notebook cannot run with this:"
    stem = ["paper"] if namespace.get("paper") in (None, paper) else []
    given = check(Recipe, namespace, title, KNOBS, stem, first)

    dataset = dataset_name(given.get("dataset", Recipe.model_fields["dataset"].default))
    source, root = resolve_source(dataset, given.get("source"), given.get("data_root"))
    small = source == "sample" and smoke()
    variant = coerce(Recipe.model_fields["recipe"].annotation, given.get("recipe", "paper"))
    layers = [(f"recipe params/{paper}/{_file(dataset, variant)}", _file(dataset, variant))]
    layers += [("sample.yaml", "sample.yaml")] if source == "sample" else []
    layers += [("smoke", "smoke.yaml")] if small else []

    values: dict[str, Any] = {"paper": paper}
    origins = dict.fromkeys(KNOBS, "default")
    for origin, file in layers:
        found = read_recipe(paper, file)
        values |= found
        origins |= dict.fromkeys(found, origin)
    values |= given
    origins |= {
        name: "you"
        for name, value in given.items()
        if name not in ("dataset", "source") or value != Recipe.model_fields[name].default
    }
    if found := problems(Recipe, values):
        files = ", ".join(file for _, file in layers)
        raise PosekitError("\n  ".join([f"params/{paper}/ ({files}) is not whole:", *found]))
    return Bound(Recipe.model_validate(values), origins, source, root, small)


def read_recipe(paper: str, file: str) -> dict[str, Any]:
    """The flat values of one file below params/<paper>/."""
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
    return values


def published(paper: str, dataset: str) -> list[dict[str, Any]]:
    """Published scores from params/published.csv.

    Returns:
        Rows with paper, dataset, method, metric, source and, in percent or None where the source
        is silent, head, shoulder, elbow, wrist, hip, knee, ankle, mean.
    """
    dataset = dataset_name(dataset)
    with (project_root() / "params" / "published.csv").open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["paper"], r["dataset"]) == (paper, dataset)]
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
    folder, page, files = DATASETS[dataset]
    # A test must not start a full run because the developer has the data.
    wants_real = source == "real" or (source == "auto" and given_root is not None)
    if source == "sample" or (source == "auto" and smoke() and not wants_real):
        return "sample", None
    if find_data(dataset, root):
        return "real", root
    if not wants_real:
        return "sample", None
    raise PosekitError(
        f"no {dataset} data: {root / folder} does not exist. Get {files} from {page} and put them "
        "there (data/README.md shows the layout), name another folder with data_root or "
        "POSEKIT_DATA, or set source to sample."
    )


def _file(dataset: str, variant: str) -> str:
    return f"{dataset}.yaml" if variant == "paper" else f"{dataset}-{variant}.yaml"


def _show(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | bool | NoneType) else str(value)
