"""Writers of the sample of Penn Action, LSP and MPII, and what those of COCO share with them.

Files have constant bytes: random numbers come from the number of the image or sequence alone.
"""

import json
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from ...errors import PosekitError
from ...geometry.skeletons import LSP, MPII, PENN_ACTION
from .scenes import draw_scene

VERSION = 1
_PENN_ACTION, _LSP, _MPII = 0, 1, 2  # streams of random numbers
_FRAMES = 8  # of a video
_SHORT_NAMES = "rank rkne rhip lhip lkne lank pelv thor neck head rwri relb rsho lsho lelb lwri"


def generator(stream: int, index: int) -> np.random.Generator:
    """The generator of one image or sequence; every data set has a stream of its own."""
    return np.random.default_rng([VERSION, stream, index])


def save_image(path: Path, image: np.ndarray) -> None:
    """Write an image (h, w, 3) BGR as JPEG."""
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise PosekitError(f"cannot encode {path}: is this build of OpenCV without JPEG?")
    path.write_bytes(encoded.tobytes())


def _save_mat(path: Path, fields: dict) -> None:
    """Write a .mat file without the time of writing in its header."""
    from scipy.io import savemat

    savemat(path, fields)
    with path.open("r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file, posekit sample".ljust(116))


def write_penn_action(folder: Path, train: int, test: int) -> None:
    """frames/0001/000001.jpg ... and labels/0001.mat ... of so many sequences.

    Each is a video of one moving person. The test sequences are spread evenly.

    Args:
        folder: of Penn Action, empty.
        train: training sequences.
        test: test sequences.
    """
    (folder / "labels").mkdir()
    tested = set(np.linspace(1, train + test, test).astype(int).tolist())
    for index in range(1, train + test + 1):
        rng = generator(_PENN_ACTION, index)
        h, w = (int(n) for n in rng.integers(16, 21, 2) * 8)
        scene = draw_scene(rng, (h, w), PENN_ACTION.joints, _FRAMES)
        frames = folder / "frames" / f"{index:04d}"
        frames.mkdir(parents=True)
        for t, image in enumerate(scene.images, 1):
            save_image(frames / f"{t:06d}.jpg", image)
        figure = scene.people[0]
        points = figure.keypoints(PENN_ACTION.joints) + 1
        boxes = figure.boxes() + rng.uniform(0, 3, 4) * (-1, -1, 1, 1)
        fields = {
            "action": scene.action,
            "pose": "front" if figure.front else "back",
            "x": points[..., 0],
            "y": points[..., 1],
            "visibility": scene.seen[0].astype(np.uint8),
            "train": -1 if index in tested else 1,
            "bbox": np.clip(boxes, 0, (w - 1, h - 1, w - 1, h - 1)) + 1,
            "dimensions": np.array([[h, w, _FRAMES]], np.uint16),
            "nframes": _FRAMES,
        }
        _save_mat(folder / "labels" / f"{index:04d}.mat", fields)


def write_lsp(folder: Path, train: int, test: int) -> None:
    """joints_2000.mat, joints_10000.mat and their images of one person.

    Half of joints_2000 are the test images; the other half and all of joints_10000 are for
    training.

    Args:
        folder: of LSP, empty.
        train: training images, at least as many as for testing.
        test: test images.
    """
    points, seen = _draw_lsp(folder / "images_2000", "im{:04d}.jpg", range(1, 2 * test + 1))
    joints = np.dstack([points, ~seen]).transpose(2, 1, 0)  # 1 is occluded
    _save_mat(folder / "joints_2000.mat", {"joints": joints.astype(np.float64)})
    numbers = range(2 * test + 1, train + test + 1)
    points, seen = _draw_lsp(folder / "images_10000", "im{:05d}.jpg", numbers)
    # 1 is visible, and hidden joints have useless coordinates, as in the original.
    joints = np.dstack([np.where(seen[..., None], points, -points), seen]).transpose(1, 2, 0)
    _save_mat(folder / "joints_10000.mat", {"joints": joints.astype(np.float64)})


def _draw_lsp(folder: Path, file: str, numbers: range) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of these numbers; joints (N, 14, 2), 1-based, and which are seen (N, 14)."""
    folder.mkdir()
    points, seen = [], []
    for i, number in enumerate(numbers, 1):
        rng = generator(_LSP, number)
        size = tuple(int(n) for n in rng.integers(96, 145, 2))
        scene = draw_scene(rng, size, LSP.joints, heights=(90, 140), margin=6)
        save_image(folder / file.format(i), scene.images[0])
        points.append(scene.people[0].keypoints(LSP.joints)[0] + 1)
        seen.append(scene.seen[0, 0])
    return np.stack(points), np.stack(seen)


def write_mpii(folder: Path, train: int, test: int) -> None:
    """annot/{train,valid}.json, annot/gt_valid.mat and images/ of one or two people.

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
            people += _draw_mpii(next(numbers), folder / "images")
        records, heads = zip(*people[:size], strict=True)
        path = folder / "annot" / f"{split}.json"
        path.write_text(json.dumps(records), encoding="utf-8")
    visible = np.array([record["joints_vis"] for record in records])
    truth = {
        "dataset_joints": np.array([_SHORT_NAMES.split()], dtype=object),
        "jnt_missing": (1 - visible).T.astype(np.uint8),
        "pos_gt_src": np.array([record["joints"] for record in records]).transpose(1, 2, 0),
        "headboxes_src": np.stack(heads, -1),
    }
    _save_mat(folder / "annot" / "gt_valid.mat", truth)


def _draw_mpii(index: int, folder: Path) -> list[tuple[dict, np.ndarray]]:
    """Draw one image; a record and a head box (2, 2) for each person in it."""
    rng = generator(_MPII, index)
    people = 1 + int(rng.random() < 0.3)
    size = int(rng.integers(120, 161)), int(rng.integers(120, 161)) + 70 * (people - 1)
    scene = draw_scene(rng, size, MPII.joints, people=people, heights=(70, 115), margin=-14)
    name = f"{index:09d}.jpg"
    save_image(folder / name, scene.images[0])
    found = []
    for figure, annotated in zip(scene.people, scene.inside[:, 0], strict=True):
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
