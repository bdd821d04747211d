"""COCO's annotation files and results as columns for the keypoint AP, and back.

What pycocotools would stumble over, or score wrongly without a word, is refused.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PosekitError
from ..files.reading import column, load_json
from ..geometry.skeletons import COCO
from .keypoint_ap import Detections, Truth, match, summarise
from .oks import check_same_length

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
    columns = (column.tolist() for column in (image_ids, triplets, scores))
    return [
        {"image_id": image, "category_id": PERSON, "keypoints": joints, "score": score}
        for image, joints, score in zip(*columns, strict=True)
    ]


def coco_keypoint_ap(
    gt: str | Path | dict[str, Any],
    results: Sequence[dict[str, Any]],
    image_ids: Collection[int] | None = None,
) -> dict[str, float]:
    """Keypoint AP of COCO, equal to that of pycocotools.

    Args:
        gt: person_keypoints_*.json, or its content.
        results: dicts with image_id, category_id, keypoints (51 numbers) and score; what else they
            hold is not looked at.
        image_ids: score these images alone; all of the file otherwise.

    Returns:
        The ten numbers of `COCO_METRICS`, 0..1; -1 where a size class has nobody.

    Raises:
        PosekitError: the file is not a keypoint annotation file, or results do not fit it.
    """
    truth = read_truth(gt)
    if image_ids is not None and (strange := sorted(set(image_ids) - set(truth.images.tolist()))):
        raise PosekitError(f"image_ids {strange[:5]} are not in the annotation file")
    return summarise(match(truth, read_results(results, truth.images)), image_ids)


def read_truth(gt: str | Path | dict[str, Any]) -> Truth:
    """The people of an annotation file, crowds and those without joints too.

    Args:
        gt: person_keypoints_*.json, or its content.

    Raises:
        PosekitError: it is not a keypoint annotation file.
    """
    where = "the annotations" if isinstance(gt, dict) else Path(gt)
    categories, images, people = sections(where, gt if isinstance(gt, dict) else load_json(where))
    if not any(record.get("id") == PERSON for record in categories):
        raise PosekitError(f"{where} has no category {PERSON}: use COCO's person_keypoints_*.json")
    known = np.unique(column(where, images, "id", (), "image", np.inf))
    columns = {n: column(where, people, n, s, "annotation", np.inf) for n, s in _ANNOTATION.items()}
    check_annotations(where, columns["id"], columns["image_id"], known)
    triplets = columns["keypoints"].reshape(-1, len(COCO), 3)
    visible, crowd = triplets[..., 2] > 0, columns["iscrowd"] > 0
    marked = zip(people, visible.sum(1).tolist(), strict=True)
    known_joints = np.array([one.get("num_keypoints", n) != 0 for one, n in marked], bool)
    truth = Truth(
        images=known,
        image=columns["image_id"],
        keypoints=triplets[..., :2],
        visible=visible,
        boxes=columns["bbox"],
        areas=columns["area"],
        crowd=crowd,
        counted=known_joints & ~crowd,
    )
    persons = columns["category_id"] == PERSON
    return Truth(known, *(values[persons] for values in truth[1:]))


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


def read_results(results: Iterable[dict[str, Any]], images: NDArray) -> Detections:
    """Results in COCO's format as columns.

    Args:
        results: see `coco_keypoint_ap`.
        images: (M,) ids of the images that they may be for.

    Raises:
        PosekitError: there are none, or one is of another form, image or category.
    """
    results = list(results)
    if not results or not all(isinstance(result, dict) for result in results):
        raise PosekitError("no results to score: COCO results are a list of detections, one a dict")
    image, category, keypoints, scores = (
        column("the results", results, field, shape, "COCO result", np.inf)
        for field, shape in _RESULT.items()
    )
    if (strange := ~np.isin(image, images)).any():
        raise PosekitError(
            f"COCO result {strange.argmax()} is for image {image[strange.argmax()]:.0f}, which the "
            "annotation file does not list: score the split that was predicted"
        )
    if (others := category != PERSON).any():
        raise PosekitError(
            f"COCO result {others.argmax()} has category_id {category[others.argmax()]:g}: people "
            f"are {PERSON}"
        )
    return Detections(image, keypoints.reshape(-1, len(COCO), 3)[..., :2], scores)
