"""Evaluate and finish: scores beside the mean pose and published ones, and the report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...config.recipes import measuring_line, published
from ...data import dataset
from ...data.dataset import NoScore
from ...data.scores import mobilepose_score, official_score, save_predictions
from ...inference.evaluate import mean_pose, predict_tested
from ...metrics.score import Score
from ...reporting.tables import comparison
from .experiment import Experiment
from .opening import close_run


def evaluate(exp: Experiment) -> pd.DataFrame:
    """Score the test split under the official protocol, beside mean pose and published scores.

    A split without ground truth is predicted and written down, and has no score.
    """
    settings, run, spec = exp.settings, exp.run, dataset(exp.settings.scored)
    batches = exp.batches(replace(exp.test, scales=settings.test_scales))
    (exp.predictions,) = predict_tested(exp.task, batches, exp.machine, settings)
    file = save_predictions(run.folder, exp.test, exp.predictions)
    if settings.eval_split in spec.unscored:
        problem = f"the ground truth of {settings.eval_split} is not public"
        return _unscored(exp, file, f"no score: {problem}; submit {file.name} to {spec.page}")
    mean = mean_pose(exp.train, exp.test)
    mean_predictions = replace(exp.predictions, keypoints=mean, scores=np.ones(mean.shape[:2]))
    try:
        both = [official_score(exp.test, p, exp.root) for p in (exp.predictions, mean_predictions)]
    except NoScore as error:
        return _unscored(exp, file, str(error))
    if settings.box_file:  # nothing published is about these boxes
        metric = f"AP, boxes of {Path(settings.box_file).name}"
        both = [replace(one, metric=metric) for one in both]
    score, baseline = both
    table = _table(exp, score, baseline)
    quoted = [row for row in _published(exp) if row["metric"] == score.metric]
    protocol = f"{score.protocol}; {settings.eval_split} split, {_testing(exp)}"
    run.update(
        protocol=protocol + "; generated sample data" * run.record.is_sample,
        metric=score.metric,
        metrics=score.values,
        baseline={"mean_pose": baseline.mean},
        published={row["method"]: row[score.headline.lower()] for row in quoted},
        n_samples=score.n_people,
    )
    return table


def _unscored(exp: Experiment, file: Path, remark: str) -> pd.DataFrame:
    """What there is instead of a score: how many people are in which file, and why."""
    run, split, people = exp.run, exp.settings.eval_split, len(exp.test.people)
    run.update(protocol=remark)
    row = {"result": f"this run, {run.label}", "split": split, "people": people}
    table = pd.DataFrame([row | {"score": "none", "file": file.name}])
    return run.keep("Predictions", table, "table")


def evaluate_leniently(exp: Experiment) -> pd.DataFrame:
    """The same predictions under MobilePose-master's own metric, beside its published table."""
    score = mobilepose_score(exp.test, exp.predictions.keypoints)
    baseline = mobilepose_score(exp.test, mean_pose(exp.train, exp.test))
    return _table(exp, score, baseline, " (lenient)")


def _table(exp: Experiment, score: Score, baseline: Score, kind: str = "") -> pd.DataFrame:
    """This run beside the mean pose and published scores; the report has it by joint as well."""
    run, tables = exp.run, []
    for sides in (False, True) if score.joints else (False,):
        rows = _published(exp, sides)
        table = comparison(score, baseline, rows, run.record, _testing(exp), sides)
        file = "" if kind else "table" + "-sides" * sides
        tables.append(run.keep(f"{score.metric}{kind}{' by joint' * sides}", table, file))
    return tables[0]


def _published(exp: Experiment, sides: bool = False) -> list[dict[str, Any]]:
    """Scores published for the paper that the network is from, on a test split it did not see."""
    settings, name = exp.settings, exp.settings.scored
    if (settings.train_part(name), settings.eval_split) != ("train", "test"):
        return []
    return published(exp.about.stem, name, sides)


def _testing(exp: Experiment) -> str:
    """How the network was asked, one phrase."""
    settings, sizes = exp.settings, len(exp.settings.test_scales)
    moved = f"{settings.test_bias:g} px taken off every prediction, " if settings.test_bias else ""
    flips = "with" if settings.flip_test else "without"
    shown = f", clips of {exp.test.frames} frames" if exp.about.kind == "clip" else ""
    if exp.test.frames == "all":
        shown = ", every video one recurrence, cropped about each frame's box at one size a video"
    return f"{moved}{flips} flip test, {sizes} test scale{'s' * (sizes > 1)}{shown}"


def protocols(exp: Experiment) -> str:
    """The commands that measure what was published for the network's paper, as text."""
    lines = ["what measures each published row, with its weights in place of WEIGHTS:"]
    for row in published(exp.about.stem, exp.settings.scored):
        lines.append(f"{row['method']}, {row['metric']} ({row['source']})")
        lines.append(f"  {measuring_line(row) or 'a network that posekit does not have'}")
    return "\n".join(lines if lines[1:] else ["nothing was published for this data set"])


def finish(exp: Experiment) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, record = exp.run, exp.run.record
    places = close_run(run, exp.network)
    result = record.protocol
    if record.metric:
        mean_pose = record.shown(record.baseline["mean_pose"])
        result = f"{record.shown(record.headline)} {record.metric} (mean pose {mean_pose})"
    return f"{record.name} on {run.label}: {result}\n{places}"
