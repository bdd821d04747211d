"""Networks on people of whom a joint or part is occluded: parameters, networks and people.

Everybody is scored twice, as they are and with one joint or part occluded, in points of 0..100 per
visible joint: on COCO the joint's term of OKS, elsewhere whether it is within the data set's PCK
threshold. A drop is the difference over the people who have what is occluded, all their visible
joints counted, the occluded ones too. With everybody of the split the networks are tested as in the
evaluate notebook, and each occlusion also has the official score, COCO's AP as in the paper.
"""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field

from ... import data
from ...config.knobs import Boxes, Count, Dataset, Pixels, Positive, RunKnobs, Source
from ...config.machine import Machine, choose_machine
from ...config.resolve import Config, resolve_source
from ...config.settings import check, knob
from ...data.annotations import Annotations, with_joints
from ...data.clips import Clips
from ...data.predictions import Predictions
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...files.paths import smoke
from ...geometry.body_parts import PARTS
from ...inference.estimator import PoseEstimator, number_equal_names
from ...inference.open_network import check_joints, open_estimator
from ...inference.sampling import spread_rows
from ...metrics.bootstrap import nan_mean
from ...metrics.score import Score
from ...models.mobilepose import TrainedOn
from ...reporting.record import read_record
from ...reporting.run_folder import Run
from ..default_networks import default_networks
from ..training.opening import open_run

_PAPER = (
    "Pytel, Kayhan, van Gemert: Tilting at windmills: Data augmentation for deep pose estimation "
    "does not help with occlusions, arXiv 2010.10451"
)
_FRAMES, _NETWORKS, _SMOKE_PEOPLE = 5, 3, 4  # of a video; of newest runs; in a test


def _number(people: Any) -> Any:
    return 0 if people == "all" else people


class StudySettings(RunKnobs):
    """The parameters of the notebook."""

    networks: tuple[str, ...] = knob("run folders, .onnx, NAME@FILE; none for the newest runs", ())
    dataset: Dataset | None = knob("LSP, MPII, PennAction, COCO; None as trained on", None)
    source: Source = knob("auto, real or sample", "auto")
    data_root: str | None = knob("folder that holds coco, LSP, mpii, PennAction", None)
    eval_split: Literal["test", "train"] = knob("split of the people", "test")
    boxes: Boxes = knob("ground_truth, or detections of COCO", "ground_truth")
    box_file: str | None = knob("json of other COCO detections, taken in their place", None)
    people: Annotated[int, BeforeValidator(_number)] = knob(
        "how many, spread over the split; all for official scores too", 64, ge=0
    )
    effects: Annotated[tuple[Literal["blur", "black", "mean"], ...], Field(min_length=1)] = knob(
        "how a part is occluded; tables show the first one", ("mean", "black", "blur")
    )
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = knob(
        "factors on the occluded area's sides; tables show the first", (1.0, 0.5, 1.5)
    )
    joints: bool = knob("also occlude every single joint", True)
    resamples: int = knob("of the bootstrap", 2000, ge=100)
    flip_test: bool | None = knob("average with the mirrored image; as tested if all", None)
    skeleton: str | None = knob("joints of a file that does not say its own", None)
    image_size: tuple[Pixels, Pixels] | None = knob("crop [h, w] of such a file", None)
    trained_on: TrainedOn = None
    batch_size: Count = knob("clips or images at a time", 32)

    @property
    def whole(self) -> bool:
        """Whether everybody of the split is there, so that there is an official score."""
        return self.people == 0

    @property
    def scored(self) -> str:
        """The data set of the score."""
        return self.dataset


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
        root: the data root.
        machine: device and precision.
        estimators: the networks.
        people: who is occluded; of detected people, with the joints of annotated ones.
        clips: their crops, as each network sees them.
        points: per network, occlusion -> (N, K) 0..100, NaN for joints that do not count.
        occluded: occlusion -> (N,) bool, who has what is occluded, in every network's crop.
        predictions: per network, occlusion -> predictions of N rows, in the network's joints.
        scores: network -> its official score without any occlusion, of everybody.
    """

    config: Config
    run: Run
    root: Path
    machine: Machine
    estimators: list[PoseEstimator]
    people: Annotations
    clips: list[Clips]
    points: list[dict[Occlusion, np.ndarray]] = field(default_factory=list)
    occluded: dict[Occlusion, np.ndarray] = field(default_factory=dict)
    predictions: list[dict[Occlusion, Predictions]] = field(default_factory=list)
    scores: dict[str, Score] = field(default_factory=dict)

    @property
    def settings(self) -> StudySettings:
        """The values of the parameters."""
        return self.config.settings

    @property
    def names(self) -> list[str]:
        """The networks, as tables name them."""
        return [estimator.name for estimator in self.estimators]

    def predicted(self, network: int, occlusion: Occlusion) -> tuple[Clips, Predictions, Path]:
        """What the official scores of a network under an occlusion are made from."""
        return self.clips[network], self.predictions[network][occlusion], self.root

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
        """The occlusions of all parts, or of all wanted joints, by one effect in one size."""
        usual = self.settings.effects[0], self.settings.sizes[0]
        wanted = self.people.skeleton.joints if self.settings.joints else ()
        names = [f"joint {joint}" for joint in wanted] if joints else PARTS
        return [Occlusion(name, effect or usual[0], size or usual[1]) for name in names]

    def lost(self, network: int, occlusion: Occlusion) -> np.ndarray:
        """(N, K) points that each joint loses; NaN for people without what is occluded."""
        difference = self.points[network][UNOCCLUDED] - self.points[network][occlusion]
        return np.where(self.occluded[occlusion][:, None], difference, np.nan)

    def drop(self, network: int, *occlusions: Occlusion) -> np.ndarray:
        """(N,) points that each person loses on average; NaN without what is occluded."""
        return nan_mean([nan_mean(self.lost(network, one), 1) for one in occlusions])


def start(namespace: dict[str, Any]) -> Study:
    """Check the parameters, open the networks, read the people and open the run folder.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming what is wrong with the parameters, before any work.
    """
    given = check(StudySettings, namespace, "the occlusion notebook cannot run with this:")
    settings = StudySettings(**given)
    video = settings.dataset and data.dataset(settings.dataset).video
    in_tests = ["lpm" if video else "hrnet_w32"]
    sources = list(settings.networks) or default_networks(in_tests, settings.dataset, _NETWORKS)
    first = read_record(Path(os.path.expanduser(sources[0])))
    dataset, source = settings.dataset or (first and first.dataset) or "COCO", settings.source
    if first and source == "auto" and settings.data_root is None:
        source = first.source
    source, root = resolve_source(dataset, source, settings.data_root)
    machine = choose_machine(settings.device, settings.precision, settings.workers)
    estimators = _open_networks(settings, sources, dataset, machine)
    resolved = {"dataset": dataset, "networks": tuple(e.name for e in estimators)}
    origins = dict.fromkeys(StudySettings.model_fields, "default")
    origins |= dict.fromkeys(resolved, "the networks") | dict.fromkeys(given, "you")
    if smoke():
        resolved["people"] = min(settings.people, _SMOKE_PEOPLE)
    settings = settings.model_copy(update=resolved)
    config = Config("occlusion", "occlusion study", settings, origins, source, root, smoke())
    run = open_run(config)
    root = root or ensure_sample(dataset, smoke=smoke())
    people = _load_people(settings, source, root)
    notes = [estimator.story for estimator in estimators]
    trained = all(estimator.trained for estimator in estimators)
    if not trained:
        notes.append("NOT TRAINED: these numbers mean nothing")
    if settings.eval_split == "train":
        notes.append("people of the training split: a network may know them by heart")
    model = f"Occlusion of {', '.join(settings.networks)}"
    notes += people.notes
    run.update(notes=notes, n_samples=len(people), model=model, trained=trained, paper_title=_PAPER)
    clips = [_clips(people, estimator) for estimator in estimators]
    return Study(config, run, root, machine, estimators, people, clips)


def _open_networks(
    settings: StudySettings, sources: list[str], dataset: str, machine: Machine
) -> list[PoseEstimator]:
    joints = settings.skeleton
    flip_test = settings.flip_test if settings.whole else bool(settings.flip_test)
    asked = joints, settings.image_size, flip_test, settings.trained_on, dataset
    estimators = [open_estimator(name, machine.device, *asked) for name in sources]
    for one in estimators:
        if settings.whole:
            check_joints(one.name, one.skeleton, dataset)
        else:
            one.settings = one.settings.model_copy(update={"test_scales": (1.0,), "test_bias": 0.0})
        if settings.channels_last and machine.device.type != "mps":
            one.task.model.to(memory_format=torch.channels_last)
    number_equal_names(estimators)
    return estimators


def _load_people(settings: StudySettings, source: str, root: Path) -> Annotations:
    """People of the split: all of them, or some, evenly spread, of videos a few frames each."""
    may_lack, split = settings.source == "real" or bool(settings.data_root), settings.eval_split
    read = partial(data.load, settings.dataset, split, root, source=source, allow_partial=may_lack)
    table = read(boxes=settings.box_file or settings.boxes)
    if settings.box_file or settings.boxes != "ground_truth":
        table = with_joints(table, read())
    rows = np.flatnonzero(table.visible.any(1) & (table.reference > 0))
    if not len(rows):
        raise PosekitError(f"{settings.dataset}: nobody in the {split} split can be scored")
    if settings.whole:
        return table
    frames = _FRAMES if data.dataset(table.dataset).video else 1
    sequences = np.unique(table.sequence[rows])
    chosen = sequences[spread_rows(len(sequences), -(-settings.people // frames))]
    return table.rows(np.concatenate([rows[table.sequence[rows] == s][:frames] for s in chosen]))


def _clips(people: Annotations, estimator: PoseEstimator) -> Clips:
    own, about = estimator.settings, estimator.task.model.description
    framing = own.framing(data.dataset(people.dataset).crop_drop)
    return Clips(people, estimator.skeleton, own.clip_length(about), framing)
