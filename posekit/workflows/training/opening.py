"""Start: check the parameters and open the run folder."""

import contextlib
import os
import weakref
from pathlib import Path
from typing import Any

from ... import data
from ...config.knobs import PoseMachineRecipe
from ...config.machine import choose_machine
from ...config.recipes import Bound, bind
from ...errors import PosekitError
from ...models import describe, list_models
from ...reporting.run_folder import Run
from .building import try_shapes
from .experiment import Experiment


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
    try_shapes(recipe, data.dataset(recipe.dataset).skeleton)
    machine = choose_machine(recipe)
    return Experiment(bound, open_run(bound), machine)


def open_run(bound: Bound) -> Run:
    """The run folder; whoever runs the notebook learns where it is and a failure is noted in it.

    Raises:
        PosekitError: detected boxes are wished where there are none.
    """
    recipe = bound.recipe
    if getattr(recipe, "boxes", "ground_truth") == "detections":
        if (recipe.dataset, recipe.eval_split) != ("COCO", "test"):
            raise PosekitError(
                f"boxes=detections: there are detections for the test split of COCO, not for the "
                f"{recipe.eval_split} split of {recipe.dataset}: use ground_truth"
            )
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
            known = weakref.ref(run)  # a run that the notebook has dropped releases its folder

            def after_cell(result: Any) -> None:
                run = known()
                error = result.error_in_exec or result.error_before_exec
                if run and error is not None and run.record.status != "finished":
                    interrupted = isinstance(error, KeyboardInterrupt)
                    run.update(status="interrupted" if interrupted else "failed")

            shell.events.register("post_run_cell", after_cell)


def notebook_cells() -> list[str]:
    """The code cells of the notebook so far; empty outside one."""
    with contextlib.suppress(ImportError):
        from IPython import get_ipython

        if shell := get_ipython():
            return [cell for cell in shell.user_ns.get("In", []) if cell.strip()]
    return []
