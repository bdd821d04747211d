"""COCO 2017 keypoints: people in everyday pictures, 17 joints; the test split is val2017.

Facts of the files: coordinates are 0-based, a third value of 0 means not annotated, 1 hidden and 2
seen. Crowds carry no keypoints. Copies in the wild repeat the record of an image. Boxes are either
the annotators' or those of a person detector, which have no truth beside them.
"""

import os
from pathlib import Path

import numpy as np

from ..errors import PosekitError
from ..files.cache import cached
from ..files.reading import column, id_column, load_json, load_records
from ..geometry.crops import clean_boxes
from ..geometry.skeletons import COCO
from .annotations import Annotations, Folder
from .folders import EmptySplit, need_folder, remedy

SETS = {"train": "train2017", "test": "val2017"}
DETECTIONS = "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
PERSON = 1  # category id
_SCHEMA = 1  # of the cached columns
_TRUTH = ("images", "image", "keypoints", "flag", "boxes", "area")
_FOUND = ("image", "boxes", "score")


def read(folder: Path, split: str, source: str) -> Annotations:
    """The people with keypoints of one split, image by image; images are not looked at.

    Left out are crowds, people without an annotated keypoint, and boxes of which nothing is left
    inside the picture. Boxes are cut to the picture the way the reference implementations of the
    top-down papers do it: x2 = min(w - 1, x + width - 1), so the width of a box is x2 - x1. Each
    person is a sequence of one frame, numbered from 1. The reference length is the square root of
    the annotated area.

    Args:
        folder: of COCO.
        split: train (train2017) or test (val2017).
        source: real or sample.

    Raises:
        PosekitError: the file of the labels is missing, damaged or another one.
    """
    truth = _truth(folder, split)
    flag = truth["flag"]
    return Annotations(
        dataset="COCO",
        split=split,
        source=source,
        skeleton=COCO,
        keypoints=truth["keypoints"],
        visible=flag > 0,
        occluded=flag == 1,
        boxes=truth["boxes"],
        reference=np.sqrt(truth["area"]),
        sequence=np.arange(1, len(flag) + 1, dtype=np.int32),
        frame=np.ones(len(flag), np.int32),
        image=_names(split, truth["image"]),
        images=Folder(folder),
    )


def read_detections(folder: Path, split: str, source: str) -> Annotations:
    """The people that a detector has found, image by image; nothing is known of their joints.

    Boxes are as found, with x2 = x + width, and may reach out of the picture.

    Args:
        folder: of COCO, with the detections that HRNet and Simple Baselines publish.
        split: test.
        source: real or sample.

    Raises:
        PosekitError: there are no detections, or they are of other images.
    """
    path = folder / DETECTIONS
    if split != "test":
        raise PosekitError(
            f"COCO has detections for the test split (val2017) only, not for {split}: use the "
            "ground-truth boxes"
        )
    if not path.is_file():
        raise PosekitError(
            f"{path} is missing: put the person detections there that HRNet and Simple Baselines "
            "publish, or use the ground-truth boxes"
        )
    images = _truth(folder, split)["images"]
    found = cached("coco-detections", path, _stamp(path), _FOUND, lambda: _read_found(path))
    known = np.isin(found["image"], images)
    if not known.any():
        raise PosekitError(
            f"{path} has no detection in the {len(images)} images of "
            f"{_labels(folder, split)}: both must be of {SETS[split]}"
        )
    sides = found["boxes"][:, 2:] - found["boxes"][:, :2]
    rows = np.flatnonzero(known & (found["score"] >= 0) & (sides > 0).all(-1))
    rows = rows[np.argsort(_position(images, found["image"][rows]), kind="stable")]
    image = found["image"][rows]
    notes = []
    if empty := len(images) - len(np.unique(image)):
        notes.append(f"{empty} of {len(images)} images have no detected person")
    if strange := int((~known).sum()):
        notes.append(f"{strange} detections in images without labels are left out")
    return Annotations(
        dataset="COCO",
        split=split,
        source=source,
        skeleton=COCO,
        keypoints=np.zeros((len(rows), len(COCO), 2), np.float32),
        visible=np.zeros((len(rows), len(COCO)), bool),
        occluded=np.zeros((len(rows), len(COCO)), bool),
        boxes=found["boxes"][rows],
        reference=np.full(len(rows), np.nan, np.float32),
        sequence=np.arange(1, len(rows) + 1, dtype=np.int32),
        frame=np.ones(len(rows), np.int32),
        image=_names(split, image),
        images=Folder(folder),
        notes=tuple(notes),
        score=found["score"][rows],
    )


def set_of(people: Annotations) -> str:
    """The split that people's pictures are of, train or test, whatever they are used for."""
    folder = Path(people.image[0]).parent.name if len(people) else SETS["test"]
    return next(split for split, name in SETS.items() if name == folder)


def pictured(root: Path, split: str) -> tuple[np.ndarray, int]:
    """Ids of the images of a split whose pictures are there, and the number of all its images."""
    folder = need_folder(root, "COCO")
    ids = _truth(folder, split)["images"]
    there = {entry.name for entry in os.scandir(folder / "images" / SETS[split])}
    return np.array([i for i in ids.tolist() if f"{i:012d}.jpg" in there], int), len(ids)


def annotation_file(root: Path, split: str) -> Path:
    """The file of the labels of a split, for the official evaluation.

    Args:
        root: the data root, the folder that holds coco.
        split: train or test.

    Raises:
        PosekitError: it is not there.
    """
    return _labels(need_folder(root, "COCO"), split)


def _labels(folder: Path, split: str) -> Path:
    path = folder / "annotations" / f"person_keypoints_{SETS[split]}.json"
    if not path.is_file():
        raise EmptySplit(f"{path} is missing. {remedy('COCO', folder)}")
    return path


def _names(split: str, image: np.ndarray) -> np.ndarray:
    return np.array([f"images/{SETS[split]}/{i:012d}.jpg" for i in image.tolist()], str)


def _truth(folder: Path, split: str) -> dict[str, np.ndarray]:
    path = _labels(folder, split)
    return cached("coco", path, _stamp(path), _TRUTH, lambda: _read_truth(path))


def _stamp(path: Path) -> tuple[int, str, int, int]:
    stat = path.stat()
    return _SCHEMA, path.name, stat.st_size, stat.st_mtime_ns


def _read_truth(path: Path) -> dict[str, np.ndarray]:
    """Columns of a file of labels; `images` are the ids of all images, `image` those of people."""
    sections = _sections(path)
    ids, sizes = _image_sizes(path, sections["images"])
    records = sections["annotations"]
    image = id_column(path, records, "image_id", "annotation")
    _check_annotations(path, image, ids, id_column(path, records, "id", "annotation"))

    def numbers(field: str, shape: tuple[int, ...] = ()) -> np.ndarray:
        return column(path, records, field, shape, "annotation")

    joints = numbers("keypoints", (3 * len(COCO),)).reshape(-1, len(COCO), 3)
    flag = joints[..., 2]
    if not np.isin(flag, (0, 1, 2)).all():
        bad = int(np.flatnonzero(~np.isin(flag, (0, 1, 2)).all(-1))[0])
        raise PosekitError(
            f"{path}: annotation {bad} has visibilities other than 0, 1 and 2 in the field "
            "keypoints: copy the file again"
        )
    place = _position(ids, image)
    boxes, inside = clean_boxes(numbers("bbox", (4,)), sizes[place])
    area = numbers("area")
    inside &= (boxes[:, 2:] > boxes[:, :2]).any(-1)  # a box of one pixel has no scale
    single = (numbers("category_id") == PERSON) & (numbers("iscrowd") == 0)
    rows = np.flatnonzero(single & (flag > 0).any(-1) & (area > 0) & inside)
    rows = rows[np.argsort(place[rows], kind="stable")]
    return {
        "images": ids,
        "image": image[rows],
        "keypoints": np.where(flag[..., None] > 0, joints[..., :2], 0)[rows].astype(np.float32),
        "flag": flag[rows].astype(np.uint8),
        "boxes": boxes[rows].astype(np.float32),
        "area": area[rows].astype(np.float32),
    }


def _check_annotations(path: Path, image: np.ndarray, ids: np.ndarray, number: np.ndarray) -> None:
    strange = np.flatnonzero(~np.isin(image, ids))
    if len(strange):
        raise PosekitError(
            f"{path}: annotation {strange[0]} has the image_id {image[strange[0]]}, which the "
            "field images lacks: copy the file again"
        )
    once, count = np.unique(number, return_counts=True)
    if len(once) < len(number):
        raise PosekitError(
            f"{path}: {count.max()} annotations share the id {once[count.argmax()]}: remove the "
            "repeated ones or copy the file again"
        )


def _sections(path: Path) -> dict[str, list[dict]]:
    content = load_json(path)
    sections = {}
    for name in ("categories", "images", "annotations"):
        section = content.get(name) if isinstance(content, dict) else None
        if not isinstance(section, list) or not all(isinstance(r, dict) for r in section):
            raise PosekitError(
                f"{path}: field {name} is not a list of records: is this "
                "annotations/person_keypoints_*.json of COCO?"
            )
        sections[name] = section
    joints = [r.get("keypoints") for r in sections["categories"] if r.get("id") == PERSON]
    if joints != [list(COCO.joints)]:
        raise PosekitError(
            f"{path}: field categories does not describe a person with the {len(COCO)} keypoints "
            "of COCO: take annotations/person_keypoints_*.json"
        )
    return sections


def _image_sizes(path: Path, images: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Ids (M,) and sizes (M, 2) as (h, w) of the images, each once, in file order."""
    ids = id_column(path, images, "id", "image")
    sizes = np.stack([column(path, images, side, (), "image") for side in ("height", "width")], -1)
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    if (clash := (sizes != sizes[first[which]]).any(-1)).any():
        raise PosekitError(
            f"{path}: field images has several sizes for the id {ids[clash][0]}: copy it again"
        )
    keep = np.sort(first)
    return ids[keep], sizes[keep]


def _position(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted id, all of them known, stands in ids."""
    order = np.argsort(ids)
    return order[np.searchsorted(ids, wanted, sorter=order)]


def _read_found(path: Path) -> dict[str, np.ndarray]:
    records = load_records(path)
    people = column(path, records, "category_id", (), "detection") == PERSON
    low, size = np.split(column(path, records, "bbox", (4,), "detection"), 2, axis=1)
    columns = {
        "image": id_column(path, records, "image_id", "detection"),
        "boxes": np.concatenate([low, low + size], 1).astype(np.float32),
        "score": column(path, records, "score", (), "detection").astype(np.float32),
    }
    return {name: values[people] for name, values in columns.items()}
