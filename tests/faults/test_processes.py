"""Signals to commands that other processes work for: those that load, kernels, torchrun's."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import PLACE, content, partials, runs, slow

pytestmark = [slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
TWO = "train lpm PennAction -p source sample -p width 0.0625 -p eval_every 2 -p num_processes 2"


def begin(words: str, reports: Path, said: Path, start=("-m", "posekit")) -> subprocess.Popen:
    """A command as a terminal starts it, the leader of a group of processes."""
    given = {"POSEKIT_REPORTS": str(reports), "POSEKIT_SMOKE": "1", "PYTHONPATH": PLACE}
    with said.open("w") as file:
        return subprocess.Popen(
            [sys.executable, *start, *words.split()],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=os.environ | given | {"OMP_NUM_THREADS": "1"},
        )


def processes(parent: int) -> list[int]:
    """A process and those below it."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [parent, *(one for child in text.split() for one in processes(int(child)))]


def epochs(reports: Path) -> int:
    return sum(len(log.read_text().splitlines()) for log in reports.glob("*/log.jsonl"))


def trained(command: subprocess.Popen, reports: Path, more: int, said: Path) -> None:
    """Wait until a training has so many more epochs."""
    wanted, end = epochs(reports) + more, time.monotonic() + 400
    while epochs(reports) < wanted:
        assert command.poll() is None and time.monotonic() < end, said.read_text()[-3000:]
        time.sleep(0.1)


def gone(members: list[int]) -> None:
    """Wait until none of the processes is left."""
    end = time.monotonic() + 60
    while left := [one for one in members if Path(f"/proc/{one}").exists()]:
        assert time.monotonic() < end, f"{left} go on alone"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "words", ["train {} -p workers 2", "run {} -p workers 2", "run {} -p num_processes 2"]
)
def test_ctrl_c_in_a_terminal(tmp_path, words):
    """All processes of the group get it."""
    said, reports = tmp_path / "said", tmp_path / "reports"
    words = words.format("lpm PennAction -p source sample -p width 0.0625 -p epochs 500")
    command = begin(words, reports, said)
    trained(command, reports, 2, said)
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(120) == 130, said.read_text()[-3000:]
    text = said.read_text()
    assert text.count("goes on from there") == 1 and "Traceback" not in text, text[-3000:]
    assert text.count("Stopped. ") == 1, text[-3000:]
    assert [record["status"] for record in runs(reports).values()] == ["interrupted"]
    assert not partials(reports)


def test_two_processes_are_stopped_in_every_way_and_end_as_if_nothing_had_happened(tmp_path):
    said, whole, stopped = tmp_path / "said", tmp_path / "whole", tmp_path / "stopped"
    assert begin(f"{TWO} -p epochs 8", whole, said).wait(400) == 0, said.read_text()
    ways = {  # which of the processes, the signal, status of the command, status of the run
        "Ctrl-C": (0, signal.SIGINT, 130, "interrupted"),
        "terminated": (0, signal.SIGTERM, -signal.SIGTERM, "running"),
        "killed": (0, signal.SIGKILL, -signal.SIGKILL, "running"),
        "one of the two": (-1, signal.SIGKILL, 2, "failed"),
    }
    for way, (number, sent, status, left) in ways.items():
        command = begin(f"{TWO} -p epochs 8", stopped, said)
        trained(command, stopped, 1, said)
        members = processes(command.pid)
        assert len(members) == 4, way  # the command, torchrun and its two
        os.kill(members[number], sent)
        assert command.wait(120) == status, (way, said.read_text()[-3000:])
        assert [record["status"] for record in runs(stopped).values()] == [left], way
        text = said.read_text()
        assert ("goes on from there" in text) == (status == 130), text
        assert ("training in 2 processes stopped" in text) == (status == 2), text
        gone(members)
    assert begin(f"{TWO} -p epochs 8", stopped, said).wait(400) == 0, said.read_text()
    assert "continuing" in said.read_text()
    (first,), (second,) = runs(whole), runs(stopped)
    assert content(stopped / second) == content(whole / first) and not partials(stopped)


SWEEP = """
papers: [lpm]
datasets: [PennAction]
seeds: [0, 1, 2, 3]
knobs: {width: [0.0625, 0.09375, 0.125]}
parameters: {source: sample, epochs: 4, workers: 0}
"""
# In place of notebooks, which take a minute each, their trainings.
SWEEPER = """
import sys
from posekit.__main__ import main
from posekit.workflows.sweep import running

def job(paper, dataset, parameters, log):
    import contextlib
    from posekit.__main__ import main
    words = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    with log.open("w") as file, contextlib.redirect_stdout(file):
        main(["train", paper, dataset, *words])

running._run = job
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def test_a_sweep_that_is_killed_goes_on(tmp_path):
    pytest.importorskip("distributed")
    said, reports, file = tmp_path / "said", tmp_path / "reports", tmp_path / "twelve.yaml"
    file.write_text(SWEEP)
    script = tmp_path / "sweeper.py"
    script.write_text(SWEEPER)
    words = f"sweep {file} --cores 1"
    command, end = begin(words, reports, said, (script,)), time.monotonic() + 900
    while True:
        assert command.poll() is None and time.monotonic() < end, said.read_text()[-3000:]
        states = {name: record["status"] for name, record in runs(reports).items()}
        begun = {n for n in states if (reports / n / "checkpoints" / "last.pt").exists()}
        halves = {name for name in begun if states[name] == "running"}
        finished = {name for name, state in states.items() if state == "finished"}
        if halves and len(finished) >= 4:
            break
        time.sleep(0.05)
    members = processes(command.pid)
    command.kill()
    assert command.wait() == -signal.SIGKILL
    gone(members)
    before = runs(reports)
    finished = {name for name, record in before.items() if record["status"] == "finished"}
    assert 4 <= len(finished) < 12 and before.keys() - finished
    assert begin(words, reports, said, (script,)).wait(900) == 0, said.read_text()[-3000:]
    assert f"12 jobs, {len(finished)} of them finished" in said.read_text()
    after = runs(reports)
    assert len(after) == 12 and before.keys() <= after.keys()  # none is begun twice
    assert {(record["status"], record["epochs_done"]) for record in after.values()} == {
        ("finished", 4)
    }
    assert all(after[name] == before[name] for name in finished)
    logs = "".join(log.read_text() for log in (reports / "sweep-twelve" / "logs").iterdir())
    assert all(f"continuing {name}" in logs for name in before.keys() - finished)
    assert "12 of 12 runs are finished" in (reports / "sweep-twelve" / "report.html").read_text()
