"""Files from outside read in a child process, under limits of memory and time.

A few hundred bytes can make a reader fill the memory, compute for ever, or crash. In the child
that harms nobody: it ends, and the parent says so in one error.

On Linux the child is forked, which takes milliseconds, as everything is imported already. Elsewhere
it is a new interpreter, which takes the seconds that importing torch takes, because a fork is
unsafe (macOS) or missing (Windows); there the time is limited, but not the memory.
"""

import contextlib
import faulthandler
import gc
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import PosekitError

FORKS = sys.platform == "linux"
# Limits of a child: computing time, and memory beyond what the parent has, both in proportion to
# the size of the file. Published files take under a tenth of either.
SECONDS, BYTES_PER_SECOND = 5.0, 20e6
ROOM, COPIES = 200_000_000, 6  # bytes, and times the file's size
_PATIENCE = 6  # seconds to wait for one second of computing: disks and processors may be busy
_DONE, _REFUSED, _FAILED = 0, 3, 4  # exit codes

# Tensors and a value that JSON can hold, out of a file.
Reader = Callable[[Path], tuple[list[Tensor], Any]]


def read_isolated(reader: Reader, path: Path, kind: str) -> tuple[list[Tensor], Any]:
    """What `reader(path)` returns, called in a child process.

    Args:
        reader: a function at the top level of a module; it must not use a GPU. Its tensors must be
            contiguous and share no memory.
        path: the file.
        kind: what the file should be, for messages.

    Raises:
        PosekitError: raised by the reader, or the child exceeded a limit or crashed.
    """
    size = path.stat().st_size
    seconds, room = SECONDS + size / BYTES_PER_SECOND, ROOM + COPIES * size
    start = _fork if FORKS else _spawn
    with _result_file() as result:
        code = start(reader, path, result, seconds, room)
        if code == _DONE:
            with contextlib.suppress(SafetensorError), safe_open(result, "pt") as file:
                tensors = [file.get_tensor(str(n)).clone() for n in range(len(file.keys()))]
                return tensors, json.loads(file.metadata()["notes"])
        if code == _REFUSED:
            raise PosekitError(result.read_text("utf-8", errors="surrogatepass"))
    if code is None or -code == getattr(signal, "SIGXCPU", None):
        problem = f"reading it takes longer than the {seconds:.0f} s that its size allows"
    else:
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        problem = f"its reader crashed or needed more than {room / 1e9:.1f} GB ({reason})"
    raise PosekitError(
        f"{path}: cannot be read as {kind}: {problem}; the file is damaged or made to do harm: "
        "get the original."
    )


@contextlib.contextmanager
def _result_file() -> Iterator[Path]:
    """A file for the child to write, gone afterwards; on Linux in memory alone."""
    if FORKS:
        descriptor = os.memfd_create("posekit")
        try:
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory(prefix="posekit-") as folder:
            yield Path(folder, "result")


def _fork(reader: Reader, path: Path, result: Path, seconds: float, room: int) -> int | None:
    """Exit code of a forked child, -signal if one ended it; None if it did not end in time."""
    parent, child, status = os.getpid(), 0, None
    end = time.monotonic() + _PATIENCE * seconds
    try:
        with warnings.catch_warnings():
            # Python warns of a fork beside threads, whose locks stay closed in the child. This
            # child takes none of them, and if it did, the time limit would end it.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            status = _read(reader, path, result, seconds, room)
        while status is None and time.monotonic() < end:
            ended, code = os.waitpid(child, os.WNOHANG)
            if ended:
                status = os.waitstatus_to_exitcode(code)
            else:
                time.sleep(0.001)
    except ChildProcessError:  # SIGCHLD is ignored: nobody learns the code
        status = _DONE
    finally:
        if os.getpid() != parent:
            os._exit(_FAILED if status is None else status)
        if child and status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return status


def _spawn(reader: Reader, path: Path, result: Path, seconds: float, room: int) -> int | None:
    """Exit code of a new interpreter; None if it did not end in time."""
    job = [reader.__module__, reader.__qualname__, str(path), str(result), seconds, room]
    try:
        return subprocess.run(
            [sys.executable, "-c", f"from {__name__} import run_job; run_job()"],
            input=json.dumps(job).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=_PATIENCE * seconds,
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def run_job() -> None:
    """Read the file that the standard input names; the main function of a new interpreter."""
    module, name, path, result, *limits = json.load(sys.stdin)
    reader = getattr(import_module(module), name)
    sys.exit(_read(reader, Path(path), Path(result), *limits))


def _read(reader: Reader, path: Path, result: Path, seconds: float, room: int) -> int:
    """Read the file in the child: the result's tensors or message are written, never printed."""
    try:
        faulthandler.disable()
        gc.freeze()  # nothing of the parent is cleared away here, memory of GPUs least of all
        with open(os.devnull, "w") as nowhere:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
        sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115
        warnings.simplefilter("ignore")
        _limit(seconds, room)
        torch.set_num_threads(1)  # the parent's pool of threads does not survive a fork
        tensors, notes = reader(path)
        named = {str(n): tensor for n, tensor in enumerate(tensors)}
        result.write_bytes(save(named, {"notes": json.dumps(notes)}))
        return _DONE
    except PosekitError as error:
        result.write_text(str(error), "utf-8", errors="surrogatepass")
        return _REFUSED


def _limit(seconds: float, room: int) -> None:
    """Limit this process to so many more seconds of computing and bytes of memory."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        resource.RLIMIT_CPU: math.ceil(time.process_time() + seconds),
        resource.RLIMIT_FSIZE: room,
        resource.RLIMIT_CORE: 0,
    }
    if FORKS:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + room
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]  # negative for none
        resource.setrlimit(kind, (value if hard < 0 else min(value, hard), hard))
