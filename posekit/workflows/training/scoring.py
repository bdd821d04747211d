"""Evaluate and finish: scores beside the mean pose and published ones, and the report."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config.recipes import published
from ...data.clips import loader
from ...data.predictions import Predictions
from ...data.scores import mobilepose_score, official_score, save_predictions
from ...files.progress import bar
from ...inference.evaluate import mean_pose, predict
from ...reporting.pages import build_index, shown, write_report
from ...reporting.tables import comparison
from .experiment import Experiment
from .opening import notebook_cells

if TYPE_CHECKING:
    import pandas as pd


def evaluate(exp: Experiment) -> "pd.DataFrame":
    """Score the test split under the official protocol, beside mean pose and published scores."""
    settings, run, machine = exp.settings, exp.run, exp.machine
    pin = machine.device.type == "cuda"
    batches = loader(exp.test, settings.batch_size, False, machine.workers, pin)
    exp.predictions = predict(
        exp.task, batches, machine, settings.flip_test, settings.test_scales, bar
    )
    if bias := settings.test_bias:
        found = exp.predictions
        exp.predictions = replace(found, keypoints=found.keypoints - bias)
    soft = settings.soft_nms
    score = official_score(exp.test, exp.predictions, exp.root, soft)
    save_predictions(run.folder, exp.test, exp.predictions, soft)
    never_looks = _as_predictions(mean_pose(exp.train, exp.test))
    baseline = official_score(exp.test, never_looks, exp.root, soft)
    known = _published(exp)
    table = comparison(score, baseline, known, run.label, run.is_sample)
    flips = "with" if settings.flip_test else "without"
    moved = f"{bias:g} px taken off every prediction, " if bias else ""
    protocol = (
        f"{score.protocol}; {settings.eval_split} split, {moved}{flips} flip test, "
        f"{len(settings.test_scales)} test scale{'s' * (len(settings.test_scales) > 1)}"
    )
    run.table(table)
    run.update(
        protocol=f"{protocol}; generated sample data" if run.is_sample else protocol,
        metric=score.metric,
        split=settings.eval_split,
        metrics=score.values,
        baseline={"mean_pose": baseline.mean},
        published={
            p["method"]: p[score.headline.lower()] for p in known if p["metric"] == score.metric
        },
        n_samples=score.n_people,
    )
    exp.tables[f"{score.metric}, {run.label}"] = table
    return table


def _published(exp: Experiment) -> list[dict[str, Any]]:
    """Scores published for the paper that the network is from, on the test split."""
    if exp.settings.eval_split != "test":
        return []
    return published(exp.about.stem, exp.settings.dataset)


def _as_predictions(keypoints: np.ndarray) -> Predictions:
    return Predictions(keypoints, np.ones(keypoints.shape[:2]))


def evaluate_leniently(exp: Experiment) -> "pd.DataFrame":
    """The same predictions under MobilePose-master's own metric, beside its published table."""
    test, run = exp.test, exp.run
    score = mobilepose_score(test, exp.predictions.keypoints)
    baseline = mobilepose_score(test, mean_pose(exp.train, test))
    known = _published(exp)
    table = comparison(score, baseline, known, run.label, run.is_sample)
    exp.tables[f"{score.metric} (lenient), {run.label}"] = table
    return table


def finish(exp: Experiment) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, record = exp.run, exp.run.record
    path = write_report(run, exp.tables, exp.network, notebook_cells())
    run.end("finished")
    index = build_index()
    return (
        f"{record.model} on {run.label}: {shown(record.headline)} {record.metric} "
        f"(mean pose {shown(record.baseline['mean_pose'])})\nreport {path}\nindex  {index}"
    )
