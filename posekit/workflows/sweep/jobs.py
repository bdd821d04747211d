"""What a sweep's file asks for, and its board.

A sweep is one run for each paper, data set, choice of knobs and seed; the board has mean and
deviation over the seeds, and differences seed by seed.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ...config.resolve import Config, resolve
from ...config.settings import Settings, knob
from ...errors import PosekitError
from ...files.yaml_files import load_yaml
from ...reporting.pages import write_page
from ...reporting.record import FoundRun, RunRecord, all_runs
from ...reporting.run_folder import runs_of
from ...reporting.tables import write_table


class SweepFile(Settings):
    """What `sweeps/<name>.yaml` holds."""

    papers: tuple[str, ...] = knob("stems of papers: lpm, cpm, ...", min_length=1)
    datasets: tuple[str, ...] = knob("LSP, MPII, PennAction, COCO", min_length=1)
    seeds: tuple[int, ...] = knob("of everything random", (0,), min_length=1)
    knobs: dict[str, list[Any]] = knob("knob -> the values that it takes in turn", {})
    parameters: dict[str, Any] = knob("knob -> the value that it has in all runs", {})


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        paper: stem of the paper.
        varied: the knobs that differ within the sweep.
        parameters: of the notebook, these and the seed among them.
        config: the same, checked.
    """

    paper: str
    varied: Mapping[str, Any]
    parameters: Mapping[str, Any]
    config: Config

    @property
    def setting(self) -> str:
        """What all seeds have in common, as text."""
        return " ".join(f"{name}={value}" for name, value in self.varied.items()) or "as the recipe"

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.config.settings.seed

    @property
    def name(self) -> str:
        """The job in progress lines."""
        data = self.config.settings.dataset
        return f"{self.paper} {data}, {self.setting}, seed {self.seed}"

    def run(self, runs: Sequence[FoundRun]) -> FoundRun | None:
        """Its own among these runs, the finished one if there is one; None before it began."""
        own = runs_of(self.config, runs)
        return next((run for run in own if run[1].status == "finished"), next(iter(own), None))


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a sweep's file, by paper, data set, knobs and seed.

    Raises:
        PosekitError: naming the file and what is wrong in it, or the first job that cannot run.
    """
    values = load_yaml(path)
    told = SweepFile.made(values, f"{path} cannot be run:")
    names = list(told.knobs)
    jobs = []
    for paper, dataset, *chosen, seed in itertools.product(
        told.papers, told.datasets, *told.knobs.values(), told.seeds
    ):
        varied = dict(zip(names, chosen, strict=True))
        parameters = {"dataset": dataset, **told.parameters, **varied, "seed": seed}
        try:
            jobs.append(Job(paper, varied, parameters, resolve(paper, dict(parameters))))
        except PosekitError as error:
            raise PosekitError(f"{path}: {paper} {dataset} {varied}: {error}") from error
    return jobs


def write_board(folder: Path, jobs: Sequence[Job]) -> Path:
    """Write report.html and table.{csv,md,tex} of a sweep from the records of its runs.

    Args:
        folder: of the sweep.
        jobs: all of them, done or not.

    Returns:
        The path of report.html.
    """
    runs = all_runs()
    found = [job.run(runs) for job in jobs]
    table = summary(jobs, [run and run[1] for run in found])
    write_table(folder, "table", table)
    finished = sum(run is not None and run[1].status == "finished" for run in found)
    return write_page(
        folder / "report.html",
        "sweep.html",
        title=f"{folder.name.removeprefix('sweep-')}: a sweep of {len(jobs)} runs",
        finished=finished,
        sample=any(job.config.source == "sample" for job in jobs),
        protocols=sorted({run[1].protocol for run in found if run and run[1].protocol}),
        table=table,
        jobs=list(zip(jobs, found, strict=True)),
    )


def summary(jobs: Sequence[Job], records: Sequence[RunRecord | None]) -> pd.DataFrame:
    """One row a paper, data set and choice of knobs: its scores over the seeds.

    `difference` is the mean over the seeds that both have of this row's score less that of the
    first row with the same metric on the same data; `from` and `to` are the ends of its 95 percent
    interval by Student's t distribution, for two seeds or more.

    Args:
        jobs: of the sweep.
        records: of their runs, None for those that have not begun.
    """
    scores: dict[tuple[str, ...], dict[int, float]] = {}
    for job, record in zip(jobs, records, strict=True):
        if record and record.status == "finished" and record.headline is not None:
            key = (record.label, record.metric, job.paper, job.setting)
            scores.setdefault(key, {})[job.seed] = record.headline
    rows, first = [], {}
    for (data, metric, paper, setting), found in scores.items():
        values = np.array(list(found.values()))
        compared = first.setdefault((data, metric), found)
        row = {"data": data, "metric": metric, "paper": paper, "setting": setting}
        row |= {"seeds": len(values), "mean": values.mean()}
        row["deviation"] = values.std(ddof=1) if len(values) > 1 else np.nan
        rows.append(row | ({} if compared is found else _difference(found, compared)))
    columns = ["data", "metric", "paper", "setting", "seeds", "mean", "deviation"]
    return pd.DataFrame(rows, columns=[*columns, "difference", "from", "to"])


def _difference(found: dict[int, float], compared: dict[int, float]) -> dict[str, float]:
    both = np.array([found[seed] - compared[seed] for seed in found if seed in compared])
    if len(both) == 0:
        return {}
    if len(both) == 1:
        return {"difference": both[0]}
    half = stats.t.ppf(0.975, len(both) - 1) * both.std(ddof=1) / np.sqrt(len(both))
    return {"difference": both.mean(), "from": both.mean() - half, "to": both.mean() + half}
