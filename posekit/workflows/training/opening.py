"""Start: check the parameters and open the run folder."""

import os
import weakref
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from ...config.machine import choose_machine
from ...config.resolve import Config, resolve
from ...data import dataset
from ...errors import PosekitError
from ...models import Description, describe
from ...reporting.run_folder import Run
from .experiment import Experiment


def start(paper: str, namespace: MutableMapping[str, Any]) -> Experiment:
    """Check the notebook's parameters and open the run folder.

    An interrupted run of the same parameters is continued, unless resume is "never".

    Args:
        paper: stem of the paper whose recipe is taken.
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, before any work.
    """
    config = resolve(paper, namespace)
    settings = config.settings
    if settings.init and not Path(os.path.expanduser(settings.init)).exists():
        raise PosekitError(f"init={settings.init!r}: there is no such run folder or weights file")
    settings.check_shapes(dataset(settings.dataset).skeleton)
    return begin(Experiment, config, describe(settings.network), resume=settings.resume == "auto")


def begin(
    kind: type[Experiment], config: Config, about: Description, resume: bool = False, **more: Any
) -> Experiment:
    """Choose the machine and open the run folder.

    Args:
        kind: of the experiment.
        config: the checked parameters.
        about: what the network takes and returns.
        resume: continue an interrupted run of the same parameters.
        **more: further attributes of the experiment.

    Raises:
        PosekitError: people are to be scored that are not there, or a device that is not there.
    """
    settings = config.settings
    _check_people(config)
    machine = choose_machine(settings.device, settings.precision, settings.workers)
    return kind(config, open_run(config, resume), machine, about, **more)


def _check_people(config: Config) -> None:
    """Refuse a split, or boxes of it, that the data set does not have."""
    settings, spec = config.settings, dataset(config.settings.dataset)
    split, folder = settings.eval_split, config.data_root and spec.find(config.data_root)
    if split not in (known := ("test", "val", "train", *spec.unscored)):
        raise PosekitError(f"eval_split={split!r}: {spec.name} has {', '.join(known)}")
    if split in spec.unscored and not (folder and split in spec.unscored_in(folder)):
        place = f"in {folder}" if folder else "in the generated sample"
        problem = f"there is no {spec.unscored[split]} {place}"
        raise PosekitError(f"eval_split={split}: {problem}: get it from {spec.page}, source=real")
    found = spec.detections and split in ("test", *spec.unscored)
    if settings.boxes == "detections" and not found:
        problem = f"{spec.name} has none for its {split} split"
        raise PosekitError(f"boxes=detections: {problem}: use ground_truth")


def open_run(config: Config, resume: bool = False) -> Run:
    """The run folder; whoever runs the notebook learns where it is and a failure is noted in it."""
    run = Run.open(config, resume)
    _watch_for_failure(run)
    if link := os.environ.get("POSEKIT_RUN_LINK"):
        Path(link).write_text(str(run.folder), encoding="utf-8")
    return run


def _watch_for_failure(run: Run) -> None:
    """In a notebook, note in the run's record when a cell fails or is interrupted."""
    from IPython import get_ipython

    known = weakref.ref(run)  # a run that the notebook has dropped releases its folder

    def after_cell(result: Any) -> None:
        run = known()
        error = result.error_in_exec or result.error_before_exec
        if run and error is not None:
            run.note_error(error)

    if shell := get_ipython():
        shell.events.register("post_run_cell", after_cell)


def notebook_cells() -> list[str]:
    """The code cells of the notebook so far; empty outside one."""
    from IPython import get_ipython

    shell = get_ipython()
    return [cell for cell in shell.user_ns.get("In", []) if cell.strip()] if shell else []
