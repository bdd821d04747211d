"""Who holds a run folder."""

import os
import signal
import subprocess
import sys

import pytest

from posekit.reporting.lock import hold, is_held

PARENT = """
import multiprocessing, os, sys, time
from pathlib import Path
from posekit.reporting.lock import hold

def work():
    print(os.getpid(), flush=True)
    time.sleep(30)

lock = hold(Path(sys.argv[1]))
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
time.sleep(30)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_loading_processes_of_a_killed_run_do_not_hold_its_folder(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        try:
            assert is_held(tmp_path) and hold(tmp_path) is None
            parent.kill()
            parent.wait()
            os.kill(worker, 0)  # it lives on
            assert not is_held(tmp_path)
        finally:
            os.kill(worker, signal.SIGKILL)
