"""Train in several processes on this machine that torchrun starts, one a device.

The notebook keeps the run folder; the first process writes checkpoints, log and weights into it,
see `share.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from ...config.machine import usable_cores
from ...errors import PosekitError
from ...files.progress import say
from ...reporting.record import read_record
from ...weights import RUN_WEIGHTS, load_weights
from .experiment import Experiment

_SHARE = "from posekit.workflows.training.share import train_share; train_share()"


def train_in_processes(exp: Experiment) -> None:
    """Train by the settings alone: what cells have changed in this kernel is not seen there.

    Args:
        exp: after `build`; afterwards it has the weights of the best epoch.

    Raises:
        PosekitError: there are fewer GPUs, or a process failed, after its output.
    """
    count, devices = exp.settings.num_processes, torch.cuda.device_count()
    if exp.machine.device.type == "cuda" and devices < count:
        raise PosekitError(f"num_processes={count}: there are {devices} GPUs; set it to {devices}")
    job = {"paper": exp.config.paper, "folder": str(exp.run.folder), "resumed": exp.run.resumed}
    job["parameters"] = exp.settings.model_dump(mode="json")
    with tempfile.TemporaryDirectory(prefix="posekit-") as folder:
        path = Path(folder, "job.json")
        path.write_text(json.dumps(job), encoding="utf-8")
        torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")
        share = ("--no-python", sys.executable, "-c", _SHARE, str(path))
        try:
            _follow([sys.executable, *torchrun, *share], count)
        finally:  # the first process keeps the record, of an interrupted training too
            exp.run.record = read_record(exp.run.folder) or exp.run.record
    load_weights(exp.task.model, exp.run.folder / RUN_WEIGHTS)


def _follow(command: list[str], count: int) -> None:
    """Print what the processes print; they end when this one does."""
    threads = str(max(1, usable_cores() // count))
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        try:
            for line in process.stdout:
                say(line, end="")
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise PosekitError(
            f"training in {count} processes stopped, see above for why; the last whole epoch is "
            "kept, and the same line continues"
        )
