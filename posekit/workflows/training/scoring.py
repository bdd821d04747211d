"""Evaluate and finish: scores beside the mean pose and published ones, and the report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config.recipes import measuring_line, published
from ...data import dataset
from ...data.predictions import FILE, Predictions
from ...data.scores import mobilepose_score, official_score, save_predictions
from ...inference.evaluate import mean_pose, predict_tested
from ...metrics.score import Score
from ...reporting.pages import build_index, shown, write_report
from ...reporting.tables import comparison
from .experiment import Experiment
from .opening import notebook_cells

if TYPE_CHECKING:
    import pandas as pd


def evaluate(exp: Experiment) -> "pd.DataFrame":
    """Score the test split under the official protocol, beside mean pose and published scores.

    A split without ground truth is predicted and written down, and has no score.
    """
    settings, run = exp.settings, exp.run
    bias, scales = settings.test_bias, settings.test_scales
    (exp.predictions,) = predict_tested(exp.task, exp.batches(exp.test), exp.machine, settings)
    file = save_predictions(run.folder, exp.test, exp.predictions)
    if settings.eval_split in dataset(settings.dataset).unscored:
        return _unscored(exp, file)
    score = official_score(exp.test, exp.predictions, exp.root)
    mean = mean_pose(exp.train, exp.test)
    mean_predictions = Predictions(mean, np.ones(mean.shape[:2]), soft_nms=settings.soft_nms)
    baseline = official_score(exp.test, mean_predictions, exp.root)
    table = _table(exp, score, baseline)
    run.table(table)
    moved = f"{bias:g} px taken off every prediction, " if bias else ""
    flips = "with" if settings.flip_test else "without"
    protocol = (
        f"{score.protocol}; {settings.eval_split} split, {moved}{flips} flip test, "
        f"{len(scales)} test scale{'s' * (len(scales) > 1)}"
    )
    run.update(
        protocol=f"{protocol}; generated sample data" if run.record.is_sample else protocol,
        metric=score.metric,
        split=settings.eval_split,
        metrics=score.values,
        baseline={"mean_pose": baseline.mean},
        published={
            row["method"]: row[score.headline.lower()]
            for row in _published(exp)
            if row["metric"] == score.metric
        },
        n_samples=score.n_people,
    )
    return table


def _unscored(exp: Experiment, file: Path | None) -> "pd.DataFrame":
    """What there is instead of a score: how many people are in which file, for whom."""
    import pandas as pd

    run, split, spec = exp.run, exp.settings.eval_split, dataset(exp.settings.dataset)
    name = (file or run.folder / FILE).name
    remark = f"no score: the ground truth of {split} is not public; submit {name} to {spec.page}"
    run.update(protocol=remark, split=split, n_samples=len(exp.test.people))
    row = {"result": f"this run, {run.label}", "split": split, "people": len(exp.test.people)}
    table = pd.DataFrame([row | {"score": "none", "file": name}])
    run.table(table)
    exp.tables[f"Predictions, {run.label}"] = table
    return table


def evaluate_leniently(exp: Experiment) -> "pd.DataFrame":
    """The same predictions under MobilePose-master's own metric, beside its published table."""
    score = mobilepose_score(exp.test, exp.predictions.keypoints)
    baseline = mobilepose_score(exp.test, mean_pose(exp.train, exp.test))
    return _table(exp, score, baseline, " (lenient)")


def _table(exp: Experiment, score: Score, baseline: Score, kind: str = "") -> "pd.DataFrame":
    """This run beside the mean pose and published scores, also for the report."""
    run = exp.run
    table = comparison(score, baseline, _published(exp), run.record)
    exp.tables[f"{score.metric}{kind}, {run.label}"] = table
    return table


def _published(exp: Experiment) -> list[dict[str, Any]]:
    """Scores published for the paper that the network is from, on the test split."""
    if exp.settings.eval_split != "test":
        return []
    return published(exp.about.stem, exp.settings.dataset)


def protocols(exp: Experiment) -> str:
    """The commands that measure what was published for the network's paper, as text."""
    lines = ["what measures each published row, with its weights in place of WEIGHTS:"]
    for row in published(exp.about.stem, exp.settings.dataset):
        lines.append(f"{row['method']}, {row['metric']} ({row['source']})")
        lines.append(f"  {measuring_line(row) or 'a network that posekit does not have'}")
    return "\n".join(lines if lines[1:] else ["nothing was published for this data set"])


def finish(exp: Experiment) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, record = exp.run, exp.run.record
    path = write_report(run, exp.tables, exp.network, notebook_cells())
    run.end("finished")
    index = build_index()
    result = record.protocol
    if record.metric:
        mean_pose = shown(record.baseline["mean_pose"])
        result = f"{shown(record.headline)} {record.metric} (mean pose {mean_pose})"
    return f"{record.model} on {run.label}: {result}\nreport {path}\nindex  {index}"
