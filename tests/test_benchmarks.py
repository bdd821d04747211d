"""The harness of the benchmark: what is measured, and what counts as met."""

import json

import pytest

from benchmarks import __main__ as command
from benchmarks.harness import COSTS, ROWS, Pair, Row, measure


def measured(goal=1.0, equal=lambda a, b: "the same", **options):
    pair = Pair(lambda: 6, lambda: 2, equal, "nothing", cost="value", unit="MB", **options)
    return measure(Row("a", goal, "threes", 3, 0.1, lambda: pair))


def test_a_row_is_met_when_it_is_fast_enough_and_equal():
    found = measured(3.0, notes=lambda: "more")
    assert (found["ratio"], found["met"], found["equality"]) == (3.0, True, "the same")
    assert found["ours"] == {"min": 2, "median": 2, "max": 2} and found["notes"] == "more"
    assert not measured(3.1)["met"]

    def differ(a, b):
        raise AssertionError(f"by {a - b}")

    found = measured(1.0, differ)
    assert (found["met"], found["equality"]) == (False, "DIFFERS: by 4")


@pytest.mark.parametrize("cost", COSTS)
def test_work_costs_time(cost):
    def work(n):
        return sum(i * i for i in range(n))

    pair = Pair(lambda: work(400_000), lambda: work(40_000), lambda a, b: "", "numbers", cost)
    found = measure(Row("a", 2, "more numbers", 5, 0.05, lambda: pair))
    assert 4 < found["ratio"] < 25 and found["calls"]["ours"] > 1


def test_the_command_writes_a_record_and_pages(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    monkeypatch.setitem(ROWS, "slow", Row("slow", 9, "<others>", 1, 0, None))
    monkeypatch.setitem(ROWS, "none", Row("none", 9, "<others>", 1, 0, None))
    lines = {"slow": {"status": "measured"} | measured(9), "none": {"status": "not here"}}
    lines["none"]["problem"] = "no such library"
    monkeypatch.setattr(command, "_child", lambda key: lines[key])
    monkeypatch.setattr("sys.argv", ["benchmarks", "slow", "none"])
    assert command.main() == 0
    [folder] = tmp_path.glob("benchmark-*")
    record = json.loads((folder / "benchmark.json").read_text())
    assert record["ratios"] == {"slow": 3.0}
    assert record["machine"]["cores"] > 0 and record["rows"]["slow"]["goal"] == 9
    page = (folder / "report.html").read_text()
    assert "3.00 (missed)" in page and "&lt;others&gt;" in page and "no such library" in page
    assert "| none | not here |" in (folder / "table.md").read_text()
