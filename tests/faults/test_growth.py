"""A long training takes no more memory and opens no more files after its first epochs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from faults import PLACE, slow

MINUTES = float(os.environ.get("POSEKIT_GROWTH_MINUTES", "3"))
EVERY = 10  # seconds
MOST = 20.0  # MB an hour, resident: less than a batch of pictures in every hundred epochs
WORDS = "train lpm PennAction -p source sample -p width 0.0625 -p epochs 100000 -p eval_every 2"


def processes(parent: int) -> list[int]:
    """A process and those below it."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [parent, *(one for child in text.split() for one in processes(int(child)))]


def measured(process: int) -> tuple[float, int]:
    """Resident memory in MB and open files."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6, len(os.listdir(f"/proc/{process}/fd"))


@slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_open_files_stay(tmp_path):
    """`POSEKIT_GROWTH_MINUTES=30` watches for as long as that."""
    command = [sys.executable, "-m", "posekit", *WORDS.split(), "-p", "workers", "1"]
    environment = os.environ | {"POSEKIT_REPORTS": str(tmp_path), "POSEKIT_SMOKE": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": PLACE}
    with (tmp_path / "said").open("w") as said:
        training = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    log = tmp_path / "missing"
    try:
        while not log.exists() or len(log.read_text().splitlines()) < 3:
            assert training.poll() is None, (tmp_path / "said").read_text()[-2000:]
            log = next(tmp_path.glob("*/log.jsonl"), log)
            time.sleep(1)
        begun, rows, members = time.monotonic(), [], processes(training.pid)
        while (now := time.monotonic() - begun) < 60 * MINUTES:
            rows.append([now / 3600, *(n for one in members for n in measured(one))])
            time.sleep(EVERY)
        assert processes(training.pid) == members  # a loading process lives as long as the training
    finally:
        training.send_signal(signal.SIGINT)
        assert training.wait(60) == 130
    table = np.array(rows)
    hours, memory, files = table[:, 0], table[:, 1::2], table[:, 2::2]
    slope = np.polyfit(hours, memory, 1)[0]
    print(f"{len(log.read_text().splitlines())} epochs, {len(rows)} samples, {MINUTES:g} minutes")
    print(f"MB first {memory[0]}, last {memory[-1]}, most {memory.max(0)}, an hour {slope}")
    print(f"files first {files[0]}, last {files[-1]}, most {files.max(0)}")
    assert (files.max(0) <= files[0] + 8).all() and (files[-1] <= files[0] + 2).all()
    assert (memory[-1] - memory[0] < max(MOST, 0.05 * memory[0].max())).all()
