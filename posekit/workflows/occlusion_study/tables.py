"""Tables of the occlusion study: drops, intervals, what was published, and the report."""

from typing import TYPE_CHECKING

import numpy as np

from ...data.scores import joint_scores, official_score
from ...files.places import project_root
from ...geometry.body_parts import PARTS
from ...reporting.pages import build_index, shown, write_report
from ..training.opening import notebook_cells
from .study import UNOCCLUDED, Study, nan_mean

if TYPE_CHECKING:
    import pandas as pd

_FEW = "official scores are of everybody: set people to all"


def drops(study: Study) -> "pd.DataFrame":
    """The drop of each network when a part is occluded, for every effect at the usual size."""
    import pandas as pd

    rows = []
    for effect in study.settings.effects:
        for occlusion in study.occlusions(effect=effect):
            people = int(study.occluded[occlusion].sum())
            row = {"occluded": occlusion.target, "how": effect, "people": people}
            mean = {n: float(nan_mean(study.drop(i, occlusion))) for i, n in enumerate(study.names)}
            rows.append(row | mean)
    table = pd.DataFrame(rows).round(1)
    study.run.table(table)
    study.tables[f"Drop in {study.metric}, {study.run.label}"] = table
    return table


def attacks(study: Study) -> "pd.DataFrame | str":
    """Everybody's official score under each occlusion and how far it drops, as the paper has it.

    The first row, without any occlusion, is the score of the evaluate notebook.
    """
    import pandas as pd

    if not study.whole:
        return _FEW
    parts = [one for effect in study.settings.effects for one in study.occlusions(effect)]
    rows = []
    for one in [UNOCCLUDED, *parts, *study.occlusions(joints=True)]:
        row = {"occluded": one.target, "how": one.effect, "people": int(study.occluded[one].sum())}
        for number, name in enumerate(study.names):
            score = official_score(*study.predicted(number, one))
            clean = study.scores.setdefault(name, score).mean
            row |= {name: score.mean, f"{name} drop": clean - score.mean}
        rows.append(row)
    table = pd.DataFrame(rows).round(4)
    study.tables[f"{score.metric} under attack, {study.run.label}"] = table
    return table


def attacks_by_joint(study: Study) -> "pd.DataFrame | str":
    """The official score of each joint alone, with nothing and with this joint occluded."""
    import pandas as pd

    if not study.whole:
        return _FEW
    joints, occlusions = study.people.skeleton.joints, study.occlusions(joints=True)
    columns = {"joint": joints}
    for number, name in enumerate(study.names):
        clips, found, *how = study.predicted(number, UNOCCLUDED)
        columns[name] = joint_scores(clips, found, range(len(joints)), *how)
        columns[f"{name}, joint occluded"] = [
            joint_scores(*study.predicted(number, one)[:2], [joint], *how)[0]
            for joint, one in enumerate(occlusions)
        ] or None
    table = pd.DataFrame(columns).dropna(axis=1, how="all").round(4)
    study.tables[f"Official score of single joints, {study.run.label}"] = table
    return table


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
    names, of = np.unique(images[used], return_inverse=True)
    sums, counts = np.bincount(of, values[used]), np.bincount(of)
    chance = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), chance, resamples)
    means = drawn @ sums / (drawn @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values[used].mean()), float(low), float(high)


def intervals(study: Study) -> "pd.DataFrame":
    """Every network's drop with its interval, and the paired difference from the first network."""
    import pandas as pd

    settings, people = study.settings, study.people

    def interval(values: np.ndarray) -> tuple[float, float, float]:
        return bootstrap(values, people.group, settings.resamples, settings.seed)

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
    heading = f"95 % intervals of the drop ({settings.effects[0]}), {study.run.label}"
    study.tables[heading] = table
    return table


def published() -> "pd.DataFrame":
    """What the paper's authors print for training with occlusion; the test has none."""
    import pandas as pd

    path = project_root() / "params" / "published_occlusion.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def finish(study: Study) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, occlusions = study.run, study.occlusions()
    drops = [float(nan_mean(study.drop(n, *occlusions))) for n in range(len(study.names))]
    named = dict(zip(study.names, drops, strict=True))
    official = {f"{one.headline} {name}": one.mean for name, one in study.scores.items()}
    flipped = [one.name for one in study.estimators if one.flip_test]
    protocols = [
        f"{study.metric}, mean over {', '.join(PARTS)}",
        f"boxes {study.settings.boxes}, flip test of {', '.join(flipped) or 'no network'}",
        *dict.fromkeys(one.protocol for one in study.scores.values()),
    ]
    run.update(
        metric=f"lost {study.metric} with one part occluded ({study.settings.effects[0]})",
        metrics={"Mean": drops[0]} | {f"drop {n}": drop for n, drop in named.items()} | official,
        baseline={"mean_pose": 0.0},  # it does not see the image, so it loses nothing
        protocol="; ".join(protocols),
        params_count=sum(p.numel() for p in study.estimators[0].task.model.parameters()),
        status="finished",
    )
    heading = "Published: training with occlusion, test without"
    path = write_report(run, study.tables | {heading: published()}, study.text(), notebook_cells())
    run.end("finished")
    index = build_index()
    numbers = ", ".join(f"{name} {shown(value) or 'nobody'}" for name, value in named.items())
    return f"{run.record.metric}: {numbers}\nreport {path}\nindex  {index}"
