"""COCO 2017 keypoints: people in everyday images, 17 joints; the test split is val2017.

Facts of the files: coordinates are 0-based, a third value of 0 means not annotated, 1 hidden and 2
seen. Crowds carry no keypoints. Copies in the wild repeat the record of an image. Of test-dev the
images are listed and nobody is annotated: its people are those that a detector found.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import PosekitError
from ...files.reading import MAX_PIXELS, column, id_column, load_json, load_records
from ...files.writing import cached
from ...geometry.crops import clean_boxes
from ...geometry.skeletons import COCO
from ...metrics.coco_ap import PERSON, check_annotations, sections
from ..dataset import EmptySplit
from ..registry import dataset

SETS = {"train": "train2017", "test": "val2017", "test-dev": "test2017"}
UNSCORED = {"test-dev": "annotations/image_info_test-dev2017.json"}
DETECTIONS = {
    "test": "person_detection_results/COCO_val2017_detections_AP_H_56_person.json",
    "test-dev": "person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json",
}


def read(folder: Path, split: str) -> dict[str, Any]:
    """The columns of the people with keypoints of one split, image by image.

    Left out are crowds, people without an annotated keypoint, and boxes of which nothing is left
    inside the image. Boxes are cut to the image the way the reference implementations of the
    top-down papers do it: x2 = min(w - 1, x + width - 1), so the width of a box is x2 - x1. Each
    person is a sequence of one frame, numbered from 1. The reference length is the square root of
    the annotated area.

    Args:
        folder: of COCO.
        split: train (train2017), test (val2017), or test-dev, whose people are detected ones.

    Raises:
        PosekitError: the file of the labels is missing, damaged or another one.
    """
    if split in UNSCORED:
        return read_detections(folder, split)
    truth = labels(folder, split)
    flag = truth["flag"]
    return {
        "keypoints": truth["keypoints"],
        "visible": flag > 0,
        "occluded": flag == 1,
        "boxes": truth["boxes"],
        "reference": np.sqrt(truth["area"]),
        "image": image_names(split, truth["image"]),
        "image_id": truth["image"],
        "annotation_id": truth["annotation"],
    }


def read_detections(folder: Path, split: str, path: Path | None = None) -> dict[str, Any]:
    """The columns of the people that a detector has found, image by image, without joints.

    Boxes are as found, with x2 = x + width, and may reach out of the image.

    Args:
        folder: of COCO, with the detections that HRNet and Simple Baselines publish.
        split: test or test-dev.
        path: other detections, a list of records with image_id, category_id, bbox and score.

    Raises:
        PosekitError: there are no detections, or they are of other images.
    """
    path = path or folder / DETECTIONS[split]
    if not path.is_file():
        remedy = "put the person detections there that HRNet and Simple Baselines publish"
        raise PosekitError(f"{path} is missing: {remedy}, or name others as box_file")
    images = labels(folder, split)["images"]
    found = cached("coco-detections", path, 1, [path], lambda: _read_found(path))
    known = np.isin(found["image"], images)
    if not known.any():
        problem = f"no detection in the {len(images)} images of {split} ({SETS[split]})"
        raise PosekitError(f"{path} has {problem}: take detections of that split")
    sides = found["boxes"][:, 2:] - found["boxes"][:, :2]
    rows = np.flatnonzero(known & (found["score"] >= 0) & (sides > 0).all(-1))
    rows = rows[np.argsort(_position(images, found["image"][rows]), kind="stable")]
    image = found["image"][rows]
    notes = [f"people as {path.name} has found them"]
    if empty := len(images) - len(np.unique(image)):
        notes.append(f"{empty} of {len(images)} images have no detected person")
    if strange := int((~known).sum()):
        notes.append(f"{strange} detections in images without labels are left out")
    return {
        "boxes": found["boxes"][rows],
        "image": image_names(split, image),
        "image_id": image,
        "score": found["score"][rows],
        "notes": tuple(notes),
    }


def _read_found(path: Path) -> dict[str, np.ndarray]:
    records = load_records(path)
    people = column(path, records, "category_id", (), "detection") == PERSON
    low, size = np.split(column(path, records, "bbox", (4,), "detection"), 2, axis=1)
    return {
        "image": id_column(path, records, "image_id", "detection")[people],
        "boxes": np.concatenate([low, low + size], 1)[people].astype(np.float32),
        "score": column(path, records, "score", (), "detection")[people].astype(np.float32),
    }


def label_file(folder: Path, split: str) -> Path:
    """The file of the labels of a split below the folder of COCO.

    Raises:
        PosekitError: it is not there.
    """
    path = folder / "annotations" / f"person_keypoints_{SETS[split]}.json"
    if not path.is_file():
        raise EmptySplit(f"{path} is missing. {dataset('COCO').remedy(folder)}")
    return path


def image_names(split: str, image: np.ndarray) -> np.ndarray:
    """The files (N,) of images of a split below the folder of COCO, by their ids (N,)."""
    return np.array([f"images/{SETS[split]}/{i:012d}.jpg" for i in image.tolist()], str)


def labels(folder: Path, split: str) -> dict[str, np.ndarray]:
    """Columns of a file of labels: `images` are the ids of all images, `image` those of people.

    Of test-dev there are the images alone.
    """
    if split in UNSCORED:
        path = folder / UNSCORED[split]
        return {"images": _image_sizes(path, *sections(path, load_json(path), ["images"]))[0]}
    path = label_file(folder, split)
    return cached("coco", path, 2, [path], lambda: _read_labels(path))


def _read_labels(path: Path) -> dict[str, np.ndarray]:
    categories, images, records = sections(path, load_json(path))
    if [r.get("keypoints") for r in categories if r.get("id") == PERSON] != [list(COCO.joints)]:
        raise PosekitError(
            f"{path}: field categories does not describe a person with the {len(COCO)} keypoints "
            "of COCO: take annotations/person_keypoints_*.json"
        )
    ids, sizes = _image_sizes(path, images)
    image, annotation = (id_column(path, records, n, "annotation") for n in ("image_id", "id"))
    check_annotations(path, annotation, image, ids)

    def numbers(field: str, shape: tuple[int, ...] = (), limit: float = MAX_PIXELS) -> np.ndarray:
        return column(path, records, field, shape, "annotation", limit)

    joints = numbers("keypoints", (3 * len(COCO),)).reshape(-1, len(COCO), 3)
    flag = joints[..., 2]
    if (bad := ~np.isin(flag, (0, 1, 2)).all(-1)).any():
        problem = "has visibilities other than 0, 1 and 2 in the field keypoints"
        raise PosekitError(f"{path}: annotation {bad.argmax()} {problem}: copy the file again")
    place = _position(ids, image)
    boxes, inside = clean_boxes(numbers("bbox", (4,)), sizes[place])
    area = numbers("area", limit=MAX_PIXELS**2)
    inside &= (boxes[:, 2:] > boxes[:, :2]).any(-1)  # a box of one pixel has no scale
    single = (numbers("category_id") == PERSON) & (numbers("iscrowd") == 0)
    rows = np.flatnonzero(single & (flag > 0).any(-1) & (area > 0) & inside)
    rows = rows[np.argsort(place[rows], kind="stable")]
    return {
        "images": ids,
        "image": image[rows],
        "annotation": annotation[rows],
        "keypoints": np.where(flag[..., None] > 0, joints[..., :2], 0)[rows].astype(np.float32),
        "flag": flag[rows].astype(np.uint8),
        "boxes": boxes[rows].astype(np.float32),
        "area": area[rows].astype(np.float32),
    }


def _image_sizes(path: Path, images: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Ids (M,) and sizes (M, 2) as (h, w) of the images, each once, in file order."""
    ids = id_column(path, images, "id", "image")
    sizes = np.stack([column(path, images, side, (), "image") for side in ("height", "width")], -1)
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    if (clash := (sizes != sizes[first[which]]).any(-1)).any():
        problem = f"field images has several sizes for the id {ids[clash][0]}"
        raise PosekitError(f"{path}: {problem}: copy it again")
    keep = np.sort(first)
    return ids[keep], sizes[keep]


def _position(ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Where each of the chosen ids, all of them known, stands in ids."""
    order = np.argsort(ids)
    return order[np.searchsorted(ids, chosen, sorter=order)]
