"""Run folders, tables and the pages that are made of them."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from posekit.config.recipes import bind
from posekit.metrics import pck
from posekit.reporting import pages, run_folder, tables


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def bound(**wishes):
    return bind("lpm", {"source": "sample", **wishes})


def scored(run, mean=81.5):
    run.update(
        metrics={"Mean": mean}, baseline={"mean_pose": 35.0}, metric="PCK@0.2 box",
        protocol="PCK <by hand>", paper_title="LPM", n_samples=4,
    )  # fmt: skip
    (run.folder / "log.jsonl").write_text('{"epoch": 1}\n')
    return run


def test_an_interrupted_run_of_the_same_parameters_is_continued():
    first = run_folder.Run.open(bound())
    assert json.loads((first.folder / "metrics.json").read_text())["status"] == "interrupted"
    assert re.fullmatch(r"lpm-PennAction-sample-\d{8}-\d{6}", first.folder.name)
    other = run_folder.Run.open(bound(epochs=7))
    first.end("interrupted")
    again = run_folder.Run.open(bound(device="cpu"))  # the device does not change the numbers
    assert again.folder == first.folder and again.resumed
    assert other.folder != first.folder
    again.end("finished")
    assert run_folder.Run.open(bound()).folder != first.folder
    assert not run_folder.Run.open(bound(resume="never", epochs=7)).resumed


def test_a_run_that_is_still_going_is_left_alone():
    first = run_folder.Run.open(bound())
    code = (
        "from posekit.config.recipes import bind; from posekit.reporting.run_folder import Run;"
        "print(Run.open(bind('lpm', {'source': 'sample'})).folder.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert done.stdout.strip() != first.folder.name


def test_the_report_is_self_contained_and_says_sample():
    run = scored(run_folder.Run.open(bound()))
    figure = Figure(figsize=(2, 1))
    image = run.figure("4-predictions", figure, "what it shows <here>")
    assert image.data.startswith(b"\x89PNG")
    frame = pd.DataFrame({"result": ["this run"], "Mean": [81.5]})
    path = pages.write_report(run, {"PCK": frame}, "the network", ["print(1 < 2)"])
    html = path.read_text()
    assert "<script" not in html and not re.search(r'(src|href)="(?!data:)', html)
    assert "PCK &lt;by hand&gt;" in html and "what it shows &lt;here&gt;" in html
    assert html.count("generated sample") >= 3 and "81.5" in html and "35.0" in html
    assert "print(1 &lt; 2)" in html and (run.folder / "figures/4-predictions-sample.png").exists()


def test_the_index_shows_every_run_as_what_it_is(reports):
    for status, lr in (("finished", 0.1), ("failed", 0.2), ("interrupted", 0.3)):
        scored(run_folder.Run.open(bound(lr=lr))).end(status)
    (reports / "broken").mkdir()
    (reports / "broken" / "metrics.json").write_text("{")
    html = pages.build_index().read_text()
    for status in ("finished", "failed", "interrupted"):
        assert f">{status}</span>" in html
    assert "PennAction (generated sample): PCK@0.2 box" in html and html.count("<tr>") == 4


def test_only_the_same_metric_is_put_beside_the_run():
    truth = np.zeros((2, 13, 2))
    score = pck.pck_score(
        pck.PROTOCOLS["PennAction"], truth, truth, np.ones((2, 13), bool), np.ones(2)
    )
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
    run = run_folder.Run.open(bound())
    frame = pd.DataFrame({"result": ["a|b_c"], "Mean": [81.254], "none": [float("nan")]})
    run.table(frame)
    assert (run.folder / "table.md").read_text().splitlines()[2] == "| a\\|b_c | 81.3 |  |"
    assert r"a|b\_c & 81.3 &  \\" in (run.folder / "table.tex").read_text()
    assert pd.read_csv(run.folder / "table.csv").shape == (1, 3)


def test_params_keep_their_origin():
    run = run_folder.Run.open(bound(lr=0.5))
    text = (run.folder / "params.yaml").read_text()
    assert "lr: 0.5  # you\n" in text and "  # sample.yaml\n" in text


@pytest.mark.parametrize(
    "damage",
    [
        {"params_count": None},
        {"gmacs": "many"},
        {"metric": ["PCK"]},
        {"train_seconds": 10**400},
        {"model": "\ud800"},
        {"started": 7},
        {"epochs_done": "<script>alert(1)</script>"},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_a_damaged_neighbour_is_a_row_that_says_so(reports, damage):
    scored(run_folder.Run.open(bound())).end("finished")
    neighbour = reports / "lpm-PennAction-20260101-000000"
    neighbour.mkdir()
    (neighbour / "metrics.json").write_text(json.dumps({"paper": "lpm", "metrics": {}} | damage))
    html = pages.build_index().read_text()
    assert "Damaged" in html and neighbour.name in html and ">finished</span>" in html
    assert "<script" not in html
    assert len(run_folder.all_runs()) == 1


def test_pages_escape_what_records_and_folders_say(reports):
    attack = "javascript:alert('<b>')\"&"
    folder = reports / attack
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    record = dict.fromkeys(("model", "split", "started", "status", "metric", "dataset"), attack)
    (folder / "metrics.json").write_text(json.dumps(record | {"baseline": {"mean_pose": 1.0}}))
    html = pages.build_index().read_text()
    assert "<b>" not in html and 'href="javascript:' not in html
    assert 'href="./javascript%3Aalert' in html


def test_a_run_never_continues_on_other_data(tmp_path, capsys):
    def on(name):
        labels = tmp_path / name / "PennAction" / "labels"
        if not labels.exists():
            labels.mkdir(parents=True)
            (labels / "0001.mat").write_text(name)
        return bind("lpm", {"data_root": str(tmp_path / name)})

    first = run_folder.Run.open(on("a"))
    first.end("interrupted")
    other = run_folder.Run.open(on("b"))
    assert other.folder != first.folder and not other.resumed
    assert "other data: a new run begins" in capsys.readouterr().out
    other.end("interrupted")
    again = run_folder.Run.open(on("a"))
    assert again.folder == first.folder and again.resumed
    again.end("interrupted")
    (tmp_path / "a" / "PennAction" / "labels" / "0001.mat").write_text("changed")
    assert not run_folder.Run.open(on("a")).resumed
