"""What a network costs beside its rivals: size, work, memory, and time on one core of a CPU.

A section of the lightweight papers' notebooks. Networks that are timed together take turns in one
process, so that what else the machine does meets all of them alike.
"""

import itertools
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..config.families import TestingSettings
from ..data import dataset
from ..errors import PosekitError
from ..geometry.skeletons import Skeleton
from ..inference.evaluate import average_heatmaps
from ..inference.stored_settings import run_settings, usual_settings
from ..models import Cost, cost
from ..models.families.task import Task
from ..reporting import figures
from ..reporting.record import all_runs
from .training.experiment import Experiment

RIVALS = ("pose_resnet_50", "hrnet_w32")  # what the lightweight papers compare themselves with
_COUNTED = {"parameters": 0, "GMACs": 3, "legacy GFLOPs": 3}  # decimals of each
_DECIMALS = _COUNTED | {"weights MB": 1, "activations MB": 1}
_MOST_RUNS = 12  # different networks that `compare_runs` times


def footprint(exp: Experiment) -> str:
    """Size, work and memory of the run's network beside its rivals, at full width, as text.

    Counted on shapes, so that the answer does not depend on the machine.
    """
    table = costs(contenders(exp.settings), exp.train.skeleton)
    formats = {column: f"{{:,.{digits}f}}".format for column, digits in _DECIMALS.items()}
    text = table.to_string(formatters=formats, line_width=10**6)
    return f"{text}\n{shares(table[: 1 + len(RIVALS)])}"


def efficiency(exp: Experiment, repeats: int = 5) -> pd.DataFrame:
    """The footprint with time: one thread, one image, from crop to keypoints.

    In a test everything is of the run's own small width and crop.
    """
    joints, run = exp.train.skeleton, exp.run
    chosen = contenders(exp.settings, full=not exp.config.smoke)
    times = latencies({name: _timed(one, joints) for name, one in chosen.items()}, repeats)
    table = costs(chosen, joints).round(_DECIMALS).rename_axis("network").reset_index()
    table[["ms", "ms with flip test"]] = np.round(list(times.values()), 1)
    run.tables["Efficiency: one image, one CPU thread, random weights"] = table
    own = times[_title_of(exp.settings)]
    run.update(latency_ms=round(own[0], 2), latency_flip_ms=round(own[1], 2))
    return table


def compare_runs(exp: Experiment) -> Any:
    """A figure of score against size, work and time over the finished runs in reports/.

    Only runs with the data, the split and the metric of this one are shown: no others compare.
    All of their networks are timed here, so the times are of one machine.
    """
    run, joints = exp.run, exp.train.skeleton
    keys = ("dataset", "source", "split", "metric")
    found: dict[str, tuple[TestingSettings, float]] = {}
    for folder, record in [(run.folder, run.record), *all_runs()]:
        alike = all(getattr(record, key) == getattr(run.record, key) for key in keys)
        over = folder == run.folder or record.status == "finished"
        settings = settings_if_usable(folder) if alike and over else None
        if settings and len(found) < _MOST_RUNS:  # of equal networks the newest run
            found.setdefault(_title_of(settings), (settings, record.headline))
    times = latencies({name: _timed(one, joints) for name, (one, _) in found.items()}, repeats=3)
    points = []
    for name, (settings, score) in found.items():
        own = cost_of(settings, joints)
        points.append((name, score, own.params / 1e6, own.gmacs, times[name][0]))
    heading = f"Score, size, work and time of all runs on {run.label}"
    baseline = run.record.baseline["mean_pose"]
    figure = figures.tradeoff(points, run.record.metric, baseline, heading)
    caption = (
        "Every finished run with the same data, split and metric, this one in vermilion; the line "
        "is the mean pose. Times: one image, one CPU thread, no flip test, measured here."
    )
    return run.figure("8-tradeoff", figure, caption)


def settings_if_usable(folder: Path) -> TestingSettings | None:
    """The settings of a run, None where today's posekit would not take them any more."""
    try:
        settings = run_settings(folder)
        settings.check_shapes(dataset(settings.dataset).skeleton)
    except PosekitError:
        return None
    return settings


def contenders(settings: TestingSettings, full: bool = True) -> dict[str, TestingSettings]:
    """The run's network and its rivals, all of one width and one crop.

    Args:
        settings: of the run.
        full: take full width and the papers' crop, and the run's own network besides where it is
            another; else take the run's width and crop for all of them.

    Returns:
        What to call each, and settings that build it.
    """
    like = usual_settings(RIVALS[0], settings.dataset) if full else settings
    width = 1.0 if full else settings.options().get("width", 1.0)
    common = {"width": width, "image_size": like.image_size}
    rivals = [usual_settings(name, settings.dataset, common) for name in RIVALS]
    knobs = type(settings).model_fields  # a network from outside may have no width
    own = settings.model_copy(update={n: v for n, v in common.items() if n in knobs})
    return {_title_of(one): one for one in [own, *rivals, settings]}


def _title_of(settings: TestingSettings) -> str:
    """A network as tables name it, with what sets it apart."""
    own = [f"{name} {value}" for name, value in settings.options().items()]
    return ", ".join([settings.network, "x".join(map(str, settings.image_size)), *own])


def cost_of(settings: TestingSettings, joints: Skeleton) -> Cost:
    """What a network costs for one image or clip."""
    model = settings.shapes_only(joints)
    return cost(model, *settings.one_clip(model.description))


def _timed(settings: TestingSettings, joints: Skeleton) -> tuple[Task, tuple[int, ...]]:
    """A task on the CPU and the shape of its crops."""
    model = settings.build(joints)
    shape = (1, settings.clip_length(model.description), 3, *settings.image_size)
    return settings.task(model, joints), shape


def costs(networks: dict[str, TestingSettings], joints: Skeleton) -> pd.DataFrame:
    """Size, work and memory of networks for one image or clip, one row each."""
    rows = []
    for settings in networks.values():
        work = cost_of(settings, joints)
        megabytes = 4 * work.params / 2**20, work.activations / 2**20
        rows.append((work.params, work.gmacs, work.legacy_gflops, *megabytes))
    return pd.DataFrame(rows, index=list(networks), columns=list(_DECIMALS))


def shares(table: pd.DataFrame) -> str:
    """The first network of `costs` in shares of each of the others, as text."""
    name, lines = table.index[0], []
    for other in table.index[1:]:
        lines.append(f"{name} against {other}:")
        for what in _COUNTED:
            ratio = table.at[name, what] / table.at[other, what]
            lines.append(f"  {ratio:6.1%} of the {what} ({ratio - 1:+.1%})")
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
    for task, _ in tasks.values():
        for module in task.model.eval().modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight)
    images = {n: torch.randint(0, 256, s, dtype=torch.uint8) for n, (_, s) in tasks.items()}
    seconds = {key: [] for key in itertools.product(tasks, (False, True))}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(repeats + 1):
            for (name, flip), times in seconds.items():
                (task, shape), started = tasks[name], time.perf_counter()
                task.decode(average_heatmaps(task, images[name], flip), shape[-2:])
                times.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    # The first turn is for warming up.
    medians = {key: 1000 * median(times[1:]) for key, times in seconds.items()}
    return {name: (medians[name, False], medians[name, True]) for name in tasks}
