"""Annotations that are worth a second look: each check is a number a person and place.

A check gives values (N, C) and the names of its C places; NaN where it cannot tell. Values above
the check's limit are listed. They are suspects: people do cross their legs.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from ..geometry.skeletons import kind_and_side
from .annotations import Annotations

Found = tuple[np.ndarray, Sequence[str]]
_LEFT = ["left", "left"]
_NEAREST, _COMPARED = 3, 1000  # poses that count, and that are looked at


def outside(people: Annotations) -> Found:
    """How far joints lie outside the person's box, as a share of its longer side."""
    low, high = people.boxes[:, None, :2], people.boxes[:, None, 2:]
    beyond = np.maximum(low - people.keypoints, people.keypoints - high).max(-1)
    values = beyond / (high - low).max(-1).clip(1)
    return np.where(people.visible, values, np.nan), people.skeleton.joints


def crossed(people: Annotations) -> Found:
    """How much longer both limbs of a kind are than with their outer ends exchanged, as a share."""
    sides, flip = people.skeleton.sides, people.skeleton.flip
    limbs = [limb for limb in people.skeleton.limbs if [sides.get(j) for j in limb] == _LEFT]
    if not limbs:
        return np.zeros((len(people), 0)), ()
    points = _known(people)
    left, left_end = np.array([people.skeleton.index(*limb) for limb in limbs]).T
    straight, exchanged = (
        _length(points[:, left], points[:, a]) + _length(points[:, flip[left]], points[:, b])
        for a, b in ((left_end, flip[left_end]), (flip[left_end], left_end))
    )
    names = [[kind_and_side(joint)[0] for joint in limb] for limb in limbs]
    return straight / exchanged.clip(1) - 1, [f"{a}s and {b}s" for a, b in names]


def turned(people: Annotations) -> Found:
    """Whether pairs such as shoulders and hips face opposite ways, and how clearly.

    A pair's width across the trunk has a sign, which says whether the person is seen from the front
    or the back. The value is the lesser width of two pairs of opposite signs, as a share of what is
    wide for such a pair.
    """
    joints, points = people.skeleton.joints, _known(people)
    if not _has_trunk(people):
        return np.zeros((len(people), 0)), ()
    kinds = [k for k in ("eye", "ear", "shoulder", "hip") if f"left_{k}" in joints]
    left, right = (
        points[:, people.skeleton.index(*(f"{side}_{kind}" for kind in kinds))]
        for side in ("left", "right")
    )
    middle = (left + right)[:, kinds.index("shoulder")] - (left + right)[:, kinds.index("hip")]
    across = (left - right) @ np.array([[0, -1], [1, 0]])
    length = np.linalg.norm(middle, axis=-1, keepdims=True).clip(1)
    widths = (across * middle[:, None]).sum(-1) / length / length  # of the trunk's length
    widths /= _quantile(np.abs(widths), 0.9, axis=0)
    pairs = list(combinations(range(len(kinds)), 2))
    a, b = (widths[:, list(numbers)] for numbers in zip(*pairs, strict=True))
    values = np.where(a * b < 0, np.minimum(abs(a), abs(b)), a * b * 0)
    return values, [f"{kinds[i]}s against {kinds[j]}s" for i, j in pairs]


def exchanged(people: Annotations) -> Found:
    """How much nearer the most similar poses are with left and right exchanged, of all or one pair.

    For skeletons without shoulders and hips, whose trunk tells no side. Joints are compared
    relative to the box.
    """
    flip, own = people.skeleton.flip, np.arange(len(people.skeleton))
    pairs = [j for j in own if people.skeleton.sides.get(people.skeleton.joints[j]) == "left"]
    if _has_trunk(people) or not pairs or len(people) <= _NEAREST:
        return np.zeros((len(people), 0)), ()
    orders = [flip, *(np.where(np.isin(own, [j, flip[j]]), flip, own) for j in pairs)]
    low, high = people.boxes[:, None, :2], people.boxes[:, None, 2:]
    poses = (_known(people) - (low + high) / 2) / (high - low).max(-1, keepdims=True).clip(1)
    rows = np.random.default_rng(0).permutation(len(poses))[:_COMPARED]
    usual, *others = (_nearest(poses[:, order], poses[rows], rows) for order in (own, *orders))
    kinds = [kind_and_side(people.skeleton.joints[j])[0] for j in pairs]
    return 1 - np.stack(others, 1) / usual[:, None].clip(1e-9), ["whole body", *kinds]


def stretched(people: Annotations) -> Found:
    """How long limbs are beside what the person's other limbs let expect."""
    if not people.skeleton.limbs:
        return np.zeros((len(people), 0)), ()
    a, b = np.array(people.skeleton.limb_indices).T
    lengths = _length((points := _known(people))[:, a], points[:, b])
    usual = lengths / _quantile(lengths, 0.5, axis=0)
    values = usual / _quantile(usual, 0.5, axis=1)
    return values, [f"{a} to {b}" for a, b in people.skeleton.limbs]


def repeated(people: Annotations) -> Found:
    """How near another person of the same image is: 1 for the same joints, 0 for far ones."""
    order = np.argsort(people.image, kind="stable")
    image, nearest = people.image[order], np.zeros((len(people), 1))
    points = _known(people)[order]
    size = (people.boxes[:, 2:] - people.boxes[:, :2]).max(1).clip(1)[order]
    for step in range(1, np.unique(image, return_counts=True)[1].max()):
        same = np.flatnonzero(image[step:] == image[:-step])
        apart = _mean(_length(points[same], points[same + step]))
        near = np.nan_to_num(1 - 10 * apart / size[same])
        for rows in (same, same + step):
            nearest[order[rows], 0] = np.maximum(nearest[order[rows], 0], near)
    return nearest, ["whole person"]


# What is wrong -> the check and the value above which a person is listed.
CHECKS: dict[str, tuple[Callable[[Annotations], Found], float]] = {
    "left and right limbs crossed": (crossed, 0.4),
    "body faces two ways": (turned, 0.4),
    "left and right exchanged": (exchanged, 0.5),
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


def _known(people: Annotations) -> np.ndarray:
    """Keypoints (N, K, 2), NaN where they are not annotated."""
    return np.where(people.visible[..., None], people.keypoints, np.nan).astype(float)


def _has_trunk(people: Annotations) -> bool:
    return {"left_shoulder", "right_shoulder", "left_hip", "right_hip"} <= {*people.skeleton.joints}


def _nearest(poses: np.ndarray, others: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean squared distance (N,) of poses (N, K, 2) to the nearest of others, which are rows."""
    there, known = (~np.isnan(p).reshape(len(p), -1) * 1.0 for p in (poses, others))
    a, b = (np.nan_to_num(p).reshape(len(p), -1) for p in (poses, others))
    count = there @ known.T
    total = a**2 @ known.T + there @ (b**2).T - 2 * a @ b.T
    away = np.where(count >= there.sum(1, keepdims=True) / 2, total / count.clip(1), np.inf)
    away[rows, np.arange(len(rows))] = np.inf  # itself
    nearest = np.sort(away, 1)[:, :_NEAREST].mean(1)
    return np.where(np.isfinite(nearest), nearest, np.nan)


def _length(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


def _quantile(values: np.ndarray, share: float, axis: int) -> np.ndarray:
    """Quantile of what is known, as an axis of length 1; hardly above 0 where nothing is."""
    nothing = np.isnan(values).all(axis, keepdims=True)
    found = np.nanquantile(np.where(nothing, 0, values), share, axis=axis, keepdims=True)
    return found.clip(1e-3)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    return np.where(count, np.where(known, values, 0).sum(-1) / count.clip(1), np.nan)
