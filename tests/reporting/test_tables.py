"""Tables of results as text, markdown and LaTeX."""

import pandas as pd
from runs import config

from posekit.config.recipes import published
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


def test_sides_are_told_apart_in_a_table_of_their_own():
    joints = {"head": 90.0, "left_wrist": 70.0, "right_wrist": 50.0, "pelvis": float("nan")}
    score = Score(70.0, {"Head": 90.0, "Wrist": 60.0}, "PCK@0.2 box", "", 2, joints=joints)
    rows = published("lpm", "PennAction", sides=True)
    assert rows[0]["left_wrist"] == 96.5 and published("lpm", "PennAction")[0]["wrist"] == 96.55
    record = RunRecord(dataset="PennAction", source="real")
    table = tables.comparison(score, score, rows, record, "clips of 5 frames", sides=True)
    columns = ["result", "head", "left_wrist", "right_wrist", "Mean", "metric", "source"]
    assert table.columns.tolist() == columns
    assert table["right_wrist"].tolist() == [50.0, 50.0, 96.6]
    assert table["source"].tolist()[:2] == ["clips of 5 frames", ""]
    assert "every video one recurrence" in table["source"][2]


def test_tables_in_three_formats():
    run = Run.open(config())
    frame = pd.DataFrame({"result": ["a|b_c"], "Mean": [81.254], "none": [float("nan")]})
    run.keep("PCK", frame, "table")
    assert (run.folder / "table.md").read_text().splitlines()[2] == "| a\\|b_c | 81.254 | – |"
    assert r"a|b\_c & 81.254 & – \\" in (run.folder / "table.tex").read_text()
    assert pd.read_csv(run.folder / "table.csv").shape == (1, 3)


def test_a_column_has_one_number_of_decimals():
    frame = pd.DataFrame(
        [["a", 0.5, 1.25, 1, 0.5], ["b", float("nan"), 1234.5, 12067870, -1.0]],
        columns=["text", "seconds", "percent", 7, 7],
    )
    text = tables.as_text(frame)
    assert list(text.columns) == ["text", "seconds", "percent", "7", "7"]
    assert text.to_numpy().tolist() == [
        ["a", "0.5", "1.25", "1", "0.5"],
        ["b", "–", "1,234.50", "12,067,870", "-1.0"],
    ]
    assert tables.as_text(frame.iloc[:0]).shape == (0, 5)


def test_the_metric_says_how_its_numbers_are_written():
    percent = pd.DataFrame({"Mean": [0.5, 0.04], "metric": ["PCKh@0.5"] * 2})
    assert tables.as_text(percent)["Mean"].tolist() == ["0.5", "0.0"]
    fraction = pd.DataFrame({"AP": [1.0, 0.0], "APL": [-1.0, 0.5], "metric": ["AP, own boxes"] * 2})
    text = tables.as_text(fraction)
    assert text["AP"].tolist() == ["1.000", "0.000"] and text["APL"].tolist() == ["–", "0.500"]
    record = RunRecord(metrics={"AP": 1.0})
    assert [record.shown(score) for score in (1.0, 0.0, None)] == ["1.000", "0.000", "–"]
    assert RunRecord(metrics={"Mean": 0.5}).shown(0.5) == "0.5"
