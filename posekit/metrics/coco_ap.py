"""COCO's annotation files and results as columns for the keypoint AP, and back.

What pycocotools would stumble over, or score wrongly without a word, is refused.
"""

import contextlib
import io
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from ..errors import PosekitError
from ..files.reading import MAX_PIXELS, column, load_json, reading
from ..files.writing import cached
from ..geometry.skeletons import COCO
from .keypoint_ap import COCO_METRICS, Detections, Truth, match, summarise

PERSON = 1  # category id
_SECTIONS = ("categories", "images", "annotations")
_TRIPLETS = (3 * len(COCO),)  # x, y and flag or score of the joints
# What records are asked for, and the shapes of it.
_ANNOTATION = dict.fromkeys(("id", "image_id", "category_id", "iscrowd", "area"), ())
_ANNOTATION |= {"bbox": (4,), "keypoints": _TRIPLETS}
_LIMITS = dict.fromkeys(("bbox", "keypoints", "score"), MAX_PIXELS) | {"area": MAX_PIXELS**2}
_RESULT = {"image_id": (), "category_id": (), "keypoints": _TRIPLETS, "score": ()}


def result_texts(found: Detections) -> list[str]:
    """The records of a file in COCO's results format, one text a detection."""
    triplets = np.concatenate([found.keypoints, found.joint_scores[..., None]], -1)
    rows = to_json(triplets.reshape(-1, 3 * triplets.shape[1]).tolist(), inf_nan_mode="constants")
    joints = rows.decode().replace(",", ", ")[2:-2].split("], [")
    scores = json.dumps(found.scores.tolist())[1:-1].split(", ")
    return [
        f'{{"image_id": {image}, "category_id": {PERSON}, "keypoints": [{row}], "score": {score}}}'
        for image, row, score in zip(found.image.tolist(), joints, scores, strict=False)
    ]


def coco_keypoint_ap(
    gt: str | Path | dict[str, Any],
    results: Sequence[dict[str, Any]],
    image_ids: Collection[int] | None = None,
    evaluator: Literal["posekit", "pycocotools"] = "posekit",
) -> dict[str, float]:
    """Keypoint AP of COCO; both evaluators give the same numbers.

    Args:
        gt: person_keypoints_*.json, or its content.
        results: dicts with image_id, category_id, keypoints (51 numbers) and score; what else they
            hold is not looked at.
        image_ids: score these images alone; all of the file otherwise.
        evaluator: posekit, which is the faster, or pycocotools.

    Returns:
        The ten numbers of `COCO_METRICS`, 0..1; -1 where a size class has nobody.

    Raises:
        PosekitError: the file is not a keypoint annotation file, or results do not fit it.
    """
    truth = read_truth(gt)
    if image_ids is not None and (strange := sorted(set(image_ids) - set(truth.images.tolist()))):
        raise PosekitError(f"image_ids {strange[:5]} are not in the annotation file")
    matches = match(truth, read_results(results))
    if evaluator not in ("posekit", "pycocotools"):
        raise PosekitError(f"the evaluator {evaluator!r}: choose posekit or pycocotools")
    if evaluator == "pycocotools":
        return _by_pycocotools(gt, results, image_ids)
    return summarise(matches, image_ids)


def _by_pycocotools(
    gt: str | Path | dict[str, Any], results: list[dict], image_ids: Collection[int] | None
) -> dict[str, float]:
    """The ten numbers of checked content; pycocotools writes into what it is given."""
    from pycocotools.coco import COCO as Index
    from pycocotools.cocoeval import COCOeval

    index, content = Index(), gt if isinstance(gt, dict) else load_json(Path(gt))
    people = [{"num_keypoints": sum(p["keypoints"][2::3])} | p for p in content["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()):
        index.dataset = content | {"annotations": people}
        index.createIndex()
        evaluation = COCOeval(index, index.loadRes([dict(one) for one in results]), "keypoints")
        evaluation.params.catIds = [PERSON]
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_METRICS, map(float, evaluation.stats), strict=True))


def read_truth(gt: str | Path | dict[str, Any]) -> Truth:
    """The people of an annotation file, crowds and those without joints too.

    Args:
        gt: person_keypoints_*.json, whose columns are cached, or its content.

    Raises:
        PosekitError: it is not a keypoint annotation file.
    """
    if isinstance(gt, dict):
        return _truth("the annotations", gt)
    path = Path(gt)
    with reading(path, "a readable file of annotations"):
        return Truth(**cached("coco-truth", path, 1, [path], lambda: _columns(path)))


def _columns(path: Path) -> dict[str, NDArray]:
    return _truth(path, load_json(path))._asdict()


def _truth(where: str | Path, content: object) -> Truth:
    categories, images, people = sections(where, content)
    if not any(record.get("id") == PERSON for record in categories):
        raise PosekitError(f"{where} has no category {PERSON}: use COCO's person_keypoints_*.json")
    known = np.unique(column(where, images, "id", (), "image", np.inf))
    columns = {
        n: column(where, people, n, s, "annotation", _LIMITS.get(n, np.inf))
        for n, s in _ANNOTATION.items()
    }
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


def sections(
    where: str | Path, content: object, names: Sequence[str] = _SECTIONS
) -> list[list[dict]]:
    """The records of an annotation file, section by section.

    Raises:
        PosekitError: one of them is not a list of records.
    """
    found = []
    for name in names:
        records = content.get(name) if isinstance(content, dict) else None
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise PosekitError(
                f"{where}: field {name} is not a list of records: use COCO's own files in "
                "annotations/, such as person_keypoints_*.json"
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


def read_results(results: Iterable[dict[str, Any]]) -> Detections:
    """Results in COCO's format as columns.

    Args:
        results: see `coco_keypoint_ap`.

    Raises:
        PosekitError: one of them is of another form or category.
    """
    results = list(results)
    if not all(isinstance(result, dict) for result in results):
        raise PosekitError("no results: COCO results are a list of detections, one a dict")
    image, category, keypoints, scores = (
        column("the results", results, field, shape, "COCO result", _LIMITS.get(field, np.inf))
        for field, shape in _RESULT.items()
    )
    if (others := category != PERSON).any():
        raise PosekitError(
            f"COCO result {others.argmax()} has category_id {category[others.argmax()]:g}: people "
            f"are {PERSON}"
        )
    return Detections(image, keypoints.reshape(-1, len(COCO), 3)[..., :2], scores)
