"""Figures of a comparison: differences by joint, accuracy by threshold, people side by side."""

from functools import partial
from typing import Any

import ipywidgets as w
import numpy as np
from IPython.display import Image
from matplotlib import rc_context

from ... import data
from ...data.annotations import Annotations
from ...data.framing import Framing
from ...geometry.crops import transform
from ...inference.sampling import one_each, spread_rows
from ...metrics.bootstrap import nan_mean
from ...reporting import figures
from ..training.panels import Panels, controlled, painted, wanted
from ..training.pictures import name_of
from .setup import Comparison, Contender
from .tables import intervals

_CROP = Framing((240, 192), 1.25, half_pixel=False)
_WIDE = {"width": "min(28em, 95%)"}


def differences(study: Comparison) -> Image:
    """The difference of every joint from the first run, with its interval."""
    first, *others = study.contenders
    tables = {one.name: intervals(study, one) for one in others}
    columns = ["difference", "low", "high"]
    series = {name: table[columns].to_numpy().T for name, table in tables.items()}
    joints, title = tables[others[0].name]["joint"], f"Gain on {first.name}: {study.run.label}"
    figure = figures.intervals(joints, series, study.metric, title)
    caption = f"Right of 0 a run is better than {first.name}; pale 95 % intervals hold 0."
    return study.run.figure("1-differences", figure, caption)


@rc_context(figures.STYLE)
def thresholds(study: Comparison) -> Image:
    """Accuracy against the threshold: the PCK curve, or people by OKS."""
    protocol = data.dataset(study.people.dataset).scorer.protocol
    if protocol:
        marks = np.linspace(0, 2 * protocol.threshold, 41)
        label, usual = f"threshold; dotted is {protocol.name}", protocol.threshold
    else:
        marks, usual = np.linspace(0, 100, 51), None
        label = "points of OKS (100 OKS) that are reached"
    figure, (ax,) = figures.panels(f"By threshold: {study.run.label}", (7, 3.6), 1)
    for one in study.contenders:
        ax.plot(marks, curve(study, one, marks), label=one.name)
    if usual:
        ax.axvline(usual, color="0.5", linewidth=1, linestyle=":")
    what = "joints" if protocol else "people"
    ax.set(xlabel=label, ylabel=f"% of the {what}", ylim=(0, 100), xlim=(0, marks[-1]))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    caption = (
        "Share of the joints that are right at each threshold; dotted: the official one."
        if protocol
        else "Share of the people whose OKS is at least so high: not AP, which also ranks people "
        "by their scores and counts false ones."
    )
    return study.run.figure("2-thresholds", figure, caption)


def curve(study: Comparison, one: Contender, marks: np.ndarray) -> np.ndarray:
    """Percent of the joints within shares of the reference length, or of people with points."""
    people, counted = study.people, ~np.isnan(one.points)
    if data.dataset(people.dataset).scorer.protocol:
        distance = np.linalg.norm(one.keypoints - people.keypoints, axis=-1)
        shares = np.sort((distance / people.reference[:, None])[counted])
        return 100 * np.searchsorted(shares, marks, side="right") / len(shares)
    points = np.sort(nan_mean(one.points[counted.any(1)], 1))
    return 100 - 100 * np.searchsorted(points, marks) / len(points)


def wins(study: Comparison, number: int = 1) -> Any:
    """People of whom the first run and another one differ most, either way.

    In a live front end a menu and a slider go through all people; the figure is in the report.

    Args:
        study: after `setup.start`.
        number: of the other run.
    """
    first, other = study.contenders[0], study.contenders[number]
    gain = np.nan_to_num(nan_mean(study.gain(other), 1))
    half = max(1, study.settings.people // 2)
    orders = [np.argsort(-one, kind="stable") for one in (-gain, gain)]
    worse, better = (one_each(order, study.people.group)[:half] for order in orders)
    rows = np.r_[worse, better[::-1]]
    shown, labels = {}, []
    for one in (first, other):
        shown[one.name] = one.keypoints[rows]
        labels += [
            f"{one.name[0]}: {points:.0f} points" for points in nan_mean(one.points[rows], 1)
        ]
    title = f"{first.name} is better, {other.name} is better: {study.run.label}"
    counts = [int((sign * gain > 0).sum()) for sign in (-1, 1)]
    caption = (
        f"{first.name} above, {other.name} below, the annotation dotted. {first.name} has more "
        f"points on {counts[0]} people, {other.name} on {counts[1]}."
    )
    sheet = _sheet(study, f"3-wins-{other.name[0]}", rows, shown, labels, title, caption)
    return browse(study, number) if wanted(study.settings.interactive) else sheet


def browse(study: Comparison, number: int) -> w.Widget:
    """Every run's pose of a person, chosen by a menu of who is better and a slider of by how much.

    Args:
        study: after `setup.start`.
        number: of the other run that is shown first.
    """
    first, *others = study.contenders
    panels = Panels(1 + len(study.contenders))

    def draw(better: tuple[int, int], person: int) -> None:
        run, sign = better
        gain = nan_mean(study.gain(study.contenders[run]), 1)
        row = int(np.argsort(-sign * gain, kind="stable")[person])
        people = study.people.rows([row])
        (crop,), matrices = _cut(people)
        paint = partial(painted, crop, skeleton=people.skeleton)
        truth = transform(matrices, people.keypoints)[0]
        pictures = {"annotation": paint(truth, shown=people.visible[0])}
        for one in study.contenders:
            joints = transform(matrices, one.keypoints[[row]])[0]
            caption = f"{one.name}: {nan_mean(one.points[[row]], 1)[0]:.0f} points"
            pictures[caption] = paint(joints, shown=np.isfinite(joints).all(1))
        panels.show(f"{study.run.label}, {name_of(study.people, row)}: {gain[row]:+.1f}", pictures)

    better = [(f"{one.name} beats {first.name}", (n, 1)) for n, one in enumerate(others, 1)]
    worse = [(f"{first.name} beats {one.name}", (n, -1)) for n, one in enumerate(others, 1)]
    controls = {
        "better": w.Dropdown(options=better + worse, index=number - 1, layout=_WIDE),
        "person": w.IntSlider(0, 0, len(study.people) - 1, description="person", layout=_WIDE),
    }
    return controlled(controls, draw, panels.widget)


def side_by_side(study: Comparison) -> Image:
    """People spread over the split, one column each: as annotated, and in every run."""
    people = study.people
    groups, first = np.unique(people.group, return_index=True)
    rows = first[spread_rows(len(groups), study.settings.people)]
    truth = np.where(people.visible[rows, :, None], people.keypoints[rows], np.nan)
    shown = {"annotation": truth} | {one.name: one.keypoints[rows] for one in study.contenders}
    labels = [name for name in shown for _ in rows]
    title = f"The same people in every run: {study.run.label}"
    caption = f"From above: {', '.join(shown)}; below the annotation dotted."
    return _sheet(study, "4-same", rows, shown, labels, title, caption)


def _sheet(
    study: Comparison,
    name: str,
    rows: np.ndarray,
    shown: dict[str, np.ndarray],
    labels: list[str],
    title: str,
    caption: str,
) -> Image:
    """Crops of people, one column each, with poses (people, K, 2) of several names, a row each."""
    people = study.people.rows(rows)
    crops, matrices = _cut(people)
    figure = figures.skeleton_grid(
        crops * len(shown),
        np.concatenate([transform(matrices, keypoints) for keypoints in shown.values()]),
        np.tile(people.visible, (len(shown), 1)),
        people.skeleton,
        title,
        columns=len(rows),
        labels=labels,
        others=np.tile(transform(matrices, people.keypoints), (len(shown), 1, 1)),
    )
    return study.run.figure(name, figure, caption)


def _cut(people: Annotations) -> tuple[list[np.ndarray], np.ndarray]:
    """Crops of people, and the matrices (N, 2, 3) into them."""
    matrices = _CROP.matrix(*_CROP.place(people.boxes))
    return [_CROP.cut(people.read(n), matrix) for n, matrix in enumerate(matrices)], matrices
