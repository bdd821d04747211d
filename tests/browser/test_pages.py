"""The board and the reports in a browser, opened from disk."""

import pytest

from posekit.reporting.pages import build_index


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """The folder of all runs."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def test_a_board_of_no_runs(visit):
    page = visit(build_index().as_uri(), width=390)
    assert "No run yet" in page.inner_text("body")
