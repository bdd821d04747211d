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
    assert "<script" not in html and not re.search(r'(src|href)="(?!data:)', html)
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
        assert not re.search(r"@import|url\(|<(?:script|link|iframe|object|embed|base)\b", html)
    assert len(re.findall('src="data:image/png', report)) == 1
    links = re.findall('(?:src|href)="([^"]*)"', index)
    assert links and all((reports / link).exists() for link in links)


def test_the_index_shows_every_run_as_what_it_is(reports):
    for status, lr in (("finished", 0.1), ("failed", 0.2), ("interrupted", 0.3)):
        scored(Run.open(config(lr=lr))).end(status)
    (reports / "broken").mkdir()
    (reports / "broken" / "metrics.json").write_text("{")
    html = pages.build_index().read_text()
    for status in ("finished", "failed", "interrupted"):
        assert f">{status}</span>" in html
    assert "PennAction (generated sample): PCK@0.2 box" in html and html.count("<tr>") == 4


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
    assert "Damaged" in html and neighbour.name in html and ">finished</span>" in html
    assert "<script" not in html
    assert len(all_runs()) == 1


def test_pages_escape_what_records_and_folders_say(reports):
    attack = "javascript:alert('<b>')\"&"
    folder = reports / attack
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    record = dict.fromkeys(("model", "split", "started", "metric", "dataset"), attack)
    (folder / "metrics.json").write_text(json.dumps(record | {"baseline": {"mean_pose": 1.0}}))
    html = pages.build_index().read_text()
    assert "<b>" not in html and 'href="javascript:' not in html
    assert 'href="./javascript%3Aalert' in html


def test_links_to_folders_of_any_name(reports):
    folder = reports / os.fsdecode(b"lpm \xff%")
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "4-predictions ?.png").touch()
    (folder / "report.html").touch()
    (folder / "metrics.json").write_text('{"model": "lpm"}')
    html = pages.build_index().read_text()
    assert 'href="./lpm%20%FF%25/report.html"' in html
    assert 'src="./lpm%20%FF%25/figures/4-predictions%20%3F.png"' in html


def test_an_index_of_no_runs(reports):
    assert "No run yet" in pages.build_index().read_text()
