"""Object keypoint similarity, and the removal of duplicate people by it.

The similarity of two poses is the mean over their joints of exp(-d^2 / (2 (2 sigma)^2 area)), d in
pixels, area in square pixels and one sigma per joint; 1 is perfect. Between a detection and the
truth the area is the annotated one and only annotated joints count; between two detections it is
the mean of their (padded) boxes and every joint counts.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import PosekitError
from ..geometry.skeletons import COCO

EPSILON = np.spacing(1)  # pycocotools' guard against an area of 0
_IMAGES_AT_ONCE = 256  # keeps the arrays of a step of the suppression in the processor's cache


def similarity(predicted: NDArray, truth: NDArray, visible: NDArray, areas: NDArray) -> NDArray:
    """Similarity of predicted to annotated poses; the leading axes broadcast.

    Args:
        predicted: (..., K, 2) image pixels; a joint that is NaN is wrong.
        truth: (..., K, 2).
        visible: (..., K) bool, joints that are annotated.
        areas: (...) square pixels.

    Returns:
        (...) 0..1, 0 for people without an annotated joint.
    """
    distance = np.square(predicted - truth).sum(-1)
    spread = 8 * np.square(COCO.sigmas) * (areas[..., None] + EPSILON)
    per_joint = np.where(visible, np.nan_to_num(np.exp(-distance / spread), nan=0.0), 0.0)
    return per_joint.sum(-1) / np.maximum(visible.sum(-1), 1)


def mean_oks(predicted: NDArray, truth: NDArray, visible: NDArray, areas: NDArray) -> float:
    """Mean similarity of predictions to the people they were made for.

    Args:
        predicted: (N, K, 2) image pixels; a joint that is NaN is wrong.
        truth: (N, K, 2).
        visible: (N, K) bool; people without an annotated joint are left out.
        areas: (N,) square pixels.

    Returns:
        0..1, NaN when nobody has an annotated joint.

    Raises:
        PosekitError: the arrays do not describe the same people.
    """
    check_same_length(predicted=predicted, truth=truth, visible=visible, areas=areas)
    known = visible.any(-1)
    found = similarity(predicted, truth, visible, areas)[known]
    return float(found.mean()) if known.any() else float("nan")


def rescore(keypoint_scores: NDArray, box_scores: NDArray, threshold: float = 0.2) -> NDArray:
    """Score of a person: box score times the mean of the keypoint scores above a threshold.

    Args:
        keypoint_scores: (N, K).
        box_scores: (N,), 1 for annotated boxes.
        threshold: scores up to it are left out; a person with none left scores 0.

    Returns:
        (N,).
    """
    counted = keypoint_scores > threshold
    total = np.where(counted, keypoint_scores, 0).sum(-1)
    return box_scores * total / np.maximum(counted.sum(-1), 1)


def oks_nms(
    image_ids: NDArray, keypoints: NDArray, scores: NDArray, areas: NDArray, threshold: float = 0.9
) -> NDArray:
    """Drop detections that are too similar to a better one of the same image, greedily.

    Args:
        image_ids: (N,).
        keypoints: (N, K, 2) image pixels.
        scores: (N,); of equal ones the earlier row is the better.
        areas: (N,) square pixels of the (padded) boxes.
        threshold: similarity above it is a duplicate.

    Returns:
        (M,) rows to keep, by image id and then from the best down.

    Raises:
        PosekitError: the arrays do not describe the same people.
    """
    rank = np.full(len(scores), -1)
    for people, points, sizes in _by_image(image_ids, keypoints, scores, areas):
        kept = people >= 0
        for position in range(people.shape[1] - 1):
            rows = np.flatnonzero(kept[:, position])
            overlap = _overlap(points[:, rows, position:], sizes[rows, position:])
            kept[rows, position + 1 :] &= overlap[:, 1:] <= threshold
        rank[people[kept]] = np.nonzero(kept)[1]
    return _ranked(image_ids, rank)


def soft_oks_nms(
    image_ids: NDArray,
    keypoints: NDArray,
    scores: NDArray,
    areas: NDArray,
    threshold: float = 0.9,
    limit: int = 20,
) -> NDArray:
    """Keep the best detections of each image, lowering what is similar to one already taken.

    The scores, multiplied by exp(-OKS^2 / threshold), decide only which detections stay and in what
    order; in the references the results keep their own scores.

    Args:
        image_ids: (N,).
        keypoints: (N, K, 2) image pixels.
        scores: (N,).
        areas: (N,) square pixels of the (padded) boxes.
        threshold: width of the Gaussian.
        limit: detections kept in an image.

    Returns:
        (M,) rows to keep, by image id and then in the order they were taken.

    Raises:
        PosekitError: the arrays do not describe the same people.
    """
    rank = np.full(len(scores), -1)
    for people, points, sizes in _by_image(image_ids, keypoints, scores, areas):
        waiting, left = people >= 0, scores[people].astype(float)
        for step in range(min(people.shape[1], limit)):
            rows = np.flatnonzero(waiting.any(1))
            best = np.where(waiting[rows], left[rows], -np.inf).argmax(1)
            rank[people[rows, best]] = step
            waiting[rows, best] = False
            overlap = _overlap(points[:, rows], sizes[rows], best)
            left[rows] = lowered(left[rows], overlap, threshold)
    return _ranked(image_ids, rank)


def lowered(scores: NDArray, overlap: NDArray, threshold: float, rule: str = "gaussian") -> NDArray:
    """Scores of detections that overlap a better one, lowered (Bodla et al. 2017).

    Args:
        scores: any shape.
        overlap: similarity 0..1 to the better one, of that shape.
        threshold: width of the Gaussian, or the similarity from which "linear" lowers.
        rule: "gaussian", exp(-overlap^2 / threshold), or "linear", 1 - overlap.
    """
    if rule == "gaussian":
        return scores * np.exp(-np.square(overlap) / threshold)
    return scores * np.where(overlap >= threshold, 1 - overlap, 1)


def _by_image(
    image_ids: NDArray, keypoints: NDArray, scores: NDArray, areas: NDArray
) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """Rows, poses and areas of images with about as many people.

    Rows are (I, P), from the best person of an image down, padded by -1; padding to the next
    multiple of four wastes little and leaves few groups to walk through. Poses are (2, I, P, K),
    divided so that OKS is exp(-squared distance / area).
    """
    check_same_length(image_ids=image_ids, keypoints=keypoints, scores=scores, areas=areas)
    order = np.lexsort((-scores, image_ids))
    _, starts, counts = np.unique(image_ids[order], return_index=True, return_counts=True)
    widths = -(-counts // 4) * 4
    for width in np.unique(widths):
        images = np.flatnonzero(widths == width)
        for first in range(0, len(images), _IMAGES_AT_ONCE):
            part = images[first : first + _IMAGES_AT_ONCE]
            position = np.arange(counts[part].max())
            rows = order[np.minimum(starts[part, None] + position, len(order) - 1)]
            rows = np.where(position < counts[part, None], rows, -1)
            points = np.ascontiguousarray(np.moveaxis(keypoints[rows], -1, 0))
            yield rows, points / (np.sqrt(8) * np.array(COCO.sigmas)), areas[rows]


def _overlap(points: NDArray, areas: NDArray, which: int | NDArray = 0) -> NDArray:
    """Similarity (I, P) of each image's people (2, I, P, K) to the one at `which`; NaN counts 0."""
    images = np.arange(points.shape[1])
    one = points[:, images, which][:, :, None]
    area = (areas + areas[images, which][:, None]) / 2 + EPSILON
    distance = np.square(points - one).sum(0)
    return np.nan_to_num(np.exp(distance / -area[..., None]).mean(-1), nan=0.0)


def _ranked(image_ids: NDArray, rank: NDArray) -> NDArray:
    """Rows with a rank, sorted by image and rank."""
    rows = np.flatnonzero(rank >= 0)
    return rows[np.lexsort((rank[rows], image_ids[rows]))]


def check_same_length(**columns: NDArray) -> None:
    """Refuse columns of different lengths."""
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise PosekitError(f"arrays of the same people differ in length: {lengths}")
