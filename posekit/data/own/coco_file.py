"""Keypoints in COCO's form with any skeleton, as Label Studio, CVAT and others export them."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import PosekitError
from ...files.reading import column, id_column, load_json
from ...files.words import few
from ...files.writing import write_text
from ...geometry.skeletons import Skeleton
from ...metrics.coco_ap import sections
from .labels import Labels, check_joints


def read(path: Path, category: str | None = None) -> Labels:
    """The labels of a file in COCO's form.

    Args:
        path: of the json.
        category: name of the one that is read, where several have keypoints.

    Raises:
        PosekitError: the file is damaged, or no single category has keypoints.
    """
    categories, images, records = sections(path, load_json(path))
    chosen, notes = _category(path, categories, category)
    joints = check_joints(path, list(chosen["keypoints"]))
    names = dict(zip(id_column(path, images, "id", "image").tolist(), images, strict=True))
    kept, left = _kept(records, chosen["id"], names.keys())
    notes += left
    points = column(path, kept, "keypoints", (3 * len(joints),), "annotation")
    points = points.reshape(-1, len(joints), 3)
    flag = points[..., 2]
    if odd := int((~np.isin(flag, (0, 1, 2))).sum()):
        notes.append(f"{odd} joints have a visibility other than 0, 1 and 2: 3 is read as seen")
    flag = np.clip(np.floor(flag), 0, 2).astype(np.uint8)
    given = [record if record.get("bbox") else {"bbox": (0, 0, 0, 0)} for record in kept]
    low, size = np.split(column(path, given, "bbox", (4,), "annotation"), 2, axis=1)
    boxes = np.concatenate([low, low + size], 1)
    files = [str(names[record["image_id"]].get("file_name")) for record in kept]
    sigmas = chosen.get("sigmas") or ()
    return Labels(
        joints=joints,
        limbs=_limbs(path, chosen.get("skeleton") or [], joints, notes),
        mirror=None,
        sigmas=tuple(column(path, [chosen], "sigmas", (len(joints),))[0]) if len(sigmas) else (),
        image=np.array(files, str),
        keypoints=np.where(flag[..., None] > 0, points[..., :2], 0).astype(np.float32),
        flag=flag,
        boxes=np.where((size > 0).all(1, keepdims=True), boxes, np.nan),
        annotation_id=_ids(kept, notes),
        notes=tuple(notes),
    )


def _kept(records: list[dict], category: int, images: Collection) -> tuple[list[dict], list[str]]:
    """The annotations that are read, and notes of those that are left out."""
    notes = []
    for why, wrong in {
        "of other categories": lambda one: one.get("category_id") != category,
        "of crowds": lambda one: one.get("iscrowd"),
        "of images that are not listed": lambda one: one.get("image_id") not in images,
        "without joints": lambda one: not one.get("keypoints"),
    }.items():
        kept = [one for one in records if not wrong(one)]
        if count := len(records) - len(kept):
            notes.append(f"{count} annotations {why} are left out")
        records = kept
    return records, notes


def _category(
    path: Path, categories: list[dict], name: str | None
) -> tuple[dict[str, Any], list[str]]:
    """The category that is read, and a note of those without keypoints."""
    posed = {str(c.get("name")): c for c in categories if c.get("keypoints")}
    others = [str(c.get("name")) for c in categories if not c.get("keypoints")]
    if not posed:
        raise PosekitError(f"{path}: no category has keypoints: export poses, not boxes alone")
    if name is None and len(posed) > 1:
        raise PosekitError(f"{path} has several categories: set category to {' or '.join(posed)}")
    if name not in (None, *posed):
        raise PosekitError(f"category={name!r}: {path} has {', '.join(posed)}")
    note = [f"categories without keypoints are left out: {few(others)}"] * bool(others)
    return posed[name or next(iter(posed))], note


def _limbs(path: Path, pairs: list, joints: tuple[str, ...], notes: list[str]) -> tuple:
    """Pairs of names; numbers count from 1, as COCO has it, unless one of them is 0."""
    rows = [{"skeleton": pair} for pair in pairs]
    links = column(path, rows, "skeleton", (2,), "link").astype(int) - 1
    if (links < 0).any():
        notes.append("the links of the skeleton count the joints from 0, not from 1 as in COCO")
        links += 1
    if (links < 0).any() or (links >= len(joints)).any():
        many = f"the {len(joints)} there are"
        raise PosekitError(f"{path}: field skeleton names a joint beyond {many}")
    return tuple((joints[a], joints[b]) for a, b in links.tolist())


def _ids(records: list[dict], notes: list[str]) -> np.ndarray:
    ids = [record.get("id") for record in records]
    if len(set(ids)) == len(ids) and all(type(i) is int and 0 <= i < 1e12 for i in ids):
        return np.array(ids, np.int64)
    notes.append("annotations lack an id or share one: numbered anew")
    return np.arange(1, len(ids) + 1, dtype=np.int64)


def write(
    path: Path,
    skeleton: Skeleton,
    image: np.ndarray,
    keypoints: np.ndarray,
    flag: np.ndarray,
    boxes: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> None:
    """Write labels or predictions in COCO's form, with their skeleton.

    Args:
        path: of the json.
        skeleton: of K joints.
        image: (N,) files of the images.
        keypoints: (N, K, 2).
        flag: (N, K), 0 not annotated, 1 hidden, 2 seen.
        boxes: (N, 4) x1 y1 x2 y2.
        scores: (N,) of predictions.
    """
    files, number = np.unique(image, return_inverse=True)
    triplets = np.concatenate([np.where(flag[..., None] > 0, keypoints, 0), flag[..., None]], -1)
    people = pd.DataFrame({"id": np.arange(len(image)) + 1, "image_id": number + 1})
    people = people.assign(category_id=1, iscrowd=0, num_keypoints=(flag > 0).sum(1))
    people["keypoints"] = triplets.reshape(len(image), -1).round(3).tolist()
    if boxes is not None:
        corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        people["bbox"] = corner_and_size.round(3).tolist()
    if scores is not None:
        people["score"] = scores
    category = {"id": 1, "name": skeleton.name, "keypoints": skeleton.joints}
    category["skeleton"] = [[a + 1, b + 1] for a, b in skeleton.limb_indices]
    images = [{"id": i, "file_name": file} for i, file in enumerate(files.tolist(), 1)]
    content = {"images": images, "annotations": people.to_dict("records")}
    write_text(path, json.dumps(content | {"categories": [category]}))
