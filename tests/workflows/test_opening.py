"""What a notebook's cells do to the record of its run."""

import gc
from types import SimpleNamespace

import IPython
import pytest

from posekit.config.resolve import resolve
from posekit.reporting.record import read_record
from posekit.workflows.training.opening import open_run


@pytest.fixture
def cells(monkeypatch, tmp_path):
    """The callbacks that a notebook's shell calls after each cell."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    callbacks = []
    events = SimpleNamespace(register=lambda event, callback: callbacks.append(callback))
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(events=events))
    return callbacks


def a_run():
    return open_run(resolve("lpm", {"source": "sample"}), resume=True)


def after(error=None):
    return SimpleNamespace(error_in_exec=error, error_before_exec=None)


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "running"), (ValueError("no"), "failed"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_cell_that_fails_marks_the_run(cells, error, status):
    run = a_run()
    cells[0](after(error))
    assert read_record(run.folder).status == status
    run.end("finished")
    cells[0](after(ValueError("later")))
    assert read_record(run.folder).status == "finished"


def test_a_run_that_the_notebook_drops_is_continued(cells):
    folder = a_run().folder
    gc.collect()
    cells[0](after(ValueError("not of this run")))
    assert read_record(folder).status == "interrupted"
    assert a_run().folder == folder
