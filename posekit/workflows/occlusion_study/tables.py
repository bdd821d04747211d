"""Tables of the occlusion study: drops, intervals, what was published, and the report."""

from functools import partial

import numpy as np
import pandas as pd

from ...data.scores import joint_scores, official_score
from ...files.paths import project_root
from ...geometry.body_parts import PARTS
from ...metrics.bootstrap import bootstrap_means, nan_mean
from ..training.opening import close_run
from .setup import UNOCCLUDED, Study


def drops(study: Study) -> pd.DataFrame:
    """The points that each network loses when a part is occluded, by every effect in one size.

    Of everybody of a split also joint by joint, with the official score and its drop as in the
    paper; the first row, without any occlusion, is the score of the evaluate notebook.
    """
    occlusions = [one for effect in study.settings.effects for one in study.occlusions(effect)]
    if study.settings.whole:
        occlusions = [UNOCCLUDED, *occlusions, *study.occlusions(joints=True)]
    rows = []
    for one in occlusions:
        row = {"occluded": one.target, "how": one.effect, "people": int(study.occluded[one].sum())}
        row |= {n: float(nan_mean(study.drop(i, one))) for i, n in enumerate(study.names)}
        for i, name in enumerate(study.names if study.settings.whole else ()):
            score = official_score(*study.predicted(i, one))
            clean = study.scores.setdefault(name, score)
            row |= {f"{name} {score.headline}": score.mean, f"{name} drop": clean.mean - score.mean}
        rows.append(row)
    table = pd.DataFrame(rows).round(dict.fromkeys(study.names, 1)).round(4)
    return study.run.keep(f"Drop in {study.metric}", table, "table")


def single_joints(study: Study) -> pd.DataFrame | str:
    """The official score of each joint alone, with nothing and with this joint occluded."""
    if not study.settings.whole:
        return "official scores are of everybody: set people to all"
    joints, columns = study.people.skeleton.joints, {}
    for i, name in enumerate(study.names):
        columns[name] = joint_scores(*study.predicted(i, UNOCCLUDED), range(len(joints)))
        for k, one in enumerate(study.occlusions(joints=True)):
            alone = joint_scores(*study.predicted(i, one), [k])
            columns.setdefault(f"{name}, joint occluded", []).extend(alone)
    table = pd.DataFrame({"joint": joints, **columns}).round(4)
    return study.run.keep("Official score of single joints", table)


def bootstrap(
    values: np.ndarray, images: np.ndarray, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Mean of values and its 95 % interval when whole images are drawn again.

    Args:
        values: (N,) one per person, NaN for those left out.
        images: (N,) the image, or the video, of each person.
        resamples: draws.
        seed: of the draws.

    Returns:
        mean, low, high; NaN without a value.
    """
    used = ~np.isnan(values)
    if not used.any():
        return (float("nan"),) * 3
    found = bootstrap_means(values[used, None], images[used], resamples, seed)
    return tuple(found[:, 0].tolist())


def intervals(study: Study) -> pd.DataFrame:
    """Every network's drop with its interval, and the paired difference from the first network."""
    settings = study.settings
    draws = {"resamples": settings.resamples, "seed": settings.seed}
    interval = partial(bootstrap, images=study.people.group, **draws)
    rows, parts = [], study.occlusions()
    chosen = {"any part": parts} | {occlusion.target: [occlusion] for occlusion in parts}
    for name, occlusions in chosen.items():
        each = [study.drop(n, *occlusions) for n in range(len(study.names))]
        for number, network in enumerate(study.names):
            row = {"occluded": name, "network": network}
            row |= dict(zip(("drop", "low", "high"), interval(each[number]), strict=True))
            if number:
                paired = interval(each[number] - each[0])
                row |= dict(zip(("minus the first", "from", "to"), paired, strict=True))
                row["differs"] = "yes" if paired[1] > 0 or paired[2] < 0 else "not shown"
            rows.append(row)
    table = pd.DataFrame(rows).round(2).fillna({"differs": ""})
    return study.run.keep(f"95 % intervals of the drop ({settings.effects[0]})", table)


def published() -> pd.DataFrame:
    """What the paper's authors print for training with occlusion; the test has none."""
    path = project_root() / "params" / "published_occlusion.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _answer(study: Study) -> str:
    """Which network loses what, in one sentence."""
    parts, phrases = study.occlusions(), []
    for number, name in enumerate(study.names):
        lost = pd.Series({one.target: float(nan_mean(study.drop(number, one))) for one in parts})
        if lost.isna().all():
            return "nobody has a part that could be occluded"
        mean = float(nan_mean(study.drop(number, *parts)))
        part = lost.idxmax().replace("_", " ")
        phrases.append(f"{name} loses {mean:.1f}, most by the {part}: {lost.max():.1f}")
    return f"With one part occluded, in {study.metric}: {'; '.join(phrases)}"


def finish(study: Study) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, occlusions = study.run, study.occlusions()
    drops = [float(nan_mean(study.drop(n, *occlusions))) for n in range(len(study.names))]
    named = dict(zip(study.names, drops, strict=True))
    official = {f"{one.headline} {name}": one.mean for name, one in study.scores.items()}
    models = [one.task.model for one in study.estimators]
    parameters = [sum(p.numel() for p in model.parameters()) for model in models]
    flipped = [one.name for one in study.estimators if one.flip_test]
    protocols = [
        f"{study.metric}, mean over {', '.join(PARTS)}",
        f"boxes {study.settings.boxes}, flip test of {', '.join(flipped) or 'no network'}",
        *dict.fromkeys(one.protocol for one in study.scores.values()),
    ]
    run.update(
        metric=f"lost {study.metric} with one part occluded ({study.settings.effects[0]})",
        metrics={"Mean": drops[0]} | {f"drop {n}": drop for n, drop in named.items()} | official,
        baseline={},  # the mean pose does not see the image, so it loses nothing
        protocol="; ".join(protocols),
        params_count=parameters[0] if len(parameters) == 1 else 0,
        answer=_answer(study),
    )
    run.tables["Published: training with occlusion, test without"] = published()
    places = close_run(run, study.text())
    lost = {name: "nobody" if drop != drop else round(drop, 1) + 0 for name, drop in named.items()}
    numbers = ", ".join(f"{name} {points}" for name, points in lost.items())
    return f"{run.record.metric}: {numbers}\n{places}"
