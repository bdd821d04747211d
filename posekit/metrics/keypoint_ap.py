"""Average precision of keypoints over arrays: every image, size class and threshold at once.

The rules are those of COCO's evaluation (pycocotools, `COCOeval` with iouType "keypoints"), which
the tests hold it against: the 20 best detections of an image take people in the order of their
scores, each the most similar person that is free; people who do not count (crowds, people without a
joint, those of another size) are taken only where nobody else is similar enough, and such
detections do not count either.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import PosekitError
from ..geometry.skeletons import COCO
from .oks import EPSILON

COCO_METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_SIZES = ((0, 1e10), (32**2, 96**2), (96**2, 1e10))  # all, medium, large: square pixels
_MOST = 20  # detections of an image
_IMAGES_AT_ONCE = 256  # keeps the arrays of a step in the processor's cache


class Truth(NamedTuple):
    """Annotated people as columns.

    Attributes:
        images: (M,) ids of all images, those without people too.
        image: (G,) image of each person.
        keypoints: (G, K, 2) image pixels.
        visible: (G, K) bool, the joint is annotated.
        boxes: (G, 4) x y width height.
        areas: (G,) square pixels.
        crowd: (G,) bool, a region of several people.
        counted: (G,) bool, neither a crowd nor without joints.
    """

    images: NDArray
    image: NDArray
    keypoints: NDArray
    visible: NDArray
    boxes: NDArray
    areas: NDArray
    crowd: NDArray
    counted: NDArray


class Detections(NamedTuple):
    """Found people as columns.

    Attributes:
        image: (N,) image of each.
        keypoints: (N, K, 2) image pixels.
        scores: (N,).
        joint_scores: (N, K), which AP does not look at.
    """

    image: NDArray
    keypoints: NDArray
    scores: NDArray
    joint_scores: NDArray | None = None


class Matches(NamedTuple):
    """Which detections are right, for A size classes and T thresholds.

    Attributes:
        image: (N,) image of each detection that is looked at, ascending, the best one first.
        scores: (N,).
        right: (A, T, N) bool, it has found somebody.
        ignored: (A, T, N) bool, it does not count.
        truth_image: (G,) image of each person.
        truth_counted: (A, G) bool, people who count.
    """

    image: NDArray
    scores: NDArray
    right: NDArray
    ignored: NDArray
    truth_image: NDArray
    truth_counted: NDArray


def match(truth: Truth, found: Detections, sigmas: Sequence[float] = COCO.sigmas) -> Matches:
    """Match detections with annotated people.

    Args:
        truth: G people of K joints.
        found: detections of K joints.
        sigmas: (K,) of the joints, as OKS has them.

    Raises:
        PosekitError: nobody was found, somebody in another image or at no finite place.
    """
    _check(truth, found)
    order = np.lexsort((-found.scores, found.image))
    _, first, counts = np.unique(found.image[order], return_index=True, return_counts=True)
    order = order[np.arange(len(order)) - np.repeat(first, counts) < _MOST]
    image, points, scores = (column[order] for column in found[:3])
    sides = points.max(1) - points.min(1)
    outside = _outside(sides.prod(-1))
    uncounted = _outside(truth.areas) | ~truth.counted
    right = np.zeros((len(_SIZES), len(_THRESHOLDS), len(image)), bool)
    ignored = np.broadcast_to(outside[:, None], right.shape).copy()
    for rows, people in _by_image(image, truth.image):
        similar = _similarity(points, rows, truth, people, np.asarray(sigmas))
        hit, lost = _choose(similar, uncounted[:, people], truth.crowd[people])
        there, here = rows >= 0, rows[rows >= 0]
        right[..., here] = hit[..., there]
        ignored[..., here] = np.where(hit, lost, ignored[..., rows])[..., there]
    return Matches(image, scores, right, ignored, truth.image, ~uncounted)


def _check(truth: Truth, found: Detections) -> None:
    if not len(found.scores):
        raise PosekitError("no results to score: nobody was found in any image")
    if (strange := ~np.isin(found.image, truth.images)).any():
        raise PosekitError(
            f"COCO result {strange.argmax()} is for image {found.image[strange.argmax()]:.0f}, "
            "which the annotation file does not list: score the split that was predicted"
        )
    if not (np.isfinite(found.keypoints).all() and np.isfinite(found.scores).all()):
        raise PosekitError("COCO results hold values that are not finite: repair or remove them")


def summarise(matches: Matches, images: Collection[int] | None = None) -> dict[str, float]:
    """The ten numbers of `COCO_METRICS`, 0..1; -1 where a size class has nobody.

    Args:
        matches: of all images.
        images: ids of those that are scored; None for all of them.
    """
    used, people = slice(None), slice(None)
    if images is not None:
        chosen = np.array(sorted(images))
        used, people = (np.isin(i, chosen) for i in (matches.image, matches.truth_image))
    order = np.argsort(-matches.scores[used], kind="stable")
    right, ignored = (part[..., used][..., order] for part in (matches.right, matches.ignored))
    counts = matches.truth_counted[:, people].sum(1)
    precision, recall = (np.full((len(_SIZES), len(_THRESHOLDS)), -1.0) for _ in range(2))
    for size in np.flatnonzero(counts):
        true, false = (
            (flags & ~ignored[size]).cumsum(-1, dtype=float)
            for flags in (right[size], ~right[size])
        )
        reached = true / counts[size]
        exact = true / (true + false + EPSILON)
        best = np.maximum.accumulate(exact[:, ::-1], -1)[:, ::-1]
        best = np.pad(best, ((0, 0), (0, 1)))  # nothing is right where a recall is not reached
        places = [np.searchsorted(row, _RECALLS) for row in reached]
        precision[size] = np.take_along_axis(best, np.array(places), 1).mean(1)
        recall[size] = reached[:, -1] if reached.shape[1] else 0
    parts = [
        part
        for values in (precision, recall)
        for part in (values[0].mean(), values[0, 0], values[0, 5], *values[1:].mean(1))
    ]
    return dict(zip(COCO_METRICS, map(float, parts), strict=True))


def _outside(areas: NDArray) -> NDArray:
    """Which areas (N,) each size class leaves out, (A, N)."""
    return np.array([(areas < low) | (areas > high) for low, high in _SIZES])


def _by_image(image: NDArray, truth_image: NDArray) -> Iterator[tuple[NDArray, NDArray]]:
    """Rows of detections (I, D) and of people (I, G), padded by -1, of images that have both."""
    people = np.argsort(truth_image, kind="stable")
    ids, start, count = np.unique(image, return_index=True, return_counts=True)
    known, first, many = np.unique(truth_image[people], return_index=True, return_counts=True)
    both, a, b = np.intersect1d(ids, known, assume_unique=True, return_indices=True)
    order = np.lexsort((count[a], many[b]))
    for begin in range(0, len(both), _IMAGES_AT_ONCE):
        part = order[begin : begin + _IMAGES_AT_ONCE]
        yield (
            _padded(np.arange(len(image)), start[a[part]], count[a[part]]),
            _padded(people, first[b[part]], many[b[part]]),
        )


def _padded(rows: NDArray, starts: NDArray, counts: NDArray) -> NDArray:
    """The runs of rows (I, most) that begin at starts, padded by -1."""
    position = np.arange(counts.max())
    there = position < counts[:, None]
    return np.where(there, rows[np.where(there, starts[:, None] + position, 0)], -1)


def _similarity(
    points: NDArray, rows: NDArray, truth: Truth, people: NDArray, sigmas: NDArray
) -> NDArray:
    """OKS (I, D, G) of detections to people of the same images; -1 where either is padding.

    Somebody without an annotated joint stands for a region: the distance is that of the joints to
    a box of three times the sides.
    """
    visible = truth.visible[people][:, None]
    bare = ~visible.any(-1, keepdims=True)
    low, size = np.split(truth.boxes[people][:, None, :, None], 2, axis=-1)
    at = points[rows][:, :, None]
    beyond = np.maximum(low - size - at, 0) + np.maximum(at - (low + 2 * size), 0)
    away = np.where(bare[..., None], beyond, at - truth.keypoints[people][:, None])
    area = truth.areas[people][:, None, :, None] + EPSILON
    spread = np.square(2 * sigmas)
    terms = np.exp(-np.square(away).sum(-1) / spread / area / 2)
    joints = visible | bare
    found = np.where(joints, terms, 0).sum(-1) / joints.sum(-1)
    return np.where((rows < 0)[..., None] | (people < 0)[:, None], -1, found)


def _choose(similar: NDArray, uncounted: NDArray, crowd: NDArray) -> tuple[NDArray, NDArray]:
    """Let the detections of I images choose people, one rank after another.

    Args:
        similar: OKS (I, D, G).
        uncounted: (A, I, G) bool, people who do not count.
        crowd: (I, G) bool, people who may be taken again.

    Returns:
        (A, T, I, D) bool, whether a detection found somebody, and whether one who does not count.
    """
    width = similar.shape[-1]
    # Of equally similar people the last one is taken; those who do not count come after the others.
    rank = 1 + similar.argsort(-1, kind="stable").argsort(-1).astype(np.int16)
    bonus = np.where(uncounted, 0, width).astype(np.int16)[:, None]
    free = np.ones((len(uncounted), len(_THRESHOLDS), *crowd.shape), bool)
    hit = np.zeros((*free.shape[:3], similar.shape[1]), bool)
    lost = hit.copy()
    for place in range(similar.shape[1]):
        good = free & (similar[:, place] >= _THRESHOLDS[:, None, None])
        best = np.where(good, rank[:, place] + bonus, 0).argmax(-1)[..., None]
        taken = (np.arange(width) == best) & good
        free &= ~taken | crowd
        hit[..., place] = taken.any(-1)
        lost[..., place] = (taken & uncounted[:, None]).any(-1)
    return hit, lost
