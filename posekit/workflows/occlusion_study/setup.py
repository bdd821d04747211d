"""Networks on people of whom a joint or part is occluded: parameters, networks and people.

Everybody is scored twice, as they are and with one joint or part occluded, in points of 0..100 per
visible joint: on COCO the joint's term of OKS, elsewhere whether it is within the data set's PCK
threshold. A drop is the difference over the people who have what is occluded, all their visible
joints counted, the occluded ones too.
"""

import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from ... import data
from ...config.knobs import Count, Dataset, Pixels, Positive, Precision, Source
from ...config.machine import Machine, choose_machine
from ...config.resolve import Config, resolve_source
from ...config.settings import Settings, check
from ...data import Annotations
from ...data.clips import Clips
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...files.places import smoke
from ...geometry.body_parts import PARTS
from ...inference.estimator import Estimator, number_equal_names
from ...inference.open_network import find_network, open_estimator
from ...inference.sampling import spread_rows
from ...models.mobilepose import TrainedOn
from ...reporting.record import read_record, trained_runs
from ...reporting.run_folder import Run
from ..training.opening import open_run

if TYPE_CHECKING:
    import pandas as pd

_PAPER = (
    "Pytel, Kayhan, van Gemert: Tilting at windmills: Data augmentation for deep pose estimation "
    "does not help with occlusions, arXiv 2010.10451"
)
_FRAMES, _NETWORKS, _SMOKE_PEOPLE = 5, 3, 4  # of a video; of newest runs; in a test


class StudySettings(Settings):
    """The parameters of the notebook."""

    networks: tuple[str, ...] = Field(
        (), description="run folders, weights, .onnx, NAME@FILE; none for the newest runs"
    )
    dataset: Dataset | None = Field(
        None, description="LSP, MPII, PennAction, COCO; None as trained on"
    )
    source: Source = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds coco, LSP, mpii, PennAction")
    eval_split: Literal["test", "train"] = Field("test", description="split of the people")
    people: Count = Field(64, description="how many people, spread over the split")
    effects: Annotated[tuple[Literal["blur", "black", "mean"], ...], Field(min_length=1)] = Field(
        ("mean", "black", "blur"), description="how a part is occluded; tables show the first one"
    )
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1.0, 0.5, 1.5), description="factors on the occluded area's sides; tables show the first"
    )
    joints: bool = Field(True, description="also occlude every single joint")
    resamples: Annotated[int, Field(ge=100)] = Field(2000, description="of the bootstrap")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the bootstrap")
    flip_test: bool = Field(False, description="average with the mirrored image")
    skeleton: str | None = Field(None, description="joints of a file that does not say its own")
    image_size: tuple[Pixels, Pixels] | None = Field(None, description="crop [h, w] of such a file")
    trained_on: TrainedOn = None
    batch_size: Count = Field(32, description="clips or images at a time")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Precision = Field("auto", description="of the network")
    interactive: bool = Field(False, description="show the live playground")


@dataclass(frozen=True)
class Occlusion:
    """What is occluded, and how.

    Attributes:
        target: name of a part, a joint as "joint left_elbow", or `DISC`.
        effect: blur, black or mean; "none" for nothing.
        size: factor on the occluded area's sides; of a disc, its radius in tenths of the crop's
            width.
        position: of a disc, as shares of the crop's width and height.
    """

    target: str
    effect: str
    size: float
    position: tuple[float, float] = (0.5, 0.5)


DISC = "disc"
UNOCCLUDED = Occlusion("nothing", "none", 1.0)


@dataclass
class Study:
    """What every later step needs from the earlier ones.

    Attributes:
        config: the checked parameters.
        run: the run folder.
        machine: device and precision.
        estimators: the networks.
        people: who is occluded.
        clips: their crops, as each network sees them.
        points: per network, occlusion -> (N, K) 0..100, NaN for joints that do not count.
        occluded: occlusion -> (N,) bool, who has what is occluded, in every network's crop.
        predictions: per network, occlusion -> (N, K', 2) crop pixels, in the network's joints.
        tables: heading -> table, for the report.
    """

    config: Config
    run: Run
    machine: Machine
    estimators: list[Estimator]
    people: Annotations
    clips: list[Clips]
    points: list[dict[Occlusion, np.ndarray]] = field(default_factory=list)
    occluded: dict[Occlusion, np.ndarray] = field(default_factory=dict)
    predictions: list[dict[Occlusion, np.ndarray]] = field(default_factory=list)
    tables: dict[str, "pd.DataFrame"] = field(default_factory=dict)

    @property
    def settings(self) -> StudySettings:
        """The values of the parameters."""
        return self.config.settings

    @property
    def names(self) -> list[str]:
        """The networks, as tables name them."""
        return [estimator.name for estimator in self.estimators]

    @property
    def metric(self) -> str:
        """The unit of every number."""
        return f"points of {data.dataset(self.people.dataset).scorer.name}"

    def text(self) -> str:
        """The people, the metric and the networks."""
        lines = [f"{len(self.people)} people of {self.run.label}, {self.metric} (0 to 100)"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.run.record.notes)])

    def occlusions(
        self, effect: str | None = None, size: float | None = None, joints: bool = False
    ) -> list[Occlusion]:
        """The occlusions of all parts, or of all joints, by one effect in one size."""
        usual = self.settings.effects[0], self.settings.sizes[0]
        names = [f"joint {j}" for j in self.people.skeleton.joints] if joints else PARTS
        return [Occlusion(name, effect or usual[0], size or usual[1]) for name in names]

    def lost(self, network: int, occlusion: Occlusion) -> np.ndarray:
        """(N, K) points that each joint loses; NaN for people without what is occluded."""
        difference = self.points[network][UNOCCLUDED] - self.points[network][occlusion]
        return np.where(self.occluded[occlusion][:, None], difference, np.nan)

    def drop(self, network: int, *occlusions: Occlusion) -> np.ndarray:
        """(N,) points that each person loses on average; NaN without what is occluded."""
        return nan_mean([nan_mean(self.lost(network, one), 1) for one in occlusions])


def nan_mean(values: ArrayLike, axis: int = 0) -> np.ndarray:
    """Mean along an axis over what is no NaN; NaN, without a warning, where nothing is left."""
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis) / known.sum(axis).clip(1)
    return np.where(known.any(axis), mean, np.nan)


def start(namespace: dict[str, Any]) -> Study:
    """Check the parameters, open the networks, read the people and open the run folder.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming what is wrong with the parameters, before any work.
    """
    given = check(StudySettings, namespace, "the occlusion notebook cannot run with this:")
    settings = StudySettings(**given)
    sources = list(settings.networks) or _newest_runs(settings.dataset)
    first = read_record(Path(os.path.expanduser(sources[0]))) if sources else None
    dataset = settings.dataset or (first and first.dataset) or "COCO"
    source = settings.source
    if first and source == "auto" and settings.data_root is None:
        source = first.source
    source, root = resolve_source(dataset, source, settings.data_root)
    machine = choose_machine(settings.device, settings.precision, workers=0)
    estimators = _open_networks(settings, sources, dataset, machine)
    resolved = {"dataset": dataset, "networks": tuple(e.name for e in estimators)}
    origins = dict.fromkeys(StudySettings.model_fields, "default") | dict.fromkeys(given, "you")
    origins |= {name: "the networks" for name in resolved if name not in given}
    if smoke():
        resolved["people"] = min(settings.people, _SMOKE_PEOPLE)
    settings = settings.model_copy(update=resolved)
    config = Config("occlusion", "occlusion study", settings, origins, source, root, smoke())
    run = open_run(config)
    people = _load_people(settings, source, root)
    notes = [estimator.about for estimator in estimators]
    if not all(estimator.trained for estimator in estimators):
        notes.append("NOT TRAINED: these numbers mean nothing")
    if settings.eval_split == "train":
        notes.append("people of the training split: a network may know them by heart")
    run.update(
        notes=[*notes, *people.notes],
        n_samples=len(people),
        model=f"Occlusion of {', '.join(resolved['networks'])}",
        paper_title=_PAPER,
    )
    clips = [_clips(people, estimator) for estimator in estimators]
    return Study(config, run, machine, estimators, people, clips)


def _newest_runs(dataset: str | None) -> list[str]:
    """The newest finished runs of different networks on one data set and source."""
    found, kind = {}, None
    for folder, record in trained_runs():
        here = record.dataset, record.source
        if dataset not in (None, record.dataset) or here != (kind or here):
            continue
        with contextlib.suppress(PosekitError):  # of a run that is damaged or of an older version
            found.setdefault(find_network(str(folder)).name, str(folder))
            kind = here
        if len(found) == _NETWORKS:
            break
    return list(found.values())


def _open_networks(
    settings: StudySettings, sources: list[str], dataset: str, machine: Machine
) -> list[Estimator]:
    """The networks, or an untrained one of the data set's joints where there is none."""
    spec, joints = data.dataset(dataset), settings.skeleton
    if not sources:
        sources, joints = ["lpm" if spec.video else "hrnet_w32"], spec.skeleton.name
    asked = joints, settings.image_size, settings.flip_test, settings.trained_on
    estimators = [open_estimator(name, machine.device, *asked) for name in sources]
    number_equal_names(estimators)
    return estimators


def _load_people(settings: StudySettings, source: str, root: Path | None) -> Annotations:
    """Annotated people of the split, evenly spread; of videos a few frames each."""
    if source == "sample":
        root = ensure_sample(settings.dataset, smoke=smoke())
    partial, split = settings.source == "real" or settings.data_root, settings.eval_split
    table = data.load(settings.dataset, split, root, source=source, allow_partial=bool(partial))
    rows = np.flatnonzero(table.visible.any(1) & (table.reference > 0))
    if not len(rows):
        raise PosekitError(f"{settings.dataset}: nobody in the {split} split can be scored")
    frames = _FRAMES if data.dataset(table.dataset).video else 1
    sequences = np.unique(table.sequence[rows])
    chosen = sequences[spread_rows(len(sequences), -(-settings.people // frames))]
    return table.rows(np.concatenate([rows[table.sequence[rows] == s][:frames] for s in chosen]))


def _clips(people: Annotations, estimator: Estimator) -> Clips:
    about = estimator.task.model.description
    drop = 0.0 if about.centre_map else data.dataset(people.dataset).crop_drop
    framing, frames = replace(estimator.framing, drop=drop), _FRAMES if about.kind == "clip" else 1
    return Clips(people, estimator.skeleton, frames, framing)
