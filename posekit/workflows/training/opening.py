"""Start: check the parameters and open the run folder; at the end, close it."""

import os
import re
import weakref
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from IPython import get_ipython

from ...config.machine import choose_machine
from ...config.resolve import Config, resolve
from ...config.settings import refuse
from ...data import dataset
from ...errors import PosekitError
from ...files.paths import smoke
from ...files.progress import heartbeat, is_live
from ...models import Description, describe
from ...reporting.pages import build_index, write_report
from ...reporting.run_folder import Run
from ...train import distributed
from ...weights.identify import open_questions
from .building import find_backbone
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
    return begin_training(resolve(paper, namespace))


def begin_training(config: Config) -> Experiment:
    """Open the run folder of a training, or that of an interrupted one of the same parameters.

    Raises:
        PosekitError: naming what is wrong with the network or the weights it starts from.
    """
    settings = config.settings
    if settings.init:
        path = Path(os.path.expanduser(settings.init))
        if not path.exists():
            raise PosekitError(f"init={settings.init!r}: no such run folder or weights file")
        refuse(f"init={path}:", open_questions(settings.network, path, settings.options()))
    find_backbone(settings)
    settings.check_shapes(dataset(settings.scored).skeleton)
    exp = begin(Experiment, config, describe(settings.network), training=True)
    own = exp.run.record.precision or exp.machine.precision  # a continued run keeps what it had
    exp.machine = exp.machine.training_in(distributed.from_first(lambda: own))
    start = Path(settings.init).name if settings.init else ""
    with exp.run.noting_errors():
        exp.run.update(precision=exp.machine.precision, started_from=start)
    return exp


def begin(
    kind: type[Experiment], config: Config, about: Description, training: bool = False, **more: Any
) -> Experiment:
    """Choose the machine and open the run folder.

    Args:
        kind: of the experiment.
        config: the checked parameters.
        about: what the network takes and returns.
        training: train, or continue an interrupted run of the same parameters if the settings say
            so.
        **more: further attributes of the experiment.

    Raises:
        PosekitError: people are to be scored that are not there, or a device that is not there.
    """
    settings, spec = config.settings, dataset(config.settings.scored)
    split, known = settings.eval_split, ("test", "val", "train", *spec.unscored)
    if split not in known:
        raise PosekitError(f"eval_split={split!r}: {spec.name} has {', '.join(known)}")
    spec.with_boxes(settings.scored_boxes, split)
    wanted = settings.device, settings.precision, settings.workers
    machine = choose_machine(*wanted, fast_bf16=training and about.fast_bf16)
    run = open_run(config, resume=training and settings.resume == "auto")
    return kind(config, run, machine, about, **more)


def open_run(config: Config, resume: bool = False) -> Run:
    """The run folder; whoever runs the notebook learns where it is and a failure is noted in it."""
    run = Run.open(config, resume)
    with run.noting_errors():
        _watch(run)
        if link := os.environ.get("POSEKIT_RUN_LINK"):
            Path(link).write_text(str(run.folder), encoding="utf-8")
        build_index()
    return run


def _watch(run: Run) -> None:
    """In a notebook, note when a cell fails or is interrupted, and say which one takes long."""
    known = weakref.ref(run)  # a run that the notebook has dropped releases its folder
    beating = ExitStack()

    def before_cell(asked: Any) -> None:
        first = re.search(r"^(?!import|from|#)\S.*", asked.raw_cell, re.MULTILINE)
        if first and not is_live() and not smoke():  # a test compares what cells print
            beating.enter_context(heartbeat(first.group))

    def after_cell(result: Any) -> None:
        beating.close()
        run = known()
        error = result.error_in_exec or result.error_before_exec
        if run and error is not None:
            run.note_error(error)
            build_index()

    if shell := get_ipython():
        shell.events.register("pre_run_cell", before_cell)
        shell.events.register("post_run_cell", after_cell)


def close_run(run: Run, network: str) -> str:
    """Write the report, mark the run finished and rebuild the index; where they are, as text.

    Args:
        run: with its scores, tables and figures.
        network: the network's table as text.
    """
    path = write_report(run, network, _notebook_cells())
    run.end("finished")
    return f"report {path}\nindex  {build_index()}"


def _notebook_cells() -> list[str]:
    """The code cells of the notebook so far; empty outside one."""
    shell = get_ipython()
    return [cell for cell in shell.user_ns.get("In", []) if cell.strip()] if shell else []
