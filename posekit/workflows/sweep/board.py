"""The board of a sweep: mean and deviation over the seeds, and differences seed by seed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ...files.writing import write_text
from ...reporting.pages import write_page
from ...reporting.record import RunRecord, all_runs
from ...reporting.tables import to_latex, to_markdown
from .jobs import Job


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
    write_text(folder / "table.csv", table.to_csv(index=False))
    write_text(folder / "table.md", to_markdown(table))
    write_text(folder / "table.tex", to_latex(table))
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
