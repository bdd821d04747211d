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
_FEWEST, _WAYS, _RIDGE = 20, 2, 1e-4  # people; ways in which poses differ; of the regression
_SURE = 10.0  # log-odds; of what is as sure as that, the whole body is named first


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
    """How likely left and right are exchanged, of all pairs or of one: the logarithm of the odds.

    For skeletons without shoulders and hips, whose trunk tells no side. What lies between the left
    and the right joint of a pair changes its sign by an exchange; a linear function tells the sides
    by it, together with the main ways in which the rest of the pose differs. Joints are compared
    relative to the box.
    """
    flip, sides = people.skeleton.flip, people.skeleton.sides
    left = [j for j, joint in enumerate(people.skeleton.joints) if sides.get(joint) == "left"]
    if _has_trunk(people) or not left or len(people) < _FEWEST:
        return np.zeros((len(people), 0)), ()
    low, high = people.boxes[:, None, :2], people.boxes[:, None, 2:]
    poses = (_known(people) - (low + high) / 2) / (high - low).max(-1, keepdims=True).clip(1)
    apart = np.nan_to_num(poses[:, left] - poses[:, flip[left]])
    shape = np.nan_to_num(poses + poses[:, flip]).reshape(len(poses), -1)
    ways = np.linalg.svd(shape - shape.mean(0), full_matrices=False)[0][:, :_WAYS]
    ways = np.concatenate([np.ones((len(poses), 1)), ways * len(poses) ** 0.5], 1)
    signs = apart[..., None] * ways[:, None, None]
    odds = [_odds(part.reshape(len(poses), -1)) for part in (signs, *signs.swapaxes(0, 1))]
    kinds = [kind_and_side(people.skeleton.joints[j])[0] for j in left]
    return np.stack(odds, 1), ["whole body", *kinds]


def _odds(signs: np.ndarray) -> np.ndarray:
    """Log-odds (N,) that a row of (N, F) has the wrong sign, by a regression on the other rows."""
    square = signs.T @ signs
    inverse = np.linalg.inv(square + _RIDGE * (np.trace(square) + 1e-9) * np.eye(len(square)))
    own = ((signs @ inverse) * signs).sum(1)  # what a row says of itself
    said = (signs @ inverse @ signs.sum(0) - own) / (1 - own)
    return (-2 * said * np.median(said) / said.var().clip(1e-4)).clip(max=_SURE)


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
    "left and right exchanged": (exchanged, 5.0),
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
