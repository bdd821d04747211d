"""Progress: a bar on a terminal, lines now and then, nothing that freezes elsewhere."""

import sys
import time
from types import SimpleNamespace

import pytest

from posekit.files import progress


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def items(self, numbers, seconds=4):
        """Numbers, each of which takes so many seconds."""
        for number in numbers:
            self.now += seconds
            yield number


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_line_every_ten_seconds(clock, capsys):
    show = progress.progress_lines("frames")
    for done in clock.items(range(1, 7)):
        show(done, 6)
    assert capsys.readouterr().out.splitlines() == [
        "3 of 6 frames, 0.2 frames/s, 0m12s left",
        "6 of 6 frames, 0.2 frames/s, 0m00s left",
    ]


def test_without_a_total_and_with_a_title(clock, capsys):
    show = progress.progress_lines("frames", title="train.lmdb", pause=1)
    clock.now += 4
    show(2000, None)
    assert capsys.readouterr().out == "train.lmdb: 2,000 frames, 500.0 frames/s\n"


def test_silence_is_broken_and_what_speaks_is_not_interrupted(clock, capsys):
    with progress.heartbeat(lambda: "the sample", 0.02):  # looks every 2 ms
        clock.now += 0.01
        time.sleep(0.1)
        assert not capsys.readouterr().out
        clock.now += 15
        while not (said := capsys.readouterr().out):
            time.sleep(0.01)
        assert said == "still at the sample, 0m15s so far\n"
        for _ in range(50):
            progress.say("epoch 1")
            clock.now += 0.01
            time.sleep(0.004)
        assert "still" not in capsys.readouterr().out
    clock.now += 30
    time.sleep(0.1)
    assert not capsys.readouterr().out


class Kernel:
    def __init__(self, **content):
        self.content = content

    def get_parent(self, channel):
        return {"content": self.content} if channel == "shell" else {}


@pytest.mark.parametrize(
    ("kernel", "live"),
    [
        (Kernel(allow_stdin=True), True),  # JupyterLab
        (Kernel(allow_stdin=False), False),  # papermill, nbconvert, nbval
        (Kernel(), False),
        (None, False),  # IPython on a terminal
    ],
)
def test_a_front_end_that_can_be_asked_is_live(monkeypatch, kernel, live):
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=kernel))
    assert progress.is_live() is live


@pytest.mark.parametrize("terminal", [False, True])
def test_a_bar_is_shown_on_a_terminal_only(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert list(progress.bar(iter("ab"), "predicting")) == ["a", "b"]
    moved = progress.bar(None, "epoch 1/2", 3)
    moved.update()
    moved.close()
    shown = capsys.readouterr().err
    assert ("predicting" in shown and "epoch 1/2" in shown) if terminal else not shown


def test_clock():
    assert progress.clock(185.9) == "3m05s"
