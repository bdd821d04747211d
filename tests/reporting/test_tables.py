"""Tables of results as text, markdown and LaTeX."""

import numpy as np
import pandas as pd
from runs import config

from posekit.metrics import pck
from posekit.reporting import tables
from posekit.reporting.run_folder import Run


def test_only_the_same_metric_is_put_beside_the_run():
    truth = np.zeros((2, 13, 2))
    score = pck.pck_score("PennAction", truth, truth, np.ones((2, 13), bool), np.ones(2))
    rows = [
        {"method": "A", "metric": "PCK@0.2 box", "source": "paper", **dict.fromkeys(
            ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "mean"], 97.0)},
        {"method": "B", "metric": "PENN_test.m", "source": "readme"},
    ]  # fmt: skip
    table = tables.comparison(score, score, rows, "PennAction (generated sample)", True)
    assert table["result"].tolist() == [
        "this run, PennAction (generated sample)",
        "mean pose, PennAction (generated sample)",
        "published on the real data: A",
    ]


def test_tables_in_three_formats():
    run = Run.open(config())
    frame = pd.DataFrame({"result": ["a|b_c"], "Mean": [81.254], "none": [float("nan")]})
    run.table(frame)
    assert (run.folder / "table.md").read_text().splitlines()[2] == "| a\\|b_c | 81.3 |  |"
    assert r"a|b\_c & 81.3 &  \\" in (run.folder / "table.tex").read_text()
    assert pd.read_csv(run.folder / "table.csv").shape == (1, 3)
