"""What each of the processes does that `processes.py` starts: its share of a training."""

import json
import os
import sys
import tempfile
import threading
from pathlib import Path

from ...config.machine import choose_machine
from ...config.resolve import resolve
from ...errors import PosekitError
from ...models import describe
from ...reporting.record import read_record
from ...reporting.run_folder import Run
from ...train import distributed
from .building import build
from .experiment import Experiment
from .fitting import train
from .loading import load


def train_share() -> None:
    """Train; the argument of the process is the file that describes the job."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _train_share(Path(sys.argv[1]))
    except PosekitError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(2)


def _train_share(path: Path) -> None:
    job = json.loads(path.read_text(encoding="utf-8"))
    with distributed.process_group(), tempfile.TemporaryDirectory(prefix="posekit-") as folder:
        config = resolve(job["paper"], job["parameters"])
        settings, about = config.settings, describe(config.settings.network)
        own = Path(job["folder"])
        run = Run(own, read_record(own), resumed=job["resumed"])
        if not distributed.is_first():  # only the first process writes
            run.folder = Path(folder)
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        device = distributed.device() if settings.device == "auto" else settings.device
        machine = choose_machine(device, settings.precision, settings.workers)
        exp = Experiment(config, run, machine.training_in(run.record.precision), about)
        load(exp)
        build(exp)
        train(exp)


def _end_with_parent() -> None:
    """Wait for the end of the pipe that the notebook's process holds, and end."""
    os.read(0, 1)
    os._exit(1)
