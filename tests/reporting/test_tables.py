"""Tables of results as text, markdown and LaTeX."""

import pandas as pd
from runs import config

from posekit.metrics.score import Score
from posekit.reporting import tables
from posekit.reporting.record import RunRecord
from posekit.reporting.run_folder import Run

JOINTS = "Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"


def test_only_the_same_metric_is_put_beside_the_run():
    score = Score(
        mean=100.0,
        per_joint=dict.fromkeys(JOINTS, 100.0),
        metric="PCK@0.2 box",
        protocol="",
        n_people=2,
    )
    rows = [
        {"method": "A", "metric": "PCK@0.2 box", "source": "paper", **dict.fromkeys(
            ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "mean"], 97.0)},
        {"method": "B", "metric": "PENN_test.m", "source": "readme"},
    ]  # fmt: skip
    table = tables.comparison(score, score, rows, RunRecord(dataset="PennAction", source="sample"))
    assert table["result"].tolist() == [
        "this run, PennAction (generated sample)",
        "mean pose, PennAction (generated sample)",
        "published on the real data: A",
    ]
    assert table["Mean"].tolist() == [100.0, 100.0, 97.0]
    assert table["source"].tolist() == ["", "", "paper"]


def test_tables_in_three_formats():
    run = Run.open(config())
    frame = pd.DataFrame({"result": ["a|b_c"], "Mean": [81.254], "none": [float("nan")]})
    run.table(frame)
    assert (run.folder / "table.md").read_text().splitlines()[2] == "| a\\|b_c | 81.3 |  |"
    assert r"a|b\_c & 81.3 &  \\" in (run.folder / "table.tex").read_text()
    assert pd.read_csv(run.folder / "table.csv").shape == (1, 3)


def test_a_column_has_one_number_of_decimals():
    frame = pd.DataFrame(
        [["a", 0.5, 1.25, 1, 0.5], ["b", float("nan"), 100.0, 2, None]],
        columns=["text", "AP", "percent", 7, 7],
    )
    text = tables.as_text(frame)
    assert list(text.columns) == ["text", "AP", "percent", "7", "7"]
    assert text.to_numpy().tolist() == [
        ["a", "0.500", "1.2", "1", "0.500"],
        ["b", "", "100.0", "2", ""],
    ]
    assert tables.as_text(frame.iloc[:0]).shape == (0, 5)
