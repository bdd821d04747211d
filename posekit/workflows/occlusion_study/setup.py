"""Parameters, networks and people of the occlusion study."""

import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import yaml
from pydantic import Field

from ... import data
from ...config.knobs import Count, Pixels, Positive, Precision, Source
from ...config.machine import Machine, choose_machine
from ...config.parameters import Parameters, check
from ...config.recipes import Bound, resolve_source
from ...data import Annotations
from ...data.clips import Clips
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...files.places import data_root, project_root, smoke
from ...geometry.body_parts import PARTS
from ...inference.estimator import Estimator
from ...inference.open_network import Wanted, open_estimator, untrained
from ...reporting.record import read_record, trained_runs
from ...reporting.run_folder import Run
from ..training import open_run

if TYPE_CHECKING:
    import pandas as pd

_PAPER = (
    "Pytel, Kayhan, van Gemert: Tilting at windmills: Data augmentation for deep pose estimation "
    "does not help with occlusions, arXiv 2010.10451"
)
_FRAMES, _NETWORKS, _SMOKE_PEOPLE = 5, 3, 4


class StudyRecipe(Parameters):
    """The parameters of the notebook."""

    paper: ClassVar[str] = "occlusion"
    resume: ClassVar[str] = "never"
    network: ClassVar[str] = "occlusion study"

    networks: tuple[str, ...] = Field(
        (), description="run folders, weights, .onnx, NAME@FILE; none for the newest runs"
    )
    dataset: str | None = Field(None, description="LSP, MPII, PennAction, COCO; None as trained on")
    source: Source = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds coco, LSP, mpii, PennAction")
    eval_split: Literal["test", "train"] = Field("test", description="split of the people")
    people: Count = Field(64, description="people looked at, spread over the split")
    effects: Annotated[tuple[Literal["blur", "black", "mean"], ...], Field(min_length=1)] = Field(
        ("mean", "black", "blur"), description="how a part is covered; tables show the first one"
    )
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1.0, 0.5, 1.5), description="factors on the covered area's sides; tables show the first"
    )
    joints: bool = Field(True, description="also cover every single joint")
    resamples: Annotated[int, Field(ge=100)] = Field(2000, description="of the bootstrap")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the bootstrap")
    flip_test: bool = Field(False, description="average with the mirrored image")
    skeleton: str | None = Field(None, description="joints of a file that does not say its own")
    image_size: tuple[Pixels, Pixels] | None = Field(None, description="crop [h, w] of such a file")
    batch_size: Count = Field(32, description="clips or images at a time")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Precision = Field("auto", description="of the network")
    interactive: bool = Field(False, description="show the live playground")

    workers: ClassVar[int] = 0


@dataclass(frozen=True)
class Cover:
    """What is covered, and how.

    Attributes:
        target: name of a part, or of a joint as "joint left_elbow".
        effect: blur, black or mean; "none" for nothing.
        size: factor on the covered area's sides.
    """

    target: str
    effect: str
    size: float


CLEAN = Cover("nothing", "none", 1.0)


@dataclass
class Study:
    """What every later step needs from the earlier ones.

    Attributes:
        recipe: the checked parameters.
        run: the run folder.
        machine: device and precision.
        estimators: the networks.
        people: who is looked at.
        clips: their crops, as each network sees them.
        points: per network, cover -> (N, K) 0..100, NaN for joints that do not count.
        touched: cover -> (N,) bool, who has what is covered, in every network's crop.
        found: per network, cover -> (N, K', 2) crop pixels, in the network's joints.
        tables: heading -> table, for the report.
    """

    recipe: StudyRecipe
    run: Run
    machine: Machine
    estimators: list[Estimator]
    people: Annotations
    clips: list[Clips]
    points: list[dict[Cover, np.ndarray]] = field(default_factory=list)
    touched: dict[Cover, np.ndarray] = field(default_factory=dict)
    found: list[dict[Cover, np.ndarray]] = field(default_factory=list)
    tables: dict[str, "pd.DataFrame"] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The networks, as tables name them."""
        return [estimator.name for estimator in self.estimators]

    @property
    def metric(self) -> str:
        """The unit of every number."""
        return f"points of {data.dataset(self.people.dataset).scorer.name}"

    def covers(self, joints: bool, effect: str | None = None) -> list[Cover]:
        """The coverings of usual size, of parts or of joints, by one effect."""
        effect, size = effect or self.recipe.effects[0], self.recipe.sizes[0]
        names = [f"joint {j}" for j in self.people.skeleton.joints] if joints else PARTS
        return [Cover(name, effect, size) for name in names]

    def drop(self, network: int, cover: Cover) -> np.ndarray:
        """(N,) points that each person loses; NaN for those who do not have what is covered."""
        lost = self.points[network][CLEAN] - self.points[network][cover]
        return np.where(self.touched[cover], nan_mean(lost, 1), np.nan)

    def mean_drop(self, network: int, covers: list[Cover]) -> np.ndarray:
        """(N,) points that each person loses on average over several coverings."""
        return nan_mean(np.stack([self.drop(network, cover) for cover in covers]), 0)


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean along an axis over what is no NaN; NaN, without a warning, where nothing is left."""
    seen = ~np.isnan(values)
    mean = np.where(seen, values, 0).sum(axis) / seen.sum(axis).clip(1)
    return np.where(seen.any(axis), mean, np.nan)


def start(namespace: dict[str, Any]) -> Study:
    """Check the parameters, open the networks, read the people and open the run folder.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming what is wrong with the parameters, before any work.
    """
    title = "the occlusion notebook cannot run with this:"
    given = check(StudyRecipe, namespace, title)
    recipe = StudyRecipe(**given)
    sources = list(recipe.networks) or newest_runs(recipe.dataset)
    first = read_record(Path(os.path.expanduser(sources[0]))) if sources else None
    dataset = dataset_name(recipe.dataset or (first and first.dataset) or "COCO")
    wanted_source = recipe.source
    if first and wanted_source == "auto" and recipe.data_root is None:
        wanted_source = first.source or "auto"
    source, root = resolve_source(dataset, wanted_source, recipe.data_root)
    machine = choose_machine(recipe)
    wanted = Wanted(recipe.skeleton, recipe.image_size, recipe.flip_test, machine.device)
    estimators = [open_estimator(name, wanted) for name in sources]
    if not estimators:
        recipes = project_root() / "params"
        kind = "hrnet_w32" if (recipes / "hrnet" / f"{dataset}.yaml").is_file() else "lpm"
        skeleton = data.dataset(dataset).skeleton.name
        estimators = [untrained(kind, Wanted(skeleton, recipe.image_size, False, machine.device))]
    _name_apart(estimators)
    origins = dict.fromkeys(recipe.knobs(), "default") | dict.fromkeys(given, "you")
    told = {"dataset": dataset, "networks": tuple(e.name for e in estimators)}
    origins |= {name: "the networks" for name in told if name not in given}
    if smoke():
        told["people"] = min(recipe.people, _SMOKE_PEOPLE)
    recipe = recipe.model_copy(update=told)
    run = open_run(Bound(recipe, origins, source, root, smoke()))
    people = _some_people(recipe, source, root)
    clips = [_clips(people, estimator) for estimator in estimators]
    notes = [estimator.about for estimator in estimators]
    if not all(estimator.trained for estimator in estimators):
        notes.append("NOT TRAINED: these numbers show the machinery and mean nothing")
    if recipe.eval_split == "train":
        notes.append("people of the training split: a network may know them by heart")
    run.update(
        notes=[*notes, *people.notes],
        n_samples=len(people),
        model=f"Occlusion of {', '.join(e.name for e in estimators)}",
        paper_title=_PAPER,
    )
    return Study(recipe, run, machine, estimators, people, clips)


def newest_runs(dataset: str | None) -> list[str]:
    """The newest finished runs of different networks on one data set and source."""
    found, kind = {}, None
    for folder, record in trained_runs():
        here = record.dataset, record.source
        if dataset and record.dataset != dataset_name(dataset):
            continue
        kind = kind or here
        if here == kind and len(found) < _NETWORKS:
            found.setdefault((record.model, _covering_of(folder)), str(folder))
    return list(found.values())


def _covering_of(folder: Path) -> str:
    """What covered the training crops of a run; none in runs older than the parameter."""
    with contextlib.suppress(OSError, yaml.YAMLError, AttributeError):
        values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        kind = values.get("occlusion", "none")
        return kind if kind == "none" else f"{kind} {values.get('occlusion_mode')}"
    return "none"


def _name_apart(estimators: list[Estimator]) -> None:
    """Number the networks that have one name."""
    names = [estimator.name for estimator in estimators]
    for place, estimator in enumerate(estimators):
        if names.count(estimator.name) > 1:
            estimator.name += f" #{names[: place + 1].count(names[place])}"


def _some_people(recipe: StudyRecipe, source: str, root: Path | None) -> Annotations:
    """Annotated people of the split, evenly spread; of videos a few frames each."""
    if source == "sample":
        root = ensure_sample(recipe.dataset, smoke=smoke())
    partial = recipe.source == "real" or recipe.data_root is not None
    split, place = recipe.eval_split, root or data_root()
    table = data.load(recipe.dataset, split, place, source=source, allow_partial=partial)
    rows = np.flatnonzero(table.visible.any(1) & (table.reference > 0))
    if not len(rows):
        raise PosekitError(f"{recipe.dataset}: nobody in the {split} split can be scored")
    if not data.dataset(table.dataset).video:
        return table.rows(_spread(rows, recipe.people))
    videos = _spread(np.unique(table.sequence[rows]), -(-recipe.people // _FRAMES))
    starts = [rows[table.sequence[rows] == video][:_FRAMES] for video in videos]
    return table.rows(np.concatenate(starts))


def _spread(items: np.ndarray, count: int) -> np.ndarray:
    """So many of the items, evenly spread."""
    return items[np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def _clips(people: Annotations, estimator: Estimator) -> Clips:
    about, framing = estimator.task.model.description, estimator.framing
    if not about.centre_map:
        framing = replace(framing, drop=data.dataset(people.dataset).crop_drop)
    return Clips(people, estimator.skeleton, _FRAMES if about.kind == "clip" else 1, framing)


def text(study: Study) -> str:
    """What is looked at, by whom."""
    lines = [f"{len(study.people)} people of {study.run.label}, {study.metric} (0 to 100)"]
    lines += [f"note: {note}" for note in study.run.record.notes]
    return "\n".join(lines)
