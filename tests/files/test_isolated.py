"""Reading in a child process: what comes back, and what is left when the child comes to harm."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings

import pytest
import torch

from posekit.errors import PosekitError
from posekit.files import isolated
from posekit.files.isolated import read_isolated

FORKED = pytest.mark.skipif(not isolated.FORKS, reason="children are forked on Linux alone")


def content(path):
    print("printed", path)
    return [torch.arange(5.0), torch.empty(0, 3)], {"bytes": len(path.read_bytes())}


def refuse(path):
    raise PosekitError(f"{path}: holds the wrong thing")


def compute_for_ever(path):
    while True:
        pass


def wait_for_ever(path):
    time.sleep(1000)


def take_all_memory(path):
    return [torch.ones(10**9)], None


def crash(path):
    ctypes.string_at(0)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    return tmp_path / "a.bin"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if isolated.FORKS else 0


def no_children() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG) == (0, 0)  # others may run, none waits to be collected
    except ChildProcessError:
        return True


@pytest.mark.parametrize("forks", [pytest.param(True, marks=FORKED), False])
def test_what_the_reader_finds_comes_back(forks, file, monkeypatch, capfd):
    monkeypatch.setattr(isolated, "FORKS", forks)
    (numbers, empty), notes = read_isolated(content, file, "a toy")
    assert numbers.tolist() == [0, 1, 2, 3, 4] and empty.shape == (0, 3) and notes == {"bytes": 3}
    with pytest.raises(PosekitError, match=r"^.*a.bin: holds the wrong thing$"):
        read_isolated(refuse, file, "a toy")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        (compute_for_ever, "longer than the 0 s"),
        (wait_for_ever, "longer than the 0 s"),
        pytest.param(take_all_memory, "crashed or needed more than 0.2 GB", marks=FORKED),
        pytest.param(crash, r"crashed .*\(SIGSEGV\)", marks=FORKED),
    ],
)
def test_harm_to_the_child_is_one_error(reader, problem, file, monkeypatch, capfd):
    monkeypatch.setattr(isolated, "SECONDS", 0.1)
    before = open_files()
    with pytest.raises(PosekitError, match=f"a.bin: cannot be read as a toy: .*{problem}"):
        read_isolated(reader, file, "a toy")
    assert open_files() == before and no_children()
    assert capfd.readouterr() == ("", "")


@FORKED
def test_an_interrupt_ends_the_child(file):
    def interrupt(*_):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            read_isolated(wait_for_ever, file, "a toy")
    finally:
        signal.signal(signal.SIGALRM, old)
    assert no_children()


@FORKED
def test_ignored_signals_of_children_do_no_harm(file):
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert read_isolated(content, file, "a toy")[1] == {"bytes": 3}
        with pytest.raises(PosekitError, match="a.bin"):
            read_isolated(refuse, file, "a toy")
    finally:
        signal.signal(signal.SIGCHLD, old)


def test_threads_and_daemons_may_read(file):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_isolated(content, file, "a toy")[1] == {"bytes": 3}
    stop.set()
    thread.join()
    if sys.platform == "linux":
        work = multiprocessing.get_context("fork")
        daemon = work.Process(target=read_isolated, args=(content, file, "a toy"), daemon=True)
        daemon.start()
        daemon.join(30)
        assert daemon.exitcode == 0
