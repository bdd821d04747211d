"""Annotations that are worth a second look: nothing is changed, nothing is left out."""

import numpy as np

from ...geometry.crops import keypoint_box
from ..annotations import Annotations

_OUTSIDE, _SAME = 0.1, 0.02  # of the box's longer side
_NEAREST, _COMPARED, _BETTER = 3, 1000, 0.5  # poses that count, at most; of the distance


def suspects(people: Annotations) -> dict[str, np.ndarray]:
    """The rows of a table that look wrong, by what is suspicious about them.

    - A joint lies outside the box by more than a tenth of the box's longer side.
    - With left and right of all pairs, or of one, exchanged the pose would be less than half as far
      from the three poses that resemble it most (joints relative to the box).
    - A row has the joints of another row of the same image, up to a fiftieth of the longer side.
    """
    boxes, points = people.boxes, np.where(people.visible[..., None], people.keypoints, np.nan)
    side = (boxes[:, 2:] - boxes[:, :2]).max(1)
    extent = keypoint_box(people.keypoints, people.visible)
    beyond = np.maximum(boxes[:, :2] - extent[:, :2], extent[:, 2:] - boxes[:, 2:]).max(1)
    return {
        "joints outside the box": np.flatnonzero(beyond > _OUTSIDE * side),
        "left and right exchanged?": np.flatnonzero(_exchanged(people, points, side)),
        "annotated twice?": np.flatnonzero(_twice(people.image, points, side)),
    }


def _twice(image: np.ndarray, points: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Rows (N,) whose joints those of an earlier row of the image have; NaN is not annotated."""
    found = np.zeros(len(image), bool)
    order = np.argsort(image, kind="stable")
    for step in range(1, np.unique(image, return_counts=True)[1].max(initial=1)):
        early, late = order[:-step], order[step:]
        away = np.linalg.norm(points[late] - points[early], axis=-1)
        known = ~np.isnan(away)
        near = (np.where(known, away, 0) <= _SAME * side[late, None]).all(1) & known.any(1)
        found[late] |= near & (image[late] == image[early])
    return found


def _exchanged(people: Annotations, points: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Rows (N,) that resemble others more with left and right exchanged."""
    flip, own = people.skeleton.flip, np.arange(len(people.skeleton))
    pairs = [np.where(np.isin(own, [j, flip[j]]), flip, own) for j in own if flip[j] > j]
    if not pairs:
        return np.zeros(len(people), bool)
    middle = (people.boxes[:, :2] + people.boxes[:, 2:]) / 2
    poses = (points - middle[:, None]) / side[:, None, None]
    rows = np.random.default_rng(0).permutation(len(poses))[:_COMPARED]
    usual, *others = (_nearest(poses, poses[rows], rows, order) for order in (own, flip, *pairs))
    return np.min(others, 0) < _BETTER * usual


def _nearest(
    poses: np.ndarray, others: np.ndarray, rows: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Mean squared distance (N,) of poses (N, K, 2), their joints re-ordered, to the nearest."""
    there, known = (~np.isnan(p[..., :1]) * np.ones(2) for p in (poses[:, order], others))
    a, b = (np.nan_to_num(p).reshape(len(p), -1) for p in (poses[:, order], others))
    there, known = there.reshape(a.shape), known.reshape(b.shape)
    total = a**2 @ known.T + there @ (b**2).T - 2 * a @ b.T
    count = there @ known.T
    away = np.where(count >= there.sum(1, keepdims=True) / 2, total / count.clip(1), np.inf)
    away[rows, np.arange(len(rows))] = np.inf  # itself
    nearest = (
        np.sort(away, 1)[:, :_NEAREST].mean(1) if len(rows) > _NEAREST else np.full(len(a), np.inf)
    )
    return np.where(np.isfinite(nearest), nearest, 1.0)
