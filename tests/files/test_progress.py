"""Progress: a bar on a terminal, lines now and then, nothing that freezes elsewhere."""

import itertools
import sys

import pytest

from posekit.files import progress


@pytest.fixture
def time(monkeypatch):
    """Every look at the clock is 4 seconds after the one before."""
    ticks = itertools.count(0, 4)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(ticks))


def test_a_line_every_ten_seconds(time, capsys):
    items = list(progress.counted(range(1000, 1006), 6, "frames"))
    assert items == list(range(1000, 1006))
    assert capsys.readouterr().out.splitlines() == [
        "3 of 6 frames, 0.2 frames/s, 0m12s left",
        "6 of 6 frames, 0.2 frames/s, 0m00s left",
    ]


def test_without_a_total_and_with_a_title(time, capsys):
    show = progress.progress_lines("frames", title="train.lmdb", pause=1)
    show(2000, None)
    assert capsys.readouterr().out == "train.lmdb: 2,000 frames, 500.0 frames/s\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_bar_is_shown_on_a_terminal_only(monkeypatch, capsys, terminal):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert list(progress.bar(iter("ab"), "predicting")) == ["a", "b"]
    moved = progress.bar(None, "epoch 1/2", 3)
    moved.update()
    moved.close()
    shown = capsys.readouterr().err
    assert ("predicting" in shown and "epoch 1/2" in shown) if terminal else not shown


def test_clock():
    assert progress.clock(185.9) == "3m05s"
