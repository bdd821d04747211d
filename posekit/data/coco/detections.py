"""COCO's people as a person detector found them: boxes and scores, no joints."""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import PosekitError
from ...files.cache import cached
from ...files.reading import column, id_column, load_records
from ...geometry.skeletons import COCO
from ...metrics.coco_ap import PERSON
from .reader import DETECTIONS, SETS, image_names, label_file, labels, position

_COLUMNS = ("image", "boxes", "score")


def read_detections(folder: Path, split: str) -> dict[str, Any]:
    """The columns of the people that a detector has found, image by image, without joints.

    Boxes are as found, with x2 = x + width, and may reach out of the image.

    Args:
        folder: of COCO, with the detections that HRNet and Simple Baselines publish.
        split: test.

    Raises:
        PosekitError: there are no detections, or they are of other images.
    """
    path = folder / DETECTIONS
    if split != "test":
        problem = f"COCO has detections for the test split (val2017), not for {split}"
        raise PosekitError(f"{problem}: use the ground-truth boxes")
    if not path.is_file():
        publishers = "HRNet and Simple Baselines publish"
        raise PosekitError(f"{path} is missing: put the person detections there that {publishers}")
    images = labels(folder, split)["images"]
    found = cached("coco-detections", path, 1, [path], _COLUMNS, lambda: _read_columns(path))
    known = np.isin(found["image"], images)
    if not known.any():
        problem = f"no detection in the {len(images)} images of {label_file(folder, split)}"
        raise PosekitError(f"{path} has {problem}: both must be of {SETS[split]}")
    sides = found["boxes"][:, 2:] - found["boxes"][:, :2]
    rows = np.flatnonzero(known & (found["score"] >= 0) & (sides > 0).all(-1))
    rows = rows[np.argsort(position(images, found["image"][rows]), kind="stable")]
    image = found["image"][rows]
    notes = []
    if empty := len(images) - len(np.unique(image)):
        notes.append(f"{empty} of {len(images)} images have no detected person")
    if strange := int((~known).sum()):
        notes.append(f"{strange} detections in images without labels are left out")
    return {
        "keypoints": np.zeros((len(rows), len(COCO), 2), np.float32),
        "visible": np.zeros((len(rows), len(COCO)), bool),
        "boxes": found["boxes"][rows],
        "reference": np.full(len(rows), np.nan, np.float32),
        "image": image_names(split, image),
        "image_id": image,
        "score": found["score"][rows],
        "notes": tuple(notes),
    }


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    records = load_records(path)
    people = column(path, records, "category_id", (), "detection") == PERSON
    low, size = np.split(column(path, records, "bbox", (4,), "detection"), 2, axis=1)
    return {
        "image": id_column(path, records, "image_id", "detection")[people],
        "boxes": np.concatenate([low, low + size], 1)[people].astype(np.float32),
        "score": column(path, records, "score", (), "detection")[people].astype(np.float32),
    }
