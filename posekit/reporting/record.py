"""The record of a run: metrics.json as a checked model, written by the run and read by all."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..files.paths import reports_root
from ..files.reading import read_file
from ..weights import RUN_WEIGHTS
from .lock import is_held

FILE = "metrics.json"
_MAX_BYTES = 2**24
LARGEST = 10**15  # no number of a run gets there, and a longer one could not be shown


def _none_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


Text = Annotated[str, AfterValidator(lambda text: text.encode("utf-8").decode())]
Count = Annotated[int, Field(strict=True, gt=-LARGEST, lt=LARGEST)]
Number = Annotated[float, Field(strict=True, gt=-LARGEST, lt=LARGEST)]
Measured = Annotated[Number | None, BeforeValidator(_none_for_nan)]


class RunRecord(BaseModel):
    """What metrics.json holds; fields that a file lacks have the values of a run that just began.

    Attributes:
        model: name of the network.
        trained: False for random weights, whose numbers mean nothing.
        trained_on: the data sets that are trained on, where they are several.
        started_from: the run or file of weights that training began with; empty for none.
        source: real or sample.
        metric: name of the score, such as "PCK@0.2 box".
        protocol: how the score is made, one sentence.
        metrics: column -> score; the headline is Mean (percent) or, for COCO, AP.
        baseline: `mean_pose`, the headline of predicting the mean pose for everybody.
        published: method -> headline under the same metric.
        n_samples: people that are scored.
        precision: of training steps: fp32, bf16 or fp16; empty where nothing is trained.
        gmacs: multiply-adds of one clip, 1e9; None where they cannot be counted.
        latency_ms: of one image on one CPU thread; None where it was not measured.
        latency_flip_ms: the same with the flip test.
        train_seconds: of all epochs.
        status: `running` as long as a process works on the run and holds its folder.
        fingerprint: equal for runs whose settings lead to the same numbers.
        data_stamp: equal for runs that read the same data.
        started: local time, ISO 8601.
        answer: what a study found, one sentence; a training's score says it.
        notes: remarks that belong beside every number.
        figures: file -> caption.
        smoke: a run of the test-suite, which shrinks everything to seconds.
    """

    model_config = ConfigDict(validate_assignment=True)

    paper: Text = ""
    paper_title: Text = ""
    model: Text = ""
    trained: bool = True
    dataset: Text = ""
    trained_on: Text = ""
    started_from: Text = ""
    source: Text = ""
    split: Text = ""
    metric: Text = ""
    protocol: Text = ""
    metrics: dict[Text, Measured] = {}
    baseline: dict[Text, Measured] = {}
    published: dict[Text, Measured] = {}
    n_samples: Count = 0
    params_count: Count = 0
    gmacs: Measured = 0.0
    latency_ms: Measured = None
    latency_flip_ms: Measured = None
    seed: Count = 0
    precision: Text = ""
    epochs_done: Count = 0
    train_seconds: Number = 0.0
    git_commit: Text | None = None
    status: Literal["running", "finished", "interrupted", "failed"] = "interrupted"
    fingerprint: Text = ""
    data_stamp: Text = ""
    started: Text = ""
    answer: Text = ""
    notes: list[Text] = []
    figures: dict[Text, Text] = {}
    smoke: bool = False

    @property
    def is_sample(self) -> bool:
        """Whether every number comes from the generated sample."""
        return self.source == "sample"

    @property
    def label(self) -> str:
        """The data as titles name it."""
        return f"{self.dataset} (generated sample)" if self.is_sample else self.dataset

    @property
    def name(self) -> str:
        """The network as titles name it."""
        return self.model if self.trained else f"{self.model} (UNTRAINED)"

    @property
    def headline(self) -> float | None:
        """The one number of the run: AP on COCO, else Mean; None without a score."""
        return self.metrics.get("AP", self.metrics.get("Mean"))

    @property
    def decimals(self) -> int:
        """Of a score as text: three of AP, which is a fraction, one of percent."""
        return 3 if "AP" in self.metrics else 1

    def shown(self, score: float | None) -> str:
        """A score of this run's metric as text; a dash if there is none."""
        if score is None or score != score:
            return "–"
        return f"{round(score, self.decimals) + 0:.{self.decimals}f}"

    @property
    def comparable(self) -> str:
        """Equal for runs whose scores can be compared: data, metric, split and number of people."""
        if not self.metric:
            return f"{self.label or 'unknown data'}: no score"
        return f"{self.label}: {self.metric}, {self.split} split, {self.n_samples:,} people"


FoundRun = tuple[Path, RunRecord]


def read_record(folder: Path, file: str = FILE) -> RunRecord | None:
    """The record of a run folder; None if there is none, or it is damaged.

    A record that says `running` though no process holds the folder is of a run that was killed; it
    is returned as `interrupted`.
    """
    try:
        record = RunRecord.model_validate_json(read_file(folder / file, "record", _MAX_BYTES))
    except ValueError:
        return None
    if record.status == "running" and not is_held(folder):
        record.status = "interrupted"
    return record


def run_folders() -> list[Path]:
    """Folders below reports/ that hold a record, by name."""
    return sorted(path.parent for path in reports_root().glob(f"*/{FILE}"))


def all_runs() -> list[FoundRun]:
    """Run folders with their records, newest first; those with a damaged record are left out."""
    runs = [(folder, record) for folder in run_folders() if (record := read_record(folder))]
    return sorted(runs, key=lambda run: (run[1].started, run[0].name), reverse=True)


def trained_runs() -> list[FoundRun]:
    """Finished runs that left weights, newest first."""
    return [
        (folder, record)
        for folder, record in all_runs()
        if record.status == "finished" and (folder / RUN_WEIGHTS).is_file()
    ]
