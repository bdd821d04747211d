"""COCO's keypoint AP, and the format of results that it is computed from.

The numbers are pycocotools' own, 0..1; -1 where a size class has nobody. What pycocotools would
stumble over, or score wrongly without a word, is refused first.
"""

import contextlib
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PosekitError
from ..files.reading import column, load_json
from ..geometry.skeletons import COCO
from .oks import check_same_length

COCO_METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")

PERSON = 1  # category id
_TRIPLETS = (3 * len(COCO),)  # x, y and flag or score of the joints
# What records are asked for, and the shapes of it.
_ANNOTATION = dict.fromkeys(("id", "image_id", "category_id", "iscrowd", "area"), ())
_ANNOTATION |= {"bbox": (4,), "keypoints": _TRIPLETS}
_RESULT = {"image_id": (), "category_id": (), "keypoints": _TRIPLETS, "score": ()}


def results_from_arrays(
    image_ids: NDArray, keypoints: NDArray, keypoint_scores: NDArray, scores: NDArray
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
    check_same_length(
        image_ids=image_ids, keypoints=keypoints, keypoint_scores=keypoint_scores, scores=scores
    )
    triplets = np.concatenate([keypoints, keypoint_scores[..., None]], -1, dtype=float)
    triplets = triplets.reshape(len(triplets), 3 * triplets.shape[1]).round(3)
    return _records(image_ids, triplets, scores)


def coco_keypoint_ap(
    gt: str | Path | dict[str, Any],
    results: Sequence[dict[str, Any]],
    image_ids: Collection[int] | None = None,
    joint: int | None = None,
) -> dict[str, float]:
    """Keypoint AP of COCO, as pycocotools computes it.

    Args:
        gt: person_keypoints_*.json, or its content; neither this nor `results` is changed.
        results: dicts with image_id, category_id, keypoints (51 numbers) and score; what else they
            hold is not looked at.
        image_ids: score these images alone; all of the file otherwise.
        joint: compare poses by this joint alone; people without it are neither found nor missed.

    Returns:
        The ten numbers of `COCO_METRICS`, 0..1; -1 where a size class has nobody.

    Raises:
        PosekitError: the file is not a keypoint annotation file, or results do not fit it.
    """
    from pycocotools.coco import COCO as Index
    from pycocotools.cocoeval import COCOeval

    truth = _annotations(gt, joint)
    known = {image["id"] for image in truth["images"]}
    detections = _detections(list(results), known)
    if image_ids is not None and not set(image_ids) <= known:
        strange = sorted(set(image_ids) - known)[:5]
        raise PosekitError(f"image_ids {strange} are not in the annotation file")
    index = Index()
    index.dataset = truth
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports every step
        index.createIndex()
        evaluation = COCOeval(index, index.loadRes(detections), "keypoints")
        if image_ids is not None:
            evaluation.params.imgIds = sorted(set(image_ids))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_METRICS, map(float, evaluation.stats), strict=True))


def _annotations(gt: str | Path | dict[str, Any], joint: int | None) -> dict[str, Any]:
    """The content of an annotation file, in dicts that the evaluation may write into."""
    where = "the annotations" if isinstance(gt, dict) else Path(gt)
    content = gt if isinstance(gt, dict) else load_json(where)
    categories, images, people = sections(where, content)
    if not any(record.get("id") == PERSON for record in categories):
        raise PosekitError(f"{where} has no category {PERSON}: use COCO's person_keypoints_*.json")
    known = column(where, images, "id", (), "image", np.inf)
    columns = {n: column(where, people, n, s, "annotation", np.inf) for n, s in _ANNOTATION.items()}
    check_annotations(where, columns["id"], columns["image_id"], known)
    joints = columns["keypoints"]
    if joint is not None:
        joints[:, 2::3] *= np.arange(len(COCO)) == joint
    marked = (joints[:, 2::3] > 0).sum(1).tolist()
    if joint is None:
        people = [{"num_keypoints": n, **one} for n, one in zip(marked, people, strict=True)]
    else:
        rows = zip(people, marked, joints.tolist(), strict=True)
        people = [{**one, "num_keypoints": n, "keypoints": k} for one, n, k in rows]
    return {**content, "annotations": people}


def sections(where: str | Path, content: object) -> list[list[dict]]:
    """The records of an annotation file: categories, images and annotations.

    Raises:
        PosekitError: one of them is not a list of records.
    """
    found = []
    for name in ("categories", "images", "annotations"):
        records = content.get(name) if isinstance(content, dict) else None
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise PosekitError(
                f"{where}: field {name} is not a list of records: use COCO's "
                "annotations/person_keypoints_*.json"
            )
        found.append(records)
    return found


def check_annotations(where: str | Path, ids: NDArray, images: NDArray, known: NDArray) -> None:
    """Refuse annotations that share an id, or whose image is not among those that are known."""
    if (strange := ~np.isin(images, known)).any():
        raise PosekitError(
            f"{where}: annotation {strange.argmax()} has the image_id "
            f"{images[strange.argmax()]:.0f}, which the field images lacks: copy the file again"
        )
    once, count = np.unique(ids, return_counts=True)
    if len(once) < len(ids):
        raise PosekitError(
            f"{where}: {count.max()} annotations share the id {once[count.argmax()]:.0f}: remove "
            "the repeated ones or copy the file again"
        )


def _detections(results: Sequence[dict[str, Any]], known: Collection[int]) -> list[dict[str, Any]]:
    """The results alone, checked, in dicts that the evaluation may write into."""
    if not results or not all(isinstance(result, dict) for result in results):
        raise PosekitError("no results to score: COCO results are a list of detections, one a dict")
    image, category, keypoints, score = (
        column("the results", results, field, shape, "COCO result", np.inf)
        for field, shape in _RESULT.items()
    )
    if (strange := ~np.isin(image, list(known))).any():
        raise PosekitError(
            f"COCO result {strange.argmax()} is for image {image[strange.argmax()]:.0f}, which the "
            "annotation file does not list: score the split that was predicted"
        )
    if (others := category != PERSON).any():
        raise PosekitError(
            f"COCO result {others.argmax()} has category_id {category[others.argmax()]:g}: people "
            f"are {PERSON}"
        )
    return _records(image.astype(int), keypoints, score)


def _records(*columns: NDArray) -> list[dict[str, Any]]:
    return [
        {"image_id": image, "category_id": PERSON, "keypoints": joints, "score": score}
        for image, joints, score in zip(*(c.tolist() for c in columns), strict=True)
    ]
