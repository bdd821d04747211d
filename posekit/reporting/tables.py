"""Tables of results: a run beside the mean pose and published scores, as text, markdown, LaTeX."""

from typing import TYPE_CHECKING, Any

from ..metrics.score import Score

if TYPE_CHECKING:
    import pandas as pd


def comparison(
    score: Score, baseline: Score, published: list[dict], this: str, sample: bool
) -> "pd.DataFrame":
    """This run, the mean pose, and what was published under the same metric.

    Published rows of another metric are left out: they cannot be compared.

    Args:
        score: of this run.
        baseline: of the mean pose.
        published: rows from `posekit.config.recipes.published`.
        this: what to call the data, such as "PennAction (generated sample)".
        sample: whether the data are generated; published rows then say that theirs are not.
    """
    import pandas as pd

    rows = [
        {"result": f"this run, {this}"} | _row(score),
        {"result": f"mean pose, {this}"} | _row(baseline),
    ]
    rows += [
        {
            "result": f"published{' on the real data' * sample}: {p['method']}",
            **{column: p.get(column.lower()) for column in score.values},
            "metric": p["metric"],
            "source": p["source"],
        }
        for p in published
        if p["metric"] == score.metric
    ]
    return pd.DataFrame(rows).fillna({"source": ""}).round(3 if score.headline == "AP" else 2)


def _row(score: Score) -> dict[str, Any]:
    return score.values | {"metric": score.metric, "source": ""}


def as_text(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A table's cells as they are read: AP with three decimals, percent with one, NaN empty.

    A column has one number of decimals: three where no value is above 1.
    """
    import pandas as pd

    def column(values: "pd.Series") -> list[str]:
        numbers = [v for v in values if isinstance(v, float) and v == v]
        decimals = 3 if all(abs(v) <= 1 for v in numbers) else 1
        return [cell(v, decimals) for v in values]

    def cell(value: Any, decimals: int) -> str:
        if not isinstance(value, float):
            return str(value)
        return "" if value != value else f"{value:.{decimals}f}"

    texts = {place: column(frame.iloc[:, place]) for place in range(frame.shape[1])}
    return pd.DataFrame(texts).set_axis(list(map(str, frame.columns)), axis=1)


def to_markdown(frame: "pd.DataFrame") -> str:
    """A table as GitHub markdown."""
    text = as_text(frame)
    rows = [list(text.columns), ["---"] * frame.shape[1]]
    rows += [[v.replace("|", "\\|") for v in row] for row in text.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def to_latex(frame: "pd.DataFrame") -> str:
    """A table as a LaTeX tabular."""
    text = as_text(frame)
    rows = [text.columns, *text.itertuples(index=False)]
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in rows]
    lines.insert(1, r"\hline")
    columns = "l" + "r" * (frame.shape[1] - 1)
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}", ""])


def _latex(text: str) -> str:
    for character in "&%#_":
        text = text.replace(character, f"\\{character}")
    return text
