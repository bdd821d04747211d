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


def evaluate(experiment: Experiment) -> "pd.DataFrame":
    """Score the test split under the official protocol, beside mean pose and published scores."""
    settings, run, machine = experiment.settings, experiment.run, experiment.machine
    pin = machine.device.type == "cuda"
    batches = loader(experiment.test, settings.batch_size, False, machine.workers, pin)
    experiment.predictions = predict(
        experiment.task, batches, machine, settings.flip_test, settings.test_scales, bar
    )
    if bias := settings.test_bias:
        found = experiment.predictions
        experiment.predictions = replace(found, keypoints=found.keypoints - bias)
    soft = settings.soft_nms
    score = official_score(experiment.test, experiment.predictions, experiment.root, soft)
    save_predictions(run.folder, experiment.test, experiment.predictions, soft)
    never_looks = _as_predictions(mean_pose(experiment.train, experiment.test))
    baseline = official_score(experiment.test, never_looks, experiment.root, soft)
    known = _published(experiment)
    table = comparison(score, baseline, known, run.record)
    flips = "with" if settings.flip_test else "without"
    moved = f"{bias:g} px taken off every prediction, " if bias else ""
    protocol = (
        f"{score.protocol}; {settings.eval_split} split, {moved}{flips} flip test, "
        f"{len(settings.test_scales)} test scale{'s' * (len(settings.test_scales) > 1)}"
    )
    run.table(table)
    run.update(
        protocol=f"{protocol}; generated sample data" if run.record.is_sample else protocol,
        metric=score.metric,
        split=settings.eval_split,
        metrics=score.values,
        baseline={"mean_pose": baseline.mean},
        published={
            p["method"]: p[score.headline.lower()] for p in known if p["metric"] == score.metric
        },
        n_samples=score.n_people,
    )
    experiment.tables[f"{score.metric}, {run.label}"] = table
    return table


def _published(experiment: Experiment) -> list[dict[str, Any]]:
    """Scores published for the paper that the network is from, on the test split."""
    if experiment.settings.eval_split != "test":
        return []
    return published(experiment.about.stem, experiment.settings.dataset)


def _as_predictions(keypoints: np.ndarray) -> Predictions:
    return Predictions(keypoints, np.ones(keypoints.shape[:2]))


def evaluate_leniently(experiment: Experiment) -> "pd.DataFrame":
    """The same predictions under MobilePose-master's own metric, beside its published table."""
    test, run = experiment.test, experiment.run
    score = mobilepose_score(test, experiment.predictions.keypoints)
    baseline = mobilepose_score(test, mean_pose(experiment.train, test))
    known = _published(experiment)
    table = comparison(score, baseline, known, run.record)
    experiment.tables[f"{score.metric} (lenient), {run.label}"] = table
    return table


def finish(experiment: Experiment) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, record = experiment.run, experiment.run.record
    path = write_report(run, experiment.tables, experiment.network, notebook_cells())
    run.end("finished")
    index = build_index()
    return (
        f"{record.model} on {run.label}: {shown(record.headline)} {record.metric} "
        f"(mean pose {shown(record.baseline['mean_pose'])})\nreport {path}\nindex  {index}"
    )
