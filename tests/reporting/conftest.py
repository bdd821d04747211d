import pytest


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """The folder of all runs."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"
