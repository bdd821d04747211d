"""An experiment: checked parameters, a run folder, and what the steps add to them."""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.clips import Clips
from ..errors import PosekitError
from ..evaluate import Predictions
from ..models import Description, describe, list_models
from ..recipes import Bound, PoseMachineRecipe, Recipe, bind
from ..results import Run
from ..train.loop import Log, Machine, choose_machine
from ..train.task import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Experiment:
    """One run of one paper's notebook: what every later step needs from the earlier ones.

    Attributes:
        bound: the checked parameters.
        run: the run folder.
        machine: device, precision, loading processes.
        root: the data root that is read.
        train: training clips, augmented.
        val: clips held out from training, for choosing the best epoch.
        test: the clips that are scored.
        task: the network with its targets, loss and decoding.
        log: the training log.
        network: the network's table as text.
        predictions: of the scored clips.
        tables: heading -> table, for the report.
        about: what the network eats, where it is not one that the recipe names.
    """

    bound: Bound
    run: Run
    machine: Machine
    root: Path | None = None
    train: Clips | None = None
    val: Clips | None = None
    test: Clips | None = None
    task: Task | None = None
    log: Log | None = None
    network: str = ""
    predictions: Predictions | None = None
    tables: dict[str, "pd.DataFrame"] = field(default_factory=dict)
    about: Description | None = None

    @property
    def recipe(self) -> Recipe:
        """The values of the parameters."""
        return self.bound.recipe


def start(paper: str, namespace: dict[str, Any]) -> Experiment:
    """Check the notebook's parameters and open the run folder.

    An interrupted run of the same parameters is continued, unless resume is "never".

    Args:
        paper: stem of the paper.
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, before any work.
    """
    bound = bind(paper, namespace)
    recipe = bound.recipe
    family = isinstance(recipe, PoseMachineRecipe)
    fitting = [name for name in list_models() if describe(name).centre_map == family]
    if recipe.network not in fitting:
        raise PosekitError(f"network={recipe.network!r}: choose one of {', '.join(fitting)}")
    if recipe.init and not Path(os.path.expanduser(recipe.init)).exists():
        raise PosekitError(f"init={recipe.init!r}: there is no such run folder or weights file")
    machine = choose_machine(recipe)
    return Experiment(bound, open_run(bound), machine)


def open_run(bound: Bound) -> Run:
    """The run folder; whoever runs the notebook learns where it is and a failure is noted in it."""
    run = Run.open(bound)
    _watch_for_failure(run)
    if link := os.environ.get("POSEKIT_RUN_LINK"):
        Path(link).write_text(str(run.folder), encoding="utf-8")
    return run


def _watch_for_failure(run: Run) -> None:
    """In a notebook, note in the run's record when a cell fails or is interrupted."""
    with contextlib.suppress(ImportError):
        from IPython import get_ipython

        if shell := get_ipython():

            def after_cell(result: Any) -> None:
                error = result.error_in_exec or result.error_before_exec
                if error is not None and run.record["status"] != "finished":
                    run.update(
                        status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                    )

            shell.events.register("post_run_cell", after_cell)


def notebook_cells() -> list[str]:
    """The code cells of the notebook so far; empty outside one."""
    with contextlib.suppress(ImportError):
        from IPython import get_ipython

        if shell := get_ipython():
            return [cell for cell in shell.user_ns.get("In", []) if cell.strip()]
    return []
