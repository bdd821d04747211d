"""Commands of `python -m posekit` that are ended where a test says so, and what they leave.

`POSEKIT_SLOW=1` runs all of the fault suite.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import posekit

SLOW = os.environ.get("POSEKIT_SLOW") == "1"
PLACE = str(Path(posekit.__file__).parents[1])  # of this posekit, if others are installed
OF_TIME = {"seconds", "clips_per_second", "memory_mb"}


slow = pytest.mark.skipif(not SLOW, reason="POSEKIT_SLOW=1 runs it")


@dataclass
class Ended:
    """How a command ended: exit status (-signal), what it printed, writes, seconds."""

    status: int
    said: str
    writes: int
    seconds: float


class Commands:
    """Runs commands of `python -m posekit`, see `server`."""

    def __init__(self, folder: Path):
        self.folder, self.number = folder, 0
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"POSEKIT_SMOKE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": PLACE},
        )
        assert self.server.stdout.readline() == '"ready"\n'

    def run(
        self, words, reports, number=0, sent=signal.SIGKILL, after=0.0, largest=0, code="", copies=1
    ):
        """Run a command.

        Args:
            words: after `python -m posekit`.
            reports: the folder of all runs.
            number: of the write before which the signal is sent, from 1; 0 for none.
            sent: the signal.
            after: seconds until the signal is sent; 0 for never.
            largest: bytes that a file may have; 0 for any number.
            code: run before the command.
            copies: of the command, at once; the status is that of one that failed, if one did.
        """
        self.number += 1
        output = self.folder / f"{self.number}.txt"
        job = dict(words=words, reports=str(reports), number=number, signal=int(sent), after=after)
        job |= dict(output=str(output), largest=largest, code=code, copies=copies)
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        status, seconds = json.loads(self.server.stdout.readline())
        counted = output.with_suffix(".count")
        writes = int(counted.read_text()) if counted.exists() else 0
        return Ended(status, output.read_text(errors="replace"), writes, seconds)

    def close(self):
        self.server.stdin.close()
        self.server.wait()


# Ends a training in its second epoch, as Ctrl-C does.
STOP = """
from posekit.train.trainer import Trainer
epoch = Trainer.train_epoch
def stopping(self, number, total):
    if total == 2:
        raise KeyboardInterrupt
    return epoch(self, number, total)
Trainer.train_epoch = stopping
"""


def runs(reports: Path) -> dict[str, dict]:
    """The record of every run folder, by its name."""
    files = sorted(reports.glob("*/metrics.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def content(folder: Path):
    """All that a run leaves but for what the clock says."""
    record = json.loads((folder / "metrics.json").read_text())
    assert record.pop("started") and record.pop("train_seconds") > 0
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [{k: v for k, v in line.items() if k not in OF_TIME} for line in lines]
    weights = {n: t.numpy().tobytes() for n, t in load_file(folder / "weights.safetensors").items()}
    with np.load(folder / "predictions.npz") as file:
        predictions = {name: file[name].tobytes() for name in file.files}
    texts = [(folder / name).read_text() for name in ("params.yaml", "table.csv")]
    return record, log, weights, predictions, texts


def partials(reports: Path) -> list[Path]:
    return list(reports.rglob("*.partial*"))
