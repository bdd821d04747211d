"""Tables of results: a run beside the mean pose and published scores, as text, markdown, LaTeX."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..files.writing import write_text
from ..metrics.score import Score
from .record import RunRecord


def comparison(
    score: Score,
    baseline: Score,
    published: list[dict],
    record: RunRecord,
    testing: str = "",
    sides: bool = False,
) -> pd.DataFrame:
    """The run, the mean pose, and what was published under the same metric.

    Published rows of another metric are left out: they cannot be compared.

    Args:
        score: of the run.
        baseline: of the mean pose.
        published: rows from `posekit.config.recipes.published`.
        record: of the run; where it read generated data, published rows say that theirs are real.
        testing: how the run was tested, one phrase.
        sides: a column for every joint of the data set, left and right apart.
    """

    def numbers(one: Score) -> dict[str, float]:
        return one.by_joint if sides else one.values

    ours = f"this run, trained on {record.trained_on}" if record.trained_on else "this run"
    ours += "" if record.trained else ", UNTRAINED"
    rows = [
        {"result": f"{what}, {record.label}", **numbers(one), "metric": one.metric, "source": how}
        for what, one, how in ((ours, score, testing), ("mean pose", baseline, ""))
    ]
    rows += [
        {
            "result": f"published{' on the real data' * record.is_sample}: {p['method']}",
            **{column: p.get(column.lower()) for column in numbers(score)},
            "metric": p["metric"],
            "source": p["source"],
        }
        for p in published
        if p["metric"] == score.metric
    ]
    return pd.DataFrame(rows).fillna({"source": ""}).round(3)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """A table's cells as they are read: AP with three decimals, percent with one, a dash for none.

    The table's column `metric` says what its numbers are; without it a column keeps the decimals
    that it was rounded to, three at most. Thousands are separated.
    """
    metrics = [str(name) for name in frame.get("metric", ())]
    is_ap = any(name.startswith("AP") for name in metrics)

    def column(values: pd.Series) -> pd.Series:
        known = [value for value in values if isinstance(value, float) and value == value]
        needed = (n for n in (1, 2) if all(round(value, n) == value for value in known))
        decimals = 3 if is_ap else 1 if metrics else next(needed, 3)
        return values.astype(object).map(lambda value: cell(value, decimals))

    def cell(value: Any, decimals: int) -> str:
        if value is None or value != value or is_ap and value == -1:  # COCO's for "nobody"
            return "–"
        if isinstance(value, float):
            return f"{round(value, decimals) + 0:,.{decimals}f}"  # no minus before a zero
        return f"{value:,}" if type(value) is int else str(value)

    return frame.apply(column).rename(columns=str)


def to_markdown(frame: pd.DataFrame) -> str:
    """A table as GitHub markdown."""
    text = as_text(frame)
    rows = [list(text.columns), ["---"] * frame.shape[1]]
    rows += [[v.replace("|", "\\|") for v in row] for row in text.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def to_latex(frame: pd.DataFrame) -> str:
    """A table as a LaTeX tabular with the rules of the package booktabs."""
    columns = "l" + "r" * (frame.shape[1] - 1)
    return as_text(frame).to_latex(index=False, escape=True, column_format=columns)


def write_table(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write a table as NAME.csv, NAME.md and NAME.tex."""
    write_text(folder / f"{name}.csv", frame.to_csv(index=False))
    write_text(folder / f"{name}.md", to_markdown(frame))
    write_text(folder / f"{name}.tex", to_latex(frame))
