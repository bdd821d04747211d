"""Object keypoint similarity, removal of duplicate people, and COCO's keypoint AP.

The similarity of two poses is the mean over their joints of exp(-d^2 / (2 (2 sigma)^2 area)), d in
pixels, area in square pixels and one sigma a joint; 1 is perfect. Between a detection and the truth
the area is the annotated one and only annotated joints count; between two detections it is the mean
of their (padded) boxes and every joint counts.

COCO numbers are pycocotools' own, 0..1; -1 where a size class has nobody.
"""

import contextlib
import io
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import PosekitError
from .skeletons import COCO

COCO_METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")

_PERSON = 1  # COCO's category id
_EPSILON = np.spacing(1)  # pycocotools' guard against an area of 0
_IMAGES_AT_ONCE = 256  # keeps the arrays of a step of the suppression in the processor's cache


def oks_matrix(
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    areas: np.ndarray,
    sigmas: Sequence[float] = COCO.sigmas,
) -> np.ndarray:
    """Similarity of every prediction to every annotated person.

    Args:
        predicted: (..., D, K, 2) image pixels; a joint that is NaN is wrong.
        truth: (..., G, K, 2).
        visible: (..., G, K) bool, joints that are annotated.
        areas: (..., G) square pixels.
        sigmas: (K,) fall-off of each joint.

    Returns:
        (..., D, G), 0 for people without an annotated joint.
    """
    return _oks(
        predicted[..., :, None, :, :],
        truth[..., None, :, :, :],
        visible[..., None, :, :],
        areas[..., None, :],
        sigmas,
    )


def mean_oks(
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    areas: np.ndarray,
    sigmas: Sequence[float] = COCO.sigmas,
) -> float:
    """Mean similarity of predictions to the people they were made for.

    Args:
        predicted: (N, K, 2) image pixels; a joint that is NaN is wrong.
        truth: (N, K, 2).
        visible: (N, K) bool; people without an annotated joint are left out.
        areas: (N,) square pixels.
        sigmas: (K,) fall-off of each joint.

    Returns:
        0..1, NaN when nobody has an annotated joint.

    Raises:
        PosekitError: the arrays do not describe the same people.
    """
    _same_people(predicted=predicted, truth=truth, visible=visible, areas=areas)
    known = visible.any(-1)
    if not known.any():
        return float("nan")
    return float(_oks(predicted, truth, visible, areas, sigmas)[known].mean())


def _oks(
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    areas: np.ndarray,
    sigmas: Sequence[float],
) -> np.ndarray:
    """Similarity (...) of poses (..., K, 2) that broadcast."""
    distance = np.square(predicted - truth).sum(-1)
    spread = 8 * np.square(sigmas) * (areas[..., None] + _EPSILON)
    similarity = np.where(visible, np.nan_to_num(np.exp(-distance / spread), nan=0.0), 0.0)
    return similarity.sum(-1) / np.maximum(visible.sum(-1), 1)


def rescore(
    keypoint_scores: np.ndarray, box_scores: np.ndarray, threshold: float = 0.2
) -> np.ndarray:
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
    image_ids: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    threshold: float = 0.9,
    sigmas: Sequence[float] = COCO.sigmas,
) -> np.ndarray:
    """Drop detections that are too similar to a better one of the same image, greedily.

    Args:
        image_ids: (N,).
        keypoints: (N, K, 2) image pixels.
        scores: (N,); of equal ones the earlier row is the better.
        areas: (N,) square pixels of the (padded) boxes.
        threshold: similarity above it is a duplicate.
        sigmas: (K,) fall-off of each joint.

    Returns:
        (M,) rows to keep, by image id and then from the best down.

    Raises:
        PosekitError: the arrays do not describe the same people.
    """
    _same_people(image_ids=image_ids, keypoints=keypoints, scores=scores, areas=areas)
    rank = np.full(len(scores), -1)
    for people in _by_image(image_ids, scores):
        points, sizes = _scaled(keypoints[people], sigmas), areas[people]
        kept = people >= 0
        for place in range(people.shape[1] - 1):
            rows = np.flatnonzero(kept[:, place])
            overlap = _overlap(points[:, rows, place:], sizes[rows, place:])
            kept[rows, place + 1 :] &= overlap[:, 1:] <= threshold
        rank[people[kept]] = np.nonzero(kept)[1]
    return _ranked(image_ids, rank)


def soft_oks_nms(
    image_ids: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    threshold: float = 0.9,
    limit: int = 20,
    sigmas: Sequence[float] = COCO.sigmas,
) -> np.ndarray:
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
        sigmas: (K,) fall-off of each joint.

    Returns:
        (M,) rows to keep, by image id and then in the order they were taken.

    Raises:
        PosekitError: the arrays do not describe the same people.
    """
    _same_people(image_ids=image_ids, keypoints=keypoints, scores=scores, areas=areas)
    rank = np.full(len(scores), -1)
    for people in _by_image(image_ids, scores):
        points, sizes = _scaled(keypoints[people], sigmas), areas[people]
        waiting, left = people >= 0, scores[people].astype(float)
        for step in range(min(people.shape[1], limit)):
            rows = np.flatnonzero(waiting.any(1))
            best = np.where(waiting[rows], left[rows], -np.inf).argmax(1)
            rank[people[rows, best]] = step
            waiting[rows, best] = False
            overlap = _overlap(points[:, rows], sizes[rows], best)
            left[rows] = lowered(left[rows], overlap, threshold)
    return _ranked(image_ids, rank)


def lowered(
    scores: np.ndarray, overlap: np.ndarray, threshold: float, rule: str = "gaussian"
) -> np.ndarray:
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


def _by_image(image_ids: np.ndarray, scores: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of images with about as many people, (images, people) from the best down, padded by -1.

    Padding to the next multiple of four wastes little and leaves few groups to walk through.
    """
    order = np.lexsort((-scores, image_ids))
    _, starts, counts = np.unique(image_ids[order], return_index=True, return_counts=True)
    widths = -(-counts // 4) * 4
    for width in np.unique(widths):
        images = np.flatnonzero(widths == width)
        for first in range(0, len(images), _IMAGES_AT_ONCE):
            part = images[first : first + _IMAGES_AT_ONCE]
            place = np.arange(counts[part].max())
            rows = order[np.minimum(starts[part, None] + place, len(order) - 1)]
            yield np.where(place < counts[part, None], rows, -1)


def _scaled(keypoints: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """Poses (I, P, K, 2) as (2, I, P, K), divided so that OKS is exp(-squared distance / area)."""
    return np.ascontiguousarray(np.moveaxis(keypoints, -1, 0)) / (np.sqrt(8) * np.asarray(sigmas))


def _overlap(points: np.ndarray, areas: np.ndarray, which: int | np.ndarray = 0) -> np.ndarray:
    """Similarity (I, P) of each image's people (2, I, P, K) to the one at `which`; NaN counts 0."""
    images = np.arange(points.shape[1])
    one = points[:, images, which][:, :, None]
    area = (areas + areas[images, which][:, None]) / 2 + _EPSILON
    distance = np.square(points - one).sum(0)
    return np.nan_to_num(np.exp(distance / -area[..., None]).mean(-1), nan=0.0)


def _ranked(image_ids: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Rows with a rank, sorted by image and rank."""
    rows = np.flatnonzero(rank >= 0)
    return rows[np.lexsort((rank[rows], image_ids[rows]))]


def _same_people(**columns: np.ndarray) -> None:
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise PosekitError(f"arrays of the same people differ in length: {lengths}")


def results_from_arrays(
    image_ids: np.ndarray,
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
) -> list[dict[str, Any]]:
    """Detections as COCO's results format, ready for `json.dump` and `coco_keypoint_ap`.

    Coordinates and keypoint scores are rounded to three decimals, which keeps files small; the
    scores that rank people are not.

    Args:
        image_ids: (N,) integers.
        keypoints: (N, 17, 2) image pixels.
        keypoint_scores: (N, 17).
        scores: (N,).

    Raises:
        PosekitError: the arrays do not describe the same people.
    """
    _same_people(
        image_ids=image_ids, keypoints=keypoints, keypoint_scores=keypoint_scores, scores=scores
    )
    triplets = np.concatenate([keypoints, keypoint_scores[..., None]], -1, dtype=float)
    columns = (image_ids, triplets.reshape(len(triplets), -1).round(3), scores)
    return [
        {"image_id": image, "category_id": _PERSON, "keypoints": joints, "score": score}
        for image, joints, score in zip(*(np.asarray(c).tolist() for c in columns), strict=True)
    ]


def coco_keypoint_ap(
    gt: str | Path | dict[str, Any],
    results: list[dict[str, Any]],
    image_ids: Collection[int] | None = None,
) -> dict[str, float]:
    """Keypoint AP of COCO, as pycocotools computes it.

    Args:
        gt: person_keypoints_*.json, or its content; neither this nor `results` is changed.
        results: dicts with image_id, category_id, keypoints (51 numbers) and score.
        image_ids: score these images alone; all of the file otherwise.

    Returns:
        The ten numbers of `COCO_METRICS`, 0..1; -1 where a size class has nobody.

    Raises:
        PosekitError: the file is not a keypoint annotation file, or results do not fit it.
    """
    from pycocotools.coco import COCO as Index
    from pycocotools.cocoeval import COCOeval

    truth = _annotations(gt)
    known = {image["id"] for image in truth["images"]}
    _check_results(results, known)
    if image_ids is not None and not set(image_ids) <= known:
        strange = sorted(set(image_ids) - known)[:5]
        raise PosekitError(f"image_ids {strange} are not in the annotation file")
    index = Index()
    index.dataset = truth
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports every step
        index.createIndex()
        # loadRes writes into the dicts it is given.
        evaluation = COCOeval(index, index.loadRes([dict(r) for r in results]), "keypoints")
        if image_ids is not None:
            evaluation.params.imgIds = sorted(set(image_ids))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_METRICS, map(float, evaluation.stats), strict=True))


def _annotations(gt: str | Path | dict[str, Any]) -> dict[str, Any]:
    """The content of an annotation file, in dicts that the evaluation may write into."""
    where = "the annotations" if isinstance(gt, dict) else str(gt)
    if not isinstance(gt, dict):
        try:
            gt = json.loads(Path(gt).read_bytes())
        except OSError as error:
            raise PosekitError(f"cannot read {where}: {error.strerror}") from error
        except ValueError as error:
            raise PosekitError(f"{where} is not JSON ({error}): download it again") from error
    tables = ("images", "annotations", "categories")
    lacking = [name for name in tables if not isinstance(gt, dict) or name not in gt]
    people = [] if lacking else gt["annotations"]
    fields = ("id", "image_id", "category_id", "iscrowd", "area", "bbox", "keypoints")
    lacking += sorted({name for person in people for name in fields if name not in person})
    if lacking:
        raise PosekitError(
            f"{where} has no {', '.join(lacking)}: use COCO's person_keypoints_*.json"
        )
    try:
        people = [{"num_keypoints": _annotated(person), **person} for person in people]
    except (TypeError, ValueError) as error:
        raise PosekitError(f"{where}: field keypoints: {error}: download it again") from None
    return {**gt, "annotations": people}


def _annotated(person: dict[str, Any]) -> int:
    """How many joints of an annotation are marked."""
    return sum(float(flag) > 0 for flag in person["keypoints"][2::3])


def _check_results(results: list[dict[str, Any]], known: set[int]) -> None:
    """Refuse what pycocotools would stumble over, or score wrongly without a word."""
    if not results:
        raise PosekitError("no results to score: COCO results are a list of detections, one a dict")
    fields = ("image_id", "category_id", "keypoints", "score")
    for row, result in enumerate(results):
        lacking = [name for name in fields if name not in result]
        if lacking:
            raise PosekitError(f"COCO result {row} has no {', '.join(lacking)}")
        given = result["keypoints"] if isinstance(result["keypoints"], list | tuple) else ()
        numbers = [v for v in (*given, result["score"]) if isinstance(v, int | float | np.number)]
        if len(numbers) != 3 * len(COCO) + 1 or len(given) != 3 * len(COCO):
            raise PosekitError(
                f"COCO result {row} has {len(given)} keypoint numbers and the score "
                f"{result['score']!r}, needed are {3 * len(COCO)}, x, y and score of the joints of "
                "posekit.skeleton('coco'), and a number"
            )
        if result["image_id"] not in known:
            raise PosekitError(
                f"COCO result {row} is for image {result['image_id']}, which the annotation file "
                "does not list: score the split that was predicted"
            )
    numbers = np.array([[*result["keypoints"], result["score"]] for result in results], float)
    broken = np.flatnonzero(~np.isfinite(numbers).all(1))
    if broken.size:
        raise PosekitError(f"COCO result {broken[0]} holds NaN or infinite numbers: leave it out")
