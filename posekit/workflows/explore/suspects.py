"""Annotations of the data set that are worth a second look."""

import pandas as pd
from IPython.display import Image

from ...data.suspects import suspects
from .pictures import pose_sheet
from .setup import Exploration


def listing(exp: Exploration, longest: int = 30) -> pd.DataFrame | str:
    """The worst suspects; all of them go into suspects.csv of the run folder."""
    table = suspects(exp.people)
    counts = table["suspicion"].value_counts()
    told = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "nothing"
    print(f"{len(table):,} of {len(exp.people):,} people or videos; {told}")
    if not len(table):
        return "no annotation looks wrong"
    exp.run.keep("Annotations to look at again", table.head(longest))
    table.to_csv(exp.run.folder / "suspects.csv", index=False)
    return table.head(longest).round(2)


def gallery(exp: Exploration) -> Image | str:
    """The worst of each suspicion, a row each."""
    table, count = suspects(exp.people), exp.asked.people
    if not len(table):
        return "no annotation looks wrong"
    table = table.groupby("suspicion", sort=False).head(count)
    table = table.sort_values("suspicion", kind="stable")
    labels = [f"{one.suspicion}\n{one.where}" for one in table.itertuples()]
    figure = pose_sheet(exp, table["row"].tolist(), "Worth a second look", labels, count)
    caption = "The worst of each suspicion; right is vermilion, left is blue."
    return exp.run.figure("6-suspects", figure, caption)
