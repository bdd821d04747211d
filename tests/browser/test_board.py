"""The board and the reports in a browser, opened from disk."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[1] / "reporting"))
from runs import config, scored

from posekit.reporting import figures, pages
from posekit.reporting.record import read_record
from posekit.reporting.run_folder import Run, encoded
from posekit.workflows.sweep.jobs import Job, write_board


def a_run(mean, status="finished", metric="PCK@0.2 box", answer="", **knobs):
    run = scored(Run.open(config(**knobs)), mean)
    columns = {"Head": mean + 3, "Ankle": mean - 9, "Mean": mean}
    run.update(model="lpm", answer=answer, metric=metric, split="test", metrics=columns)
    run.update(params_count=12067870, gmacs=418.47, train_seconds=200.0, epochs_done=3)
    lines = [f'{{"epoch": {n}, "loss": {9 / n}, "val": {mean - 9 / n}}}' for n in (1, 2, 3)]
    (run.folder / "log.jsonl").write_text("\n".join(lines))
    images = np.full((2, 48, 48, 3), 90, np.uint8)
    run.picture("0-best.png", encoded(images[0]), "The best prediction.")
    joints = [f"joint_{k}" for k in range(7)]
    maps = np.random.default_rng(0).random((2, 7, 6, 6))
    grid = figures.heatmap_grid(images, maps, ["person 1", "person 2"], joints, "Heat maps")
    run.figure("5-heatmaps", grid, "Maps over the crop.")
    run.picture("6-clip.gif", figures.gif([images[0] // n for n in (1, 2, 3)], 0.2), "A clip.")
    table = {"result": ["this run", "mean pose"], "Mean": [mean, 35.0], "metric": [metric] * 2}
    run.keep(metric, pd.DataFrame(table), "table")
    run.keep(f"{metric} by joint", pd.DataFrame({f"left_front_{joint}": [9.0] for joint in joints}))
    pages.write_report(run, "network", ["print(1)"])
    if status != "running":
        run.end(status)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs under one protocol and one under another, reports and board written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEKIT_REPORTS", str(tmp_path_factory.mktemp("reports")))
        a_run(1.0, "failed", lr=0.0625)
        made = a_run(81.5, lr=0.5), a_run(62.0, lr=0.25), a_run(90.0, metric="PCKh@0.5", lr=0.125)
        yield [run.folder for run in made]


@pytest.fixture(scope="module")
def every_page(tmp_path_factory):
    """The pages of every kind: a training, a study, a demo, a sweep and the board of them."""
    with pytest.MonkeyPatch.context() as patch:
        reports = tmp_path_factory.mktemp("reports")
        patch.setenv("POSEKIT_REPORTS", str(reports))
        made = [a_run(81.5, lr=0.5), a_run(62.0, lr=0.25, answer="One loses more." * 9)]
        demo = a_run(50.0, lr=0.125)
        parts = {"sample": True, "results": SimpleNamespace(record=SimpleNamespace(networks="AB"))}
        parts |= {
            "boxes": SimpleNamespace(about="a box"),
            "media": SimpleNamespace(notes="xy"),
        }
        values = {"title": "Poses", "demo": SimpleNamespace(**parts), "trained": False}
        values |= {"tables": {"Jitter": "none", **demo.tables}, "parameters": "{}"}
        pages.write_results(demo, "demo.html", **values)
        (reports / "sweep-small").mkdir()
        jobs = [Job("lpm", {"lr": lr}, {}, config(lr=lr)) for lr in (0.5, 0.25, 0.0625)]
        sweep = write_board(reports / "sweep-small", jobs)
        folders = [run.folder / "report.html" for run in (*made, demo)]
        return [page.as_uri() for page in (*folders, sweep, pages.build_index())]


@pytest.fixture
def board(runs):
    """The address of the board of `runs`."""
    return pages.build_index().as_uri()


def names(page):
    return page.locator("#runs tbody tr:not(.group)").evaluate_all("rows => rows.map(r => r.id)")


def fits(page):
    """Whether nothing is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def tick(page, *folders):
    for folder in folders:
        page.get_by_label(f"Compare {folder.name}", exact=True).check()
    page.locator("#comparison .chart .main-svg").first.wait_for()


def drawn(page, section):
    """Name, kind and heights of every trace of every chart in a section."""
    charts = page.locator(f"{section} .chart")
    traces = "d.data.map(t => [t.name, t.type || 'scatter', t.y])"
    return charts.evaluate_all(f"divs => divs.map(d => {traces})")


def test_a_board_of_no_runs(visit, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    page = visit(pages.build_index().as_uri(), width=390)
    assert "No run yet" in page.inner_text("body")


def test_the_board_is_searched_filtered_and_sorted(visit, runs, board):
    good, poor, _ = (run.name for run in runs)
    page = visit(board)
    assert len(names(page)) == 4
    page.get_by_label("Search").fill("lr: 0.25")
    assert names(page) == [poor]
    page.get_by_label("Search").fill("")
    page.get_by_label("State").select_option("failed")
    (broken,) = names(page)
    page.get_by_label("State").select_option("")
    page.get_by_label("Protocol", exact=True).select_option(read_record(runs[0]).comparable)
    page.get_by_role("button", name="score").click()
    assert names(page) == [good, poor, broken]
    page.get_by_role("button", name="score").click()
    assert names(page) == [broken, poor, good]
    row = page.locator(f"[id='{good}']")
    told = row.inner_text()
    assert all(text in told for text in ("81.5", "mean pose 35.0", "lr: 0.5", "sample", "finished"))
    row.get_by_role("link").click()
    assert page.url.endswith(f"{good}/report.html")


def test_protocols_are_never_mixed_on_the_board(visit, runs, board):
    page = visit(board)
    page.get_by_role("button", name="score").click()
    groups = page.locator("#runs tr.group th").all_inner_texts()
    assert len(groups) == 2 and "PCKh@0.5" in groups[0] and "PCK@0.2 box" in groups[1]
    assert names(page)[:3] == [run.name for run in (runs[2], *runs[:2])]
    tick(page, *runs)
    scores = [[trace[2][-1] for trace in traces] for traces in drawn(page, "#comparison")]
    assert [sorted(together) for together in scores[2::3]] == [[62.0, 81.5], [90.0]]
    page.locator("#tradeoff .chart .main-svg").first.wait_for()
    assert drawn(page, "#tradeoff")[0][0] == ["lpm", "scatter", [62, 81.5]]
    page.get_by_label("Protocol of the charts").select_option(read_record(runs[2]).comparable)
    assert drawn(page, "#tradeoff")[0][0] == ["lpm", "scatter", [90]]


def test_ticked_runs_are_compared(visit, runs, board):
    page = visit(board, dark=True)
    assert page.locator("#ticked").is_hidden()
    tick(page, *runs[:2])
    assert "2 ticked" in page.inner_text("#ticked")
    page.get_by_role("button", name="Compare", exact=True).click()
    score, loss, bars = drawn(page, "#comparison")
    assert score == [
        ["lpm, lr: 0.5", "scatter", [72.5, 77, 78.5]],
        ["lpm, lr: 0.25", "scatter", [53, 57.5, 59]],
    ]
    assert [trace[2] for trace in loss] == [[9, 4.5, 3]] * 2
    assert bars[0] == ["lpm, lr: 0.5", "bar", [84.5, 72.5, 81.5]]
    table = page.locator("#comparison tr").all_inner_texts()
    assert table[1:] == ["lr\t0.5\t0.25"]
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#comparison").is_hidden() and not page.locator("input:checked").count()


def test_a_report_opens_its_pictures_large(visit, runs):
    page = visit((runs[0] / "report.html").as_uri())
    picture = page.get_by_alt_text("Maps over the crop.")
    before = picture.bounding_box()["width"]
    picture.click()
    assert picture.bounding_box()["width"] > 1.2 * before
    page.get_by_role("link", name="close").click()
    assert picture.bounding_box()["width"] == before
    aligned = "all => all.map(cell => getComputedStyle(cell).textAlign)"
    table = page.locator("table").first
    for cells in ("thead th", "tbody tr:first-child td"):
        assert table.locator(cells).evaluate_all(aligned) == ["left", "right", "left"]


def test_reports_lead_to_the_board_and_to_their_neighbours(visit, runs, board):
    first, second, last = ((run / "report.html").as_uri() for run in runs)
    page = visit(second)
    page.get_by_role("link", name="previous run").click()
    page.wait_for_url(first)
    page.get_by_role("link", name="next run").click()
    page.wait_for_url(second)
    page.goto(last)
    page.get_by_role("link", name="next run").click()  # there is none: the board stays
    assert page.locator("#runs").is_visible() and page.url.startswith(board)


def test_pages_fit_every_window(visit, every_page):
    page = visit(every_page[0])
    for address in every_page:
        page.goto(address)
        for width in (390, 700, 900, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            assert fits(page), (address, width)


def test_the_comparison_fits_a_telephone_and_keeps_its_size(visit, runs, board):
    page = visit(board, width=390, dark=True)
    tick(page, *runs[:2])
    page.set_viewport_size({"width": 380, "height": 900})
    page.wait_for_function("document.querySelector('.chart .main-svg').clientWidth < 370")
    assert page.locator(".chart .main-svg").first.bounding_box()["height"] > 300
    assert fits(page)


def test_a_study_begins_with_its_answer(visit, every_page):
    page = visit(every_page[1])
    order = ".headline", "figure:not(.portrait) .pan", "td"
    heights = [page.locator(one).first.bounding_box()["y"] for one in order]
    assert "One loses more." in page.inner_text(".headline") and heights == sorted(heights)
    page.goto(every_page[-1])
    assert "One loses more." in page.inner_text("#runs")


def test_a_clip_plays_stops_and_steps(visit, runs):
    address = (runs[0] / "report.html").as_uri()
    page = visit(address)
    told, frames = page.locator(".controls output"), page.locator(".film img:visible")
    page.wait_for_function("document.querySelector('.controls output').textContent == '2 / 3'")
    page.get_by_label("Play or pause").press("Space")
    page.get_by_label("Frame", exact=True).fill("3")
    assert told.inner_text() == "3 / 3" and frames.get_attribute("alt") == "frame 3"
    page.get_by_label("Frame", exact=True).press("ArrowLeft")
    assert told.inner_text() == "2 / 3"
    for _ in range(2):
        page.get_by_label("A frame on").click()
    assert told.inner_text() == "1 / 3" and frames.get_attribute("alt") == "frame 1"
    calm = visit(address, reduced_motion="reduce")
    calm.wait_for_timeout(300)
    assert calm.inner_text(".controls output") == "1 / 3"
    bare = visit(address, java_script_enabled=False)
    assert bare.locator(".film img:visible").count() == 3 and not bare.locator(".controls").count()


def test_names_of_records_are_never_markup(visit, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    attack = "<img src=x onerror=alert(1)></script><a href='https://evil.example'>"
    runs = [a_run(80.0, lr=lr) for lr in (0.5, 0.25)]
    for run in runs:
        run.update(model=attack, split=attack, notes=[attack], started=attack, trained=False)
    page = visit(pages.build_index().as_uri())
    told = page.inner_text("#runs")
    assert attack in told and told.count("untrained") == 2
    tick(page, *(run.folder for run in runs))
    assert page.locator("a[href*='evil'], img[src=x]").count() == 0
