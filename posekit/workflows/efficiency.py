"""What a network costs beside its rivals: size, work, memory, and time on one core of a CPU.

A section of the lightweight papers' notebooks. Networks that are timed together take turns in one
process, so that what else the machine does meets all of them alike.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..config.knobs import Recipe, TopDownRecipe
from ..config.recipes import RECIPES
from ..data import dataset
from ..errors import PosekitError
from ..geometry.skeletons import Skeleton
from ..inference.evaluate import average_heatmaps
from ..inference.stored_settings import recipe_of_run
from ..models import Cost, cost
from ..models.families.task import Task
from ..reporting import figures
from ..reporting.record import all_runs
from .training import Experiment, make_task, network_of, one_clip, shapes_only, try_shapes

if TYPE_CHECKING:
    import pandas as pd

# What the lightweight papers compare themselves with, and the crops (h, w) they do it at.
RIVALS = ("pose_resnet_50", "hrnet_w32")
PAPER_SIZE = {"COCO": (256, 192), "MPII": (256, 256)}
_DECIMALS = {"parameters": 0, "GMACs": 3, "legacy GFLOPs": 3, "weights MB": 1, "activations MB": 1}
_MOST_RUNS = 12  # different networks that `compare_runs` times


def footprint(experiment: Experiment) -> str:
    """Size, work and memory of the run's network beside its rivals, at full width, as text.

    Counted on shapes, so that the answer does not depend on the machine.
    """
    recipe, joints = experiment.recipe, experiment.train.skeleton
    prices = {name: price(one, joints) for name, one in contenders(recipe).items()}
    rows = {name: row(one) for name, one in prices.items()}
    width = max(map(len, rows))
    lines = [" " * width + "".join(f"{column:>16}" for column in next(iter(rows.values())))]
    for name, values in rows.items():
        cells = (f"{v:>16,.{_DECIMALS[column]}f}" for column, v in values.items())
        lines.append(f"{name:{width}}" + "".join(cells))
    papers = dict(list(prices.items())[: 1 + len(RIVALS)])
    return "\n".join([*lines, shares(papers)])


def efficiency(experiment: Experiment, repeats: int = 5) -> "pd.DataFrame":
    """The footprint with time: one thread, one image, from crop to keypoints.

    In a test everything is of the run's own small width and crop.
    """
    import pandas as pd

    joints, run = experiment.train.skeleton, experiment.run
    chosen = contenders(experiment.recipe, full=not experiment.bound.smoke)
    times = latencies({name: _timed(one, joints) for name, one in chosen.items()}, repeats)
    table = pd.DataFrame(
        {
            "network": name,
            **row(price(one, joints)),
            "ms": round(times[name][0], 1),
            "ms with flip test": round(times[name][1], 1),
        }
        for name, one in chosen.items()
    )
    experiment.tables["Efficiency: one image, one CPU thread, random weights"] = table.astype(str)
    own = times[_title_of(experiment.recipe)]
    run.update(latency_ms=round(own[0], 2), latency_flip_ms=round(own[1], 2))
    return table


def compare_runs(experiment: Experiment) -> Any:
    """A figure of score against size, work and time over the finished runs in reports/.

    Only runs with the data, the split and the metric of this one are shown: no others compare.
    All of their networks are timed here, so the times are of one machine.
    """
    run, joints = experiment.run, experiment.train.skeleton
    keys = ("dataset", "source", "split", "metric")
    found: dict[str, tuple[Recipe, float]] = {}
    for folder, record in [(run.folder, run.record), *all_runs()]:
        alike = all(getattr(record, key) == getattr(run.record, key) for key in keys)
        over = folder == run.folder or record.status == "finished"
        recipe = recipe_of(folder) if alike and over else None
        if recipe and len(found) < _MOST_RUNS:  # of equal networks the newest run
            found.setdefault(_title_of(recipe), (recipe, record.headline))
    times = latencies({name: _timed(one, joints) for name, (one, _) in found.items()}, repeats=3)
    points = []
    for name, (recipe, score) in found.items():
        own = price(recipe, joints)
        points.append((name, score, own.params / 1e6, own.gmacs, times[name][0]))
    metric, never_looks = run.record.metric, run.record.baseline["mean_pose"]
    heading = f"Score, size, work and time of all runs on {run.label}"
    figure = figures.tradeoff(points, metric, never_looks, heading)
    caption = (
        "Every finished run with the same data, split and metric, this one in vermilion; the line "
        "is the mean pose. Times: one image, one CPU thread, no flip test, measured here."
    )
    return run.figure("8-tradeoff", figure, caption)


def recipe_of(folder: Path) -> Recipe | None:
    """The recipe of a run, None where today's posekit would not take it any more."""
    paper = folder.name.partition("-")[0]
    if paper not in RECIPES:
        return None
    try:
        recipe = recipe_of_run(folder, paper)
        try_shapes(recipe, dataset(recipe.dataset).skeleton)
    except PosekitError:
        return None
    return recipe


def contenders(recipe: Recipe, full: bool = True) -> dict[str, Recipe]:
    """The run's network and its rivals, all of one width and one crop.

    Args:
        recipe: of the run.
        full: take full width and the papers' crop, and the run's own network besides where it is
            another; else take the run's width and crop for all of them.

    Returns:
        What to call each, and a recipe that builds it.
    """
    size = PAPER_SIZE.get(recipe.dataset, recipe.image_size) if full else recipe.image_size
    common = {"width": 1.0 if full else recipe.width, "image_size": size}
    shared = {k: v for k, v in recipe.model_dump().items() if k in TopDownRecipe.model_fields}
    rivals = [shared | common | {"network": name} for name in RIVALS]
    chosen = [recipe.model_copy(update=common), *map(TopDownRecipe.model_validate, rivals), recipe]
    return {_title_of(one): one for one in chosen}


def _title_of(recipe: Recipe) -> str:
    """A network as tables name it, with what sets it apart."""
    own = [f"{name} {value}" for name, value in recipe.options().items()]
    return ", ".join([recipe.network, "x".join(map(str, recipe.image_size)), *own])


def price(recipe: Recipe, joints: Skeleton) -> Cost:
    """What a recipe's network costs for one image or clip."""
    model = shapes_only(recipe, joints)
    return cost(model, *one_clip(model, recipe.image_size, getattr(recipe, "frames", 1)))


def _timed(recipe: Recipe, joints: Skeleton) -> tuple[Task, tuple[int, ...]]:
    """A task on the CPU and the shape of its crops."""
    shape = (1, getattr(recipe, "frames", 1), 3, *recipe.image_size)
    return make_task(recipe, network_of(recipe, joints), joints), shape


def row(price: Cost) -> dict[str, float]:
    """Size, work and memory of a network for one image, in the units of the table."""
    values = (
        price.params,
        price.gmacs,
        price.legacy_gflops,
        4 * price.params / 2**20,
        price.activations / 2**20,
    )
    found = dict(zip(_DECIMALS, values, strict=True))
    return {name: round(value, _DECIMALS[name] or None) for name, value in found.items()}


def shares(prices: dict[str, Cost]) -> str:
    """The first network in shares of each of the others, as text."""
    (name, own), *others = prices.items()
    lines = []
    for other, price in others:
        ratios = {
            "parameters": own.params / price.params,
            "GMACs": own.gmacs / price.gmacs,
            "legacy GFLOPs": own.legacy_gflops / price.legacy_gflops,
        }
        lines.append(f"{name} against {other}:")
        lines += [f"  {r:6.1%} of the {what} ({r - 1:+.1%})" for what, r in ratios.items()]
    return "\n".join(lines)


@torch.inference_mode()
def latencies(
    tasks: dict[str, tuple[Task, tuple[int, ...]]], repeats: int = 5
) -> dict[str, tuple[float, float]]:
    """Milliseconds from a crop to its keypoints, at one thread and with one image at a time.

    Weights do not matter and are overwritten: with the tiny ones that networks start from,
    activations would vanish into denormal numbers, which are slow.

    Args:
        tasks: name -> the network on the CPU, and the shape (1, T, 3, h, w) of its crops.
        repeats: of which the median counts; networks take turns.

    Returns:
        Name -> median without and with the mirror image averaged in.
    """
    runs: dict[tuple[str, bool], Callable[[], object]] = {}
    for name, (task, shape) in tasks.items():
        for module in task.model.eval().modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight)
        images = torch.randint(0, 256, shape, dtype=torch.uint8)
        for flip in (False, True):
            runs[name, flip] = lambda t=task, i=images, f=flip: t.decode(
                average_heatmaps(t, i, f), tuple(i.shape[-2:])
            )
    seconds: dict[tuple[str, bool], list[float]] = {key: [] for key in runs}
    with one_thread():
        for turn in range(repeats + 1):
            for key, run in runs.items():
                started = time.perf_counter()
                run()
                if turn:  # the first is for warming up
                    seconds[key].append(time.perf_counter() - started)
    return {n: tuple(1000 * median(seconds[n, flip]) for flip in (False, True)) for n in tasks}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
