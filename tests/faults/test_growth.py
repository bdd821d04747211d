"""A long training takes no more memory and opens no more files after its first epochs."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from faults import slow
from test_processes import begin, epochs, processes, trained

MINUTES = float(os.environ.get("POSEKIT_GROWTH_MINUTES", "3"))
EVERY = 10  # seconds
MOST = 20.0  # MB an hour, resident: less than a batch of pictures in every hundred epochs
IN_FLIGHT = 10  # files of two batches on their way from a loading process, five tensors each
WORDS = "train lpm PennAction -p source sample -p width 0.0625 -p epochs 100000 -p eval_every 2"


def measured(process: int) -> tuple[float, int]:
    """Resident memory in MB and open files."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6, len(os.listdir(f"/proc/{process}/fd"))


@slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_open_files_stay(tmp_path):
    """`POSEKIT_GROWTH_MINUTES=30` watches for as long as that."""
    said = tmp_path / "said"
    training = begin(f"{WORDS} -p workers 1", tmp_path, said)
    try:
        trained(training, tmp_path, 3, said)
        begun, rows, members = time.monotonic(), [], processes(training.pid)
        while (now := time.monotonic() - begun) < 60 * MINUTES:
            rows.append([now / 3600, *(n for one in members for n in measured(one))])
            time.sleep(min(EVERY, 20 * MINUTES))
        assert processes(training.pid) == members  # a loading process lives as long as the training
    finally:
        training.send_signal(signal.SIGINT)
        status = training.wait(120)
    table = np.array(rows)
    hours, memory, files = table[:, 0], table[:, 1::2], table[:, 2::2]
    slope = np.polyfit(hours, memory, 1)[0]
    print(f"{epochs(tmp_path)} epochs, {len(rows)} samples, {MINUTES:g} minutes")
    print(f"MB first {memory[0]}, last {memory[-1]}, most {memory.max(0)}, an hour {slope}")
    print(f"files first {files[0]}, last {files[-1]}, most {files.max(0)}")
    assert status == 130
    earlier, later = files[: len(files) // 2].max(0), files[len(files) // 2 :].max(0)
    assert (later <= earlier + IN_FLIGHT).all()
    assert (memory[-1] - memory[0] < max(MOST, 0.05 * memory[0].max())).all()
