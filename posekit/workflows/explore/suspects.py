"""Annotations that are worth a second look: each check is a number a person and place.

A check gives values (N, C) and the names of its C places; NaN where it cannot tell. Values above
the check's limit are listed. They are suspects: people do cross their legs.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from IPython.display import Image

from ...data.annotations import Annotations
from ...metrics.bootstrap import nan_mean
from .pictures import pose_sheet
from .setup import Exploration

Found = tuple[np.ndarray, Sequence[str]]


def outside(people: Annotations) -> Found:
    """How far joints lie outside the person's box, as a share of its longer side."""
    low, high = people.boxes[:, None, :2], people.boxes[:, None, 2:]
    beyond = np.maximum(low - people.keypoints, people.keypoints - high).max(-1)
    values = beyond / (high - low).max(-1).clip(1)
    return np.where(people.visible, values, np.nan), people.skeleton.joints


def crossed(people: Annotations) -> Found:
    """How much longer both limbs of a kind are than with their outer ends exchanged, as a share."""
    left_sides = [[j[5:] for j in limb if j[:5] == "left_"] for limb in people.skeleton.limbs]
    kinds = [limb for limb in left_sides if len(limb) == 2]
    if not kinds:
        return np.zeros((len(people), 0)), ()
    names = [[f"{side}_{joint}" for side in ("left", "right") for joint in kind] for kind in kinds]
    left, left_end, right, right_end = _joints(people, np.array(names).T)
    straight = _length(left, left_end) + _length(right, right_end)
    exchanged = _length(left, right_end) + _length(right, left_end)
    return (straight / exchanged.clip(1) - 1).T, [f"{a}s and {b}s" for a, b in kinds]


def turned(people: Annotations) -> Found:
    """Whether pairs such as shoulders and hips face opposite ways, and how clearly.

    A pair's width across the trunk has a sign, which says whether the person is seen from the front
    or the back. The value is the lesser width of two pairs of opposite signs, as a share of what is
    wide for such a pair.
    """
    known = people.skeleton.joints
    kinds = [k for k in ("eye", "ear", "shoulder", "hip") if f"left_{k}" in known]
    if not {"shoulder", "hip"} <= set(kinds):
        return np.zeros((len(people), 0)), ()
    names = np.array([[f"{side}_{kind}" for kind in kinds] for side in ("left", "right")])
    left, right = _joints(people, names)
    middle = (left + right)[kinds.index("shoulder")] - (left + right)[kinds.index("hip")]
    across = (left - right) @ np.array([[0, -1], [1, 0]])
    widths = (across * middle).sum(-1) / np.linalg.norm(middle, axis=-1).clip(1)
    widths /= np.linalg.norm(middle, axis=-1).clip(1)  # of the trunk's length
    widths /= _quantile(np.abs(widths), 0.9, axis=1)
    pairs = list(combinations(range(len(kinds)), 2))
    a, b = (widths[list(numbers)] for numbers in zip(*pairs, strict=True))
    values = np.where(a * b < 0, np.minimum(abs(a), abs(b)), a * b * 0)
    return values.T, [f"{kinds[i]}s against {kinds[j]}s" for i, j in pairs]


def stretched(people: Annotations) -> Found:
    """How long limbs are beside what the person's other limbs let expect."""
    ends = _joints(people, np.array(people.skeleton.limbs).T)
    lengths = _length(*ends).T
    usual = lengths / _quantile(lengths, 0.5, axis=0)
    values = usual / _quantile(usual, 0.5, axis=1)
    return values, [f"{a} to {b}" for a, b in people.skeleton.limbs]


def repeated(people: Annotations) -> Found:
    """How near another person of the same image is: 1 for the same joints, 0 for far ones."""
    order = np.argsort(people.image, kind="stable")
    image, nearest = people.image[order], np.zeros((len(people), 1))
    points = np.where(people.visible[..., None], people.keypoints, np.nan)[order]
    size = (people.boxes[:, 2:] - people.boxes[:, :2]).max(1).clip(1)[order]
    for step in range(1, np.unique(image, return_counts=True)[1].max()):
        same = np.flatnonzero(image[step:] == image[:-step])
        apart = nan_mean(_length(points[same], points[same + step]), -1)
        near = np.nan_to_num(1 - 10 * apart / size[same])
        for rows in (same, same + step):
            nearest[order[rows], 0] = np.maximum(nearest[order[rows], 0], near)
    return nearest, ["whole person"]


# What is wrong -> the check and the value above which a person is listed.
CHECKS: dict[str, tuple[Callable[[Annotations], Found], float]] = {
    "left and right limbs crossed": (crossed, 0.4),
    "body faces two ways": (turned, 0.4),
    "joint outside the box": (outside, 0.1),
    "limb too long": (stretched, 2.5),
    "annotated twice": (repeated, 0.5),
}


def suspects(people: Annotations) -> pd.DataFrame:
    """What looks wrong, the worst first; of a video the worst frame.

    Returns:
        Columns row, image, sequence, frame, suspicion, where, value, limit, and frames, how many of
        the sequence are alike.
    """
    parts = []
    for name, (check, limit) in CHECKS.items():
        values, places = check(people)
        if not len(places):
            continue
        values = np.nan_to_num(values, nan=-np.inf)
        worst = values.argmax(1)
        value = values[np.arange(len(people)), worst]
        rows = np.flatnonzero(value > limit)
        columns = {n: getattr(people, n)[rows] for n in ("image", "sequence", "frame")}
        where = np.char.replace(places, "_", " ")[worst[rows]]
        told = {"suspicion": name, "where": where, "value": value[rows], "limit": limit}
        parts.append(pd.DataFrame({"row": rows} | columns | told))
    table = pd.concat(parts, ignore_index=True)
    alike = table.groupby(["sequence", "suspicion"])["row"].transform("size")
    order = (table["value"] / table["limit"]).sort_values(ascending=False, kind="stable").index
    table = table.assign(frames=alike).loc[order]
    return table.drop_duplicates(["sequence", "suspicion"]).reset_index(drop=True)


def listing(exp: Exploration, longest: int = 30) -> pd.DataFrame | str:
    """The worst suspects; all of them go into suspects.csv of the run folder."""
    table = suspects(exp.people)
    counts = table["suspicion"].value_counts()
    told = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "nothing"
    print(f"{len(table):,} of {len(exp.people):,} people or videos; {told}")
    if not len(table):
        return "no annotation looks wrong"
    exp.run.keep("Annotations to look at again", table.head(longest))
    table.to_csv(exp.run.folder / "suspects.csv", index=False)
    return table.head(longest).round(2)


def gallery(exp: Exploration) -> Image | str:
    """The worst of each suspicion, a row each."""
    table, count = suspects(exp.people), exp.asked.people
    if not len(table):
        return "no annotation looks wrong"
    table = table.groupby("suspicion", sort=False).head(count)
    table = table.sort_values("suspicion", kind="stable")
    labels = [f"{one.suspicion}\n{one.where}" for one in table.itertuples()]
    figure = pose_sheet(exp, table["row"].tolist(), "Worth a second look", labels, count)
    caption = "The worst of each suspicion; right is vermilion, left is blue."
    return exp.run.figure("6-suspects", figure, caption)


def _joints(people: Annotations, names: np.ndarray) -> np.ndarray:
    """Named joints, NaN where they are not annotated: names (...) to keypoints (..., N, 2)."""
    points = np.where(people.visible[..., None], people.keypoints, np.nan).astype(float)
    index = np.array(people.skeleton.index(*names.ravel())).reshape(names.shape)
    return np.moveaxis(points[:, index], 0, -2)


def _length(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


def _quantile(values: np.ndarray, share: float, axis: int) -> np.ndarray:
    """Quantile of what is known, as an axis of length 1; hardly above 0 where nothing is."""
    nothing = np.isnan(values).all(axis, keepdims=True)
    found = np.nanquantile(np.where(nothing, 0, values), share, axis=axis, keepdims=True)
    return found.clip(1e-3)
