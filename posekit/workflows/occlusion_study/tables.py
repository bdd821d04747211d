"""Tables of the occlusion study: drops, intervals, what was published, and the report."""

from typing import TYPE_CHECKING

import numpy as np

from ...files.places import project_root
from ...geometry.body_parts import PARTS
from ...reporting.pages import build_index, shown, write_report
from ..training import notebook_cells
from .setup import CLEAN, Study, nan_mean, text

if TYPE_CHECKING:
    import pandas as pd


def drops(study: Study) -> "pd.DataFrame":
    """The drop of each network when a part is covered, for every effect at the usual size."""
    import pandas as pd

    rows = []
    for effect in study.recipe.effects:
        for cover in study.covers(False, effect):
            each = {n: study.drop(i, cover) for i, n in enumerate(study.names)}
            mean = {n: float(np.nanmean(d)) for n, d in each.items() if not np.isnan(d).all()}
            people = int(study.touched[cover].sum())
            rows.append({"covered": cover.target, "how": effect, "people": people} | mean)
    table = pd.DataFrame(rows).round(1)
    study.run.table(table)
    study.tables[f"Drop in {study.metric}, {study.run.label}"] = table
    return table


def suffering(study: Study, network: int, joints: bool) -> np.ndarray:
    """(targets, K) mean drop of every joint, rows being covered parts or covered joints."""
    out = []
    for cover in study.covers(joints):
        lost = study.points[network][CLEAN] - study.points[network][cover]
        out.append(nan_mean(np.where(study.touched[cover][:, None], lost, np.nan), 0))
    return np.array(out)


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

    recipe, people = study.recipe, study.people

    def interval(values: np.ndarray) -> list[float]:
        return list(bootstrap(values, people.group, recipe.resamples, recipe.seed))

    rows = []
    parts = study.covers(False)
    chosen = {"any part": parts, **{cover.target: [cover] for cover in parts}}
    for name, covers in chosen.items():
        each = [study.mean_drop(n, covers) for n in range(len(study.names))]
        for number, network in enumerate(study.names):
            row = {"covered": name, "network": network}
            row |= dict(zip(("drop", "low", "high"), interval(each[number]), strict=True))
            if number:
                paired = interval(each[number] - each[0])
                row |= dict(zip(("minus the first", "from", "to"), paired, strict=True))
                row["differs"] = "yes" if paired[1] > 0 or paired[2] < 0 else "not shown"
            rows.append(row)
    table = pd.DataFrame(rows).round(2)
    if "differs" in table:
        table["differs"] = table["differs"].fillna("")
    heading = f"95 % intervals of the drop ({recipe.effects[0]}), {study.run.label}"
    study.tables[heading] = table
    return table


def published() -> "pd.DataFrame":
    """What the paper's authors print for training with covering; nothing is covered in the test."""
    import pandas as pd

    path = project_root() / "params" / "published_occlusion.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def finish(study: Study) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, covers = study.run, study.covers(False)
    each = [study.mean_drop(n, covers) for n in range(len(study.names))]
    drop = {
        name: None if np.isnan(d).all() else float(np.nanmean(d))
        for name, d in zip(study.names, each, strict=True)
    }
    first, how = study.names[0], study.recipe.effects[0]
    models = [estimator.task.model for estimator in study.estimators]
    run.update(
        metric=f"lost {study.metric} with one part covered ({how})",
        metrics={"Mean": drop[first], **{f"drop {name}": value for name, value in drop.items()}},
        baseline={"mean_pose": 0.0},  # never looks, so it loses nothing
        protocol=(
            f"{study.metric}, mean over {', '.join(PARTS)}; annotated boxes, "
            f"{'with' if study.recipe.flip_test else 'without'} flip test"
        ),
        params_count=sum(p.numel() for p in models[0].parameters()),
    )
    tables = study.tables | {"Published: training with covering, nothing covered": published()}
    path = write_report(run, tables, text(study), notebook_cells())
    run.end("finished")
    index = build_index()
    numbers = ", ".join(f"{name} {shown(value) or 'nobody'}" for name, value in drop.items())
    return f"{run.record.metric}: {numbers}\nreport {path}\nindex  {index}"
