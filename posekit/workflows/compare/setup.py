"""Runs side by side: parameters of the notebook, the runs, and the people whom all predicted.

Only runs of one data set, source, split and metric are compared, on the people that they share.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ... import data
from ...config.knobs import Count, Dataset, TestingKnobs
from ...config.resolve import Config
from ...config.settings import Settings, check, knob
from ...data.annotations import Annotations, with_joints
from ...data.clips import Clips
from ...data.framing import Framing
from ...data.predictions import FILE, KEYS
from ...data.sample import ensure_sample, sample_root
from ...data.scores import run_predictions
from ...errors import PosekitError
from ...files.paths import data_root, existing_path, reports_root, smoke
from ...files.yaml_files import load_yaml
from ...inference.evaluate import mean_pose
from ...reporting.record import RunRecord, all_runs, read_record
from ...reporting.run_folder import Run
from ..training.opening import open_run

_TITLE = "the compare notebook cannot run with this:"
_USUAL = "LSP"  # whose sample stands in where there are no runs
_MOST = 8


class CompareSettings(Settings):
    """The parameters of the notebook."""

    runs: Annotated[tuple[str, ...], Field(max_length=_MOST)] = knob(
        "run folders, the others against the first; none for the two newest", ()
    )
    dataset: Dataset | None = knob("of the newest runs; None for any", None)
    eval_split: str | None = knob("split of the newest runs; None for any", None)
    data_root: str | None = knob("folder that holds coco, LSP, mpii, PennAction", None)
    people: Count = knob("in a row of pictures", 6)
    resamples: int = knob("of the bootstrap", 2000, ge=100)
    seed: int = knob("of the bootstrap", 0, ge=0)
    interactive: bool | None = knob("show live widgets", None)

    @property
    def scored(self) -> str:
        """The data set of the scores."""
        return self.dataset


@dataclass
class Contender:
    """One of the runs.

    Attributes:
        record: what the run says of itself.
        parameters: its knobs.
        people: whom it predicted, with what is annotated of them.
        keypoints: (N, K, 2) image pixels of these people, in the joints of the data set.
        name: in tables.
        folder: of the run; None for a baseline that stands in.
        points: (N, K) 0..100, NaN for joints that do not count.
    """

    record: RunRecord
    parameters: dict[str, Any]
    people: Annotations
    keypoints: np.ndarray
    name: str = ""
    folder: Path | None = None
    points: np.ndarray | None = None

    @property
    def kind(self) -> tuple[str, ...]:
        """What has to be the same for two runs to be compared."""
        record = self.record
        return record.dataset, record.source, record.split, record.metric


@dataclass
class Comparison:
    """What every later step needs.

    Attributes:
        config: the checked parameters.
        run: the run folder of the comparison.
        people: N people that all runs predicted.
        contenders: the runs, with rows of these people.
    """

    config: Config
    run: Run
    people: Annotations
    contenders: list[Contender]

    @property
    def settings(self) -> CompareSettings:
        """The values of the parameters."""
        return self.config.settings

    @property
    def metric(self) -> str:
        """The unit of every difference."""
        return f"points of {data.dataset(self.people.dataset).scorer.name}"

    def gain(self, contender: Contender) -> np.ndarray:
        """(N, K) points that a run has more than the first one."""
        return contender.points - self.contenders[0].points

    def text(self) -> str:
        """The runs, the people and the remarks."""
        lines = [f"{len(self.people):,} people of {self.run.label}, {self.metric} (0 to 100)"]
        lines += [f"{c.name}: {c.folder.name if c.folder else 'baseline'}" for c in self.contenders]
        return "\n".join([*lines, *(f"note: {note}" for note in self.run.record.notes)])


def start(namespace: dict[str, Any]) -> Comparison:
    """Check the parameters, read the runs and open a run folder for their comparison.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming what is wrong with the parameters, or why the runs cannot be compared.
    """
    given = check(CompareSettings, namespace, _TITLE)
    settings, notes = CompareSettings(**given), []
    folders = [_folder(name) for name in settings.runs]
    if len(folders) == 1:
        raise PosekitError(f"{_TITLE} runs={settings.runs[0]!r} is one run: name two or more")
    found = [_read(folder, settings) for folder in folders] or _newest(settings)
    if not found:
        found = _baselines(settings.dataset or _USUAL)
        notes.append(
            "no two finished runs that can be compared: the mean pose against the middle of the "
            "box, on the generated sample, stand in"
        )
    _refuse_mixed(found)
    people, notes = _share(found, notes)
    scorer = data.dataset(people.dataset).scorer
    counted = people.visible & (people.reference > 0)[:, None]
    for letter, one in zip(ascii_uppercase, found, strict=False):
        one.name = f"{letter} {one.record.name}"
        one.points = np.where(counted, scorer.points(people, one.keypoints), np.nan)
    config = _config(settings, found, given)
    run = open_run(config)
    run.update(notes=notes, n_samples=len(people), paper_title="Runs on the same people")
    return Comparison(config, run, people, found)


def _config(settings: CompareSettings, found: Sequence[Contender], given: Mapping) -> Config:
    """The settings with what follows from the runs."""
    dataset, source, split, _ = found[0].kind
    runs = tuple(one.folder.name for one in found if one.folder)
    resolved = {"dataset": dataset, "eval_split": split, "runs": runs}
    origins = dict.fromkeys(CompareSettings.model_fields, "default")
    origins |= dict.fromkeys((*resolved, "source"), "the runs") | dict.fromkeys(given, "you")
    root = None if source == "sample" else _root(found[0].parameters, settings)
    title = " against ".join(one.name for one in found)
    settings = settings.model_copy(update=resolved)
    return Config("compare", title, settings, origins, source, root, smoke())


def _folder(name: str) -> Path:
    """A run folder by its path, or by its name below reports/."""
    folder = existing_path(name)
    return folder if folder.is_dir() else reports_root() / name


def _read(folder: Path, settings: CompareSettings) -> Contender:
    """A run with all people that it predicted.

    Raises:
        PosekitError: it has no score, or lacks what it should have left.
    """
    record = read_record(folder)
    if record is None or not record.metric:
        raise PosekitError(f"{folder} is no run with a score: name one that was evaluated")
    parameters = load_yaml(folder / "params.yaml")
    spec, source = data.dataset(record.dataset), record.source
    root = sample_root() if source == "sample" else _root(parameters, settings)
    people, found = run_predictions(spec, folder, record.split, source, root)
    if not people.visible.any():  # detected people
        options = {"source": source, "allow_partial": True}
        people = with_joints(people, data.load(spec.name, people.file_split, root, **options))
    return Contender(record, parameters, people, found.keypoints, folder=folder)


def _root(parameters: Mapping[str, Any], settings: CompareSettings) -> Path:
    return data_root(settings.data_root or parameters.get("data_root"))


def _newest(settings: CompareSettings) -> list[Contender]:
    """The newest two finished runs of one kind, the older one first; none if there are no two."""
    found: dict[tuple[str, ...], Contender] = {}
    for folder, record in all_runs():
        known = record.status, record.trained, record.dataset, record.split
        asked = "finished", True, settings.dataset or known[2], settings.eval_split or known[3]
        if known != asked or not (folder / FILE).is_file():
            continue
        with contextlib.suppress(PosekitError):  # of a run that is damaged, or whose data are gone
            newer = found.setdefault((one := _read(folder, settings)).kind, one)
            if newer is not one:
                return [one, newer]
    return []


def _baselines(name: str) -> list[Contender]:
    """Two predictions that need no network, on the generated sample."""
    spec, root = data.dataset(name), ensure_sample(name, smoke=smoke())
    tables = [data.load(name, split, root, source="sample") for split in ("train", "test")]
    train, test = (Clips(table, spec.skeleton, 1, Framing((256, 256), 1.25)) for table in tables)
    centres = test.framing.place(test.people.boxes)[0][:, None]
    poses = {
        "middle of the box": np.broadcast_to(centres, test.keypoints.shape),
        "mean pose": mean_pose(train, test),
    }
    usual = {"dataset": spec.name, "source": "sample", "split": "test", "metric": spec.scorer.name}
    return [
        Contender(RunRecord(model=model, **usual), {}, test.people, keypoints)
        for model, keypoints in poses.items()
    ]


def _refuse_mixed(found: Sequence[Contender]) -> None:
    """Refuse runs whose scores do not mean the same."""
    if len({one.kind for one in found}) > 1:
        lines = [f"{one.folder}: {', '.join(one.kind)}" for one in found]
        problem = "runs of several data sets, sources, splits or metrics cannot be compared"
        raise PosekitError("\n  ".join([f"{_TITLE} {problem}:", *lines]))


def _share(found: Sequence[Contender], notes: list[str]) -> tuple[Annotations, list[str]]:
    """Keep the people that all runs predicted; who they are, and what is to be said of that.

    Raises:
        PosekitError: there are none.
    """
    rows = shared_rows([one.people for one in found])
    counts = [len(one.people) for one in found]
    if not len(rows[0]):
        raise PosekitError(f"{_TITLE} the runs predicted nobody in common: score one data set")
    if len(rows[0]) < max(counts):
        notes.append(f"compared on {len(rows[0])} people whom all have, of {counts}")
    names = sorted(TestingKnobs.model_fields.keys() - {"batch_size"})
    odd = [n for n in names if len({str(one.parameters.get(n)) for one in found}) > 1]
    if odd:
        notes.append(f"not tested alike: {', '.join(odd)} differ, see the parameters")
    people = found[0].people.rows(rows[0])
    for one, own in zip(found, rows, strict=True):
        one.keypoints, one.people = one.keypoints[own], people
    return people, [*notes, *people.notes]


def shared_rows(tables: Sequence[Annotations]) -> list[np.ndarray]:
    """The rows (M,) of each table whose people, known by number and box, are in all tables."""
    keys = [np.column_stack([*(getattr(t, n) for n in KEYS), t.boxes.round()]) for t in tables]
    numbers = np.unique(np.concatenate(keys), axis=0, return_inverse=True)[1].ravel()
    numbers = np.split(numbers, np.cumsum([len(table) for table in tables])[:-1])
    common, orders = reduce(np.intersect1d, numbers), [np.argsort(n) for n in numbers]
    places = zip(numbers, orders, strict=True)
    return [order[np.searchsorted(n, common, sorter=order)] for n, order in places]
