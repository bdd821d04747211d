"""Pages that are made of run folders."""

import json
import os
import re

import pandas as pd
import pytest
from matplotlib.figure import Figure
from runs import config, scored

from posekit.reporting import pages
from posekit.reporting.record import all_runs
from posekit.reporting.run_folder import Run


def test_the_report_is_self_contained_and_says_sample():
    run = scored(Run.open(config()))
    figure = Figure(figsize=(2, 1))
    image = run.figure("4-predictions", figure, "what it shows <here>")
    assert image.data.startswith(b"\x89PNG")
    frame = pd.DataFrame({"result": ["this run"], "Mean": [81.5]})
    run.tables["PCK"] = frame
    path = pages.write_report(run, "the network", ["print(1 < 2)"])
    html = path.read_text()
    assert "<script" not in html and not re.search(r'src="(?!data:)', html)
    assert "PCK &lt;by hand&gt;" in html and "what it shows &lt;here&gt;" in html
    assert html.count("generated sample") >= 3 and "81.5" in html and "35.0" in html
    assert "print(1 &lt; 2)" in html and (run.folder / "figures/4-predictions-sample.png").exists()


def test_pages_make_no_network_request(reports):
    run = scored(Run.open(config()))
    run.figure("4-predictions", Figure(figsize=(2, 1)), "see https://example.org")
    run.update(published={"CPM": 90.0}, paper_title="LPM https://arxiv.org/abs/1712.06316")
    report = pages.write_report(run, "the network", []).read_text()
    run.end("finished")
    index = pages.build_index().read_text()
    for html in (report, index):
        assert not re.search(
            r"""(?:src|href|action|data|poster|srcset)\s*=\s*["']?(https?:)?//""", html
        )
        assert not re.search(r"@import|url\(|<(?:link|iframe|object|embed|base)\b", html)
    assert len(re.findall('src="data:image/webp', report)) == 1
    assert re.findall('src="([^"]*)"', index) == ["assets/plotly.min.js"]
    links = re.findall('href="([^#"]+)', report)
    assert "../index.html" in links and "./metrics.json" in links
    assert all((run.folder / link).exists() for link in links)


def shown_by(html):
    """The data of a board."""
    return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', html)[1])


def test_the_board_shows_every_run_as_what_it_is(reports):
    for status, lr in (("finished", 0.1), ("failed", 0.2), ("interrupted", 0.3)):
        scored(Run.open(config(lr=lr))).end(status)
    (reports / "broken").mkdir()
    (reports / "broken" / "metrics.json").write_text("{")
    (reports / "demo-a").mkdir()
    (reports / "demo-a" / "demo.json").write_text('{"paper": "demo", "status": "finished"}')
    (reports / "benchmark-1").mkdir()
    (reports / "benchmark-1" / "report.html").touch()
    board = shown_by(pages.build_index().read_text())
    rows = {tuple(run["changed"]): run for run in board["runs"] if run["paper"] == "lpm"}
    assert {key: run["status"] for key, run in rows.items()} == {
        ("lr: 0.1",): "finished",
        ("lr: 0.2",): "failed",
        ("lr: 0.3",): "interrupted",
    }
    row = rows["lr: 0.1",]
    assert row["protocol"] == "PennAction (generated sample): PCK@0.2 box, test split, 4 people"
    assert row["recipe"] == "lpm/PennAction.yaml" and row["sample"] and row["published"] == {}
    assert row["curve"] == [[1, None, None]] and row["mean_pose"] == 35.0
    assert [run["status"] for run in board["runs"] if run["paper"] == "demo"] == ["finished"]
    assert board["damaged"] == ["broken"]
    assert board["pages"] == [["benchmark-1", "./benchmark-1"]]


def test_published_scores_stand_beside_real_data_only():
    sample = scored(Run.open(config(lr=0.1)))
    real = scored(Run.open(config(lr=0.2)))
    real.update(source="real")
    for run in (sample, real):
        run.update(published={"LPM": 97.7})
        html = pages.write_report(run, "", []).read_text()
        assert ("published</span>, LPM, 97.7" in html) == (run is real)
    rows = shown_by(pages.build_index().read_text())["runs"]
    assert {row["sample"]: row["published"] for row in rows} == {True: {}, False: {"LPM": 97.7}}
    assert len({row["protocol"] for row in rows}) == 2


def test_random_weights_are_marked():
    run = scored(Run.open(config()))
    for trained in (True, False):
        run.update(trained=trained)
        html = pages.write_report(run, "", []).read_text()
        assert ("<b>not trained</b>" in html) == (not trained)
        (row,) = shown_by(pages.build_index().read_text())["runs"]
        assert row["trained"] == trained


def test_a_log_that_was_cut_or_is_no_log():
    run = scored(Run.open(config()))
    log = run.folder / "log.jsonl"
    lines = ['{"epoch": 1, "loss": NaN, "val": 3.0000001}', "[]", '{"epoch": "2"}', '{"epo']
    log.write_text("\n".join(lines))
    curve = shown_by(pages.build_index().read_text())["runs"][0]["curve"]
    assert curve == [[1, None, 3], [None, None, None]]
    log.write_text("".join(f'{{"epoch": {n}, "loss": 0.5}}\n' for n in range(1, 1001)))
    curve = shown_by(pages.build_index().read_text())["runs"][0]["curve"]
    assert len(curve) == 40 and curve[-1] == [1000, 0.5, None]


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
        {"status": "<script>"},
        {"n_samples": 1.5},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_a_damaged_neighbour_is_a_row_that_says_so(reports, damage):
    scored(Run.open(config())).end("finished")
    neighbour = reports / "lpm-PennAction-20260101-000000"
    neighbour.mkdir()
    (neighbour / "metrics.json").write_text(json.dumps({"paper": "lpm", "metrics": {}} | damage))
    html = pages.build_index().read_text()
    assert "Damaged" in html and neighbour.name in html and "<script>alert" not in html
    assert [run["status"] for run in shown_by(html)["runs"]] == ["finished"]
    assert len(all_runs()) == 1


def test_pages_escape_what_records_and_folders_say(reports):
    attack = "javascript:alert('<b>')\"&</script>".replace("/", "\u2215")
    folder = reports / attack
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    record = dict.fromkeys(("model", "split", "started", "metric", "dataset"), attack)
    (folder / "metrics.json").write_text(json.dumps(record | {"baseline": {"mean_pose": 1.0}}))
    html = pages.build_index().read_text()
    assert "<b>" not in html and 'href="javascript:' not in html
    (row,) = shown_by(html)["runs"]
    assert row["link"].startswith("./javascript%3Aalert") and row["model"] == attack


def test_links_to_folders_of_any_name(reports):
    folder = reports / os.fsdecode(b"lpm \xff%")
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "0-best ?.png").touch()
    (folder / "report.html").touch()
    (folder / "metrics.json").write_text('{"model": "lpm"}')
    (row,) = shown_by(pages.build_index().read_text())["runs"]
    assert row["link"] == "./lpm%20%FF%25" and row["report"]
    assert row["picture"] == "0-best%20%3F.png"


def test_an_index_of_no_runs(reports):
    assert "No run yet" in pages.build_index().read_text()
