"""The generated sample of MPII: images with one or two people."""

import json
from itertools import count
from pathlib import Path

import numpy as np

from ...geometry.skeletons import MPII
from .output import generator, save_image, save_mat
from .scenes import draw_scene

_STREAM = 2
_SHORT_NAMES = "rank rkne rhip lhip lkne lank pelv thor neck head rwri relb rsho lsho lelb lwri"


def write_mpii(folder: Path, train: int, test: int) -> None:
    """annot/{train,valid}.json, annot/gt_valid.mat and images/.

    Args:
        folder: of MPII, empty.
        train: people of the training split.
        test: people of the validation split.
    """
    (folder / "images").mkdir()
    (folder / "annot").mkdir()
    numbers = count(1)
    for split, size in (("train", train), ("valid", test)):
        people = []
        while len(people) < size:
            people += _draw_image(next(numbers), folder / "images")
        records, heads = zip(*people[:size], strict=True)
        path = folder / "annot" / f"{split}.json"
        path.write_text(json.dumps(records), encoding="utf-8")
    save_mat(folder / "annot" / "gt_valid.mat", _ground_truth(records, heads))


def _draw_image(index: int, folder: Path) -> list[tuple[dict, np.ndarray]]:
    """Draw one image; a record and a head box (2, 2) for each person in it."""
    rng = generator(_STREAM, index)
    people = 1 + int(rng.random() < 0.3)
    size = int(rng.integers(120, 161)), int(rng.integers(120, 161)) + 70 * (people - 1)
    scene = draw_scene(rng, size, MPII.joints, people=people, heights=(70, 115), margin=-14)
    name = f"{index:09d}.jpg"
    save_image(folder / name, scene.images[0])
    found = []
    for i, figure in enumerate(scene.people):
        annotated = scene.inside[i, 0]
        points = np.where(annotated[:, None], figure.keypoints(MPII.joints)[0] + 1, -1)
        box = figure.boxes()[0]
        record = {
            "joints_vis": annotated.astype(int).tolist(),
            "joints": points.round(4).tolist(),
            "image": name,
            "scale": round(float((box[2:] - box[:2]).max()) / 200, 6),
            "center": ((box[:2] + box[2:]) / 2 + 1).round(2).tolist(),
        }
        head = np.concatenate([part.outline[0] for part in figure.parts if part.name == "head"])
        found.append((record, np.stack([head.min(0), head.max(0)]) + 1))
    return found


def _ground_truth(records: tuple[dict, ...], heads: tuple[np.ndarray, ...]) -> dict:
    visible = np.array([r["joints_vis"] for r in records])
    return {
        "dataset_joints": np.array([_SHORT_NAMES.split()], dtype=object),
        "jnt_missing": (1 - visible).T.astype(np.uint8),
        "pos_gt_src": np.array([r["joints"] for r in records]).transpose(1, 2, 0),
        "headboxes_src": np.stack(heads, -1),
    }
