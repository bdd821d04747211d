"""From a notebook's parameters to checked settings, with where each value came from.

A value is looked for in this order, the last one found wins: the knob's default, the paper's recipe
`params/<paper>/<Dataset>.yaml`, `params/<paper>/sample.yaml` where the generated sample stands in
for the data, `params/<paper>/smoke.yaml` where the test-suite runs a notebook on it, and what
papermill or the reader sets in the notebook. None means "not set here".
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..data import dataset_name
from ..data.registry import address, datasets
from ..errors import PosekitError
from ..files.paths import data_root, smoke
from ..models import describe, list_models
from .families import settings_of
from .recipes import own_values, read_recipe, recipe_file, usual_dataset
from .settings import Settings, check, is_set

# What may differ between two runs that end with the same numbers.
_NO_EFFECT = {"data_root", "device", "workers", "resume", "interactive"}
_NO_EFFECT |= {"tensorboard", "tensorboard_every", "debug_every"}
_FILES = ("init", "box_file")  # whose folder differs from machine to machine
_ALWAYS = ("dataset", "source", "network")  # what the printed table begins with


@dataclass(frozen=True)
class Config:
    """Checked settings and where they came from.

    Attributes:
        paper: the stem that runs are filed under: the paper of the network, or the notebook's name.
        network: its name in tables.
        settings: the values.
        origins: knob -> "default", "recipe params/...", "sample.yaml", "smoke.yaml" or "you".
        source: real or sample, resolved.
        data_root: the folder that holds the real data sets; None for the sample.
        smoke: the sample and every budget are shrunk for a test.
    """

    paper: str
    network: str
    settings: Settings
    origins: dict[str, str]
    source: Literal["real", "sample"]
    data_root: Path | None
    smoke: bool

    def table(self) -> list[tuple[str, Any, str]]:
        """Rows (name, value, origin); the source is the resolved one."""
        values = self.settings.model_dump(mode="json") | {"source": self.source}
        return [(name, value, self.origins[name]) for name, value in values.items()]

    def text(self) -> str:
        """What differs from the recipe and the defaults, as text that is equal on all machines."""
        rows = [
            (name, Path(value).name if name in _FILES and value else _show(value), origin)
            for name, value, origin in self.table()
            if name not in _NO_EFFECT
        ]
        usual = ("recipe", "default")
        shown = [row for row in rows if row[0] in _ALWAYS or not row[2].startswith(usual)]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = [f"{n:<{widths[0]}}  {v:<{widths[1]}}  {o}" for n, v, o in shown]
        recipe = next((o for _, _, o in rows if o.startswith("recipe")), None)
        command = f"{recipe}: python -m posekit knobs {self.paper}" if recipe else "default"
        return "\n".join([*lines, f"{len(rows) - len(shown)} more knobs as in {command}"])

    def fingerprint(self) -> str:
        """Sixteen hex digits that are equal for runs that end with the same numbers."""
        values = self.settings.model_dump(mode="json", exclude=_NO_EFFECT)
        values |= {"paper": self.paper, "source": self.source, "smoke": self.smoke}
        values["dataset"] = address(values["dataset"])  # of a file of labels, all that is set
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def resolve(paper: str, namespace: MutableMapping[str, Any]) -> Config:
    """Check a training notebook's parameters and complete them from the recipe.

    Args:
        paper: stem of the paper, the folder below params/.
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming every unknown, mistyped or impossible parameter at once.
    """
    usual = scored = usual_dataset(paper)
    with contextlib.suppress(PosekitError):  # `check` says what is wrong with it
        usual = dataset_name(_early(namespace, "dataset", usual))
        scored = dataset_name(_early(namespace, "score_on", usual.split("+")[0]))
    scored = scored if scored in usual.split("+") else usual.split("+")[0]
    variant = _early(namespace, "recipe", "paper")
    file, file_of_scored = (recipe_file(paper, name, variant) for name in (usual, scored))
    source, folder = _early(namespace, "source", "auto"), _early(namespace, "data_root")
    source, root = resolve_source(usual, source, folder)
    small = source == "sample" and smoke()
    smaller = ["sample.yaml"] * (source == "sample") + ["smoke.yaml"] * small
    layers = {f"recipe params/{paper}/{file}": read_recipe(paper, file)}
    if file_of_scored != file:  # people are as large as where they are scored
        padding = read_recipe(paper, file_of_scored)["box_padding"]
        layers[f"recipe params/{paper}/{file_of_scored}"] = {"box_padding": padding}
    layers |= {name: read_recipe(paper, name) for name in smaller}
    recipe = {name: value for found in layers.values() for name, value in found.items()}
    if (own := recipe.get("network")) is None:
        raise PosekitError(f"params/{paper}/{file}: network: has no value")
    network = _early(namespace, "network", own)
    wrong = _misfit(network, own)
    kind = settings_of(own if wrong else network)
    given = check(kind, namespace, f"the {paper} notebook cannot run with this:", wrong)

    values = own_values(recipe, paper, network)
    origins = dict.fromkeys(kind.model_fields, "default")
    if "+" in usual:
        values["score_on"], origins["score_on"] = scored, "first of dataset"
    origins |= {n: origin for origin, found in layers.items() for n in found if n in values}
    values |= given | {"dataset": usual}
    usual_values = {name: kind.model_fields[name].default for name in ("dataset", "source")}
    origins |= {n: "you" for n, value in given.items() if usual_values.get(n) != value}
    files = ", ".join([file, *smaller])
    title = f"params/{paper}/ ({files}) is incomplete or impossible:"
    settings, about = kind.made(values, title), describe(network)
    return Config(about.stem, about.name, settings, origins, source, root, small)


def _early(namespace: Mapping[str, Any], name: str, default: str | None = None) -> str | None:
    """A parameter that decides which knobs there are, read before they are known."""
    value = namespace.get(name)
    return str(value).strip() if is_set(value) else default


def _misfit(network: str, usual: str) -> list[str]:
    """What keeps a network from being trained by the recipe of another one, if anything."""
    family = describe(usual).family
    fitting = [name for name in list_models() if describe(name).family == family]
    try:
        if describe(network).family == family:
            return []
    except PosekitError as error:
        if ":" in network:
            return [str(error)]
    return [f"network={network!r}: choose one of {', '.join(fitting)}"]


def resolve_source(
    name: str, source: str | None, given_root: str | None
) -> tuple[Literal["real", "sample"], Path | None]:
    """What a run reads: the real data and the folder that holds them, or the sample and None.

    Args:
        name: of the data set, or of several, which are all real or all the sample.
        source: auto, real or sample; None for auto.
        given_root: the parameter data_root.

    Raises:
        PosekitError: real data are wanted and not there; says what to get and where to put it.
    """
    source = (source or "auto").strip().lower()
    root, specs = data_root(given_root), datasets(name)
    # A test must not start a full run because the developer has the data.
    no_other = given_root is not None or any(spec.sample is None for spec in specs)
    wants_real = source == "real" or (source == "auto" and no_other)
    if source == "sample" or (source == "auto" and smoke() and not wants_real):
        return "sample", None
    missing = [spec for spec in specs if not spec.find(root)]
    if not missing:
        return "real", root
    if not wants_real and missing == specs:
        return "sample", None
    spec = missing[0]
    raise PosekitError(
        f"no {spec.name} data. {spec.remedy(root / spec.folder)} data/README.md shows the layout. "
        "Or name another folder with data_root or POSEKIT_DATA"
        + (", or set source to sample." if spec.sample else ".")
    )


def _show(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
