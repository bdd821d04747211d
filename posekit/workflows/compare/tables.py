"""Tables of a comparison: the runs, where their parameters differ, differences by joint."""

import numpy as np
import pandas as pd

from ...metrics.bootstrap import bootstrap_means
from ..training.opening import close_run
from .setup import Comparison, Contender

ALL = "all joints"


def runs(study: Comparison) -> pd.DataFrame:
    """One row a run: its own score, over everybody that it predicted, and what it cost."""
    rows = []
    for one in study.contenders:
        record = one.record
        baseline = record.baseline.get("mean_pose", float("nan"))
        row = {"run": one.name, "folder": one.folder.name if one.folder else "-"}
        row |= {record.metric: record.headline, "mean pose": baseline}
        row |= {"points, same people": round(float(np.nanmean(one.points)), 1)}
        row |= {"parameters": record.params_count or None, "GMACs": record.gmacs or None}
        row |= {"epochs": record.epochs_done, "seconds": round(record.train_seconds)}
        rows.append(row)
    table = pd.DataFrame(rows).round(3)
    return study.run.keep("Runs", table, "runs")


def parameters(study: Comparison) -> pd.DataFrame | str:
    """The knobs in which the runs differ, one row each."""
    known = dict.fromkeys(name for one in study.contenders for name in one.parameters)
    rows = [
        {"parameter": name} | {one.name: str(one.parameters.get(name)) for one in study.contenders}
        for name in known
        if len({str(one.parameters.get(name)) for one in study.contenders}) > 1
    ]
    if not rows:
        return "the runs have the same parameters"
    return study.run.keep("Where the parameters differ", pd.DataFrame(rows), "parameters")


def intervals(study: Comparison, contender: Contender) -> pd.DataFrame:
    """Points of each joint that a run gains on the first one, with 95 % intervals.

    Videos, or images, are drawn again as a whole, for both runs the same ones.
    """
    gain, groups = study.gain(contender), study.people.group
    draws = study.settings.resamples, study.settings.seed
    joints = bootstrap_means(gain, groups, *draws)
    whole = bootstrap_means(gain.reshape(-1, 1), np.repeat(groups, gain.shape[1]), *draws)
    values = np.concatenate([whole, joints], 1)
    first, names = study.contenders[0], [ALL, *study.people.skeleton.words]
    columns = {"run": contender.name, "joint": names}
    for title, one in ((first.name, first), ("the run", contender)):
        by_joint = bootstrap_means(one.points, groups, 1, 0)[0]
        columns[title] = np.append(np.nanmean(one.points), by_joint)
    columns |= dict(zip(("difference", "low", "high"), values, strict=True))
    table = pd.DataFrame(columns)[~np.isnan(values[0])]
    clear = (table["low"] > 0) | (table["high"] < 0)
    return table.assign(differs=np.where(clear, "yes", "not shown")).round(2)


def differences(study: Comparison) -> pd.DataFrame:
    """`intervals` of every run against the first one."""
    table = pd.concat([intervals(study, one) for one in study.contenders[1:]])
    return study.run.keep(f"Differences in {study.metric}", table, "table")


def finish(study: Comparison) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, first = study.run, study.contenders[0].name
    results, gains = [], {}
    for one in study.contenders[1:]:
        whole = intervals(study, one).iloc[0]
        gains[f"{one.name} minus {first}"] = gain = float(whole["difference"])
        word = "differs" if whole["differs"] == "yes" else "no difference shown"
        interval = f"[{whole['low']:+.2f}, {whole['high']:+.2f}]"
        results.append(f"{one.name} minus {first}: {gain:+.2f} {interval}, {word}")
    how = f"{study.metric} on the same people, 95 % intervals of paired differences"
    protocols = [one.record.protocol for one in study.contenders]
    run.update(
        metric=f"{study.metric} gained on {first}",
        metrics={"Mean": next(iter(gains.values()))} | gains,
        protocol="; ".join(dict.fromkeys([how, *filter(None, protocols)])),
        answer=f"{study.metric}: {'; '.join(results)}",
    )
    places = close_run(run, study.text())
    return "\n".join([*results, places])
