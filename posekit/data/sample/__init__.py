"""The generated sample: small stand-ins for Penn Action, LSP, MPII and COCO in their file layouts.

Made on demand where no real data lie, read by the same readers as the real files, and the same
bytes for the same version. Coordinates in the files are 1-based, those of COCO 0-based, as in the
originals.
"""

import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ...errors import PosekitError
from ...files.places import project_root
from ...geometry.skeletons import LSP, MPII, PENN_ACTION
from ..dataset import dataset as find_dataset
from . import coco
from .scenes import draw_scene

VERSION = 1
FRAMES = 8  # of a Penn sequence
_STREAMS = ("PennAction", "LSP", "MPII", "COCO")  # each has random numbers of its own


def sample_root(smoke: bool | None = None) -> Path:
    """The data root of the generated sample, whether or not it has been made.

    Args:
        smoke: the miniature for tests; None means what POSEKIT_SMOKE says.
    """
    if smoke is None:
        smoke = os.environ.get("POSEKIT_SMOKE") == "1"
    return project_root() / "data" / f".sample-{VERSION}{'-smoke' if smoke else ''}"


def ensure_sample(dataset: str, root: Path | None = None, smoke: bool = False) -> Path:
    """Make the sample of a data set unless it is there.

    Another process may do the same at the same time: the first to finish wins, and nobody sees
    half a sample.

    Args:
        dataset: name of the data set.
        root: the data root to fill; None means `sample_root(smoke)`.
        smoke: the miniature for tests.

    Returns:
        The data root.

    Raises:
        PosekitError: the data set has no sample, or the folder cannot be written.
    """
    spec = find_dataset(dataset)
    if spec.sample is None:
        raise PosekitError(f"{spec.name} has no generated sample: {spec.remedy(spec.folder)}")
    root = sample_root(smoke) if root is None else Path(root)
    target = root / spec.folder
    if target.is_dir():
        return root
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{spec.name}-", dir=root))
    except OSError as error:
        raise PosekitError(
            f"cannot write the sample to {root} ({error.strerror}): make the folder writable"
        ) from error
    try:
        spec.sample.write(work, *(spec.sample.smoke_size if smoke else spec.sample.size))
        work.chmod(0o755)
        os.replace(work, target)
    except OSError as error:
        if not target.is_dir():  # not a race that another process won
            raise PosekitError(f"cannot write the sample to {target}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return root


def _generator(dataset: str, index: int) -> np.random.Generator:
    return np.random.default_rng([VERSION, _STREAMS.index(dataset), index])


def _save_picture(path: Path, picture: np.ndarray) -> None:
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise PosekitError(f"cannot encode {path}: is this build of OpenCV without JPEG?")
    path.write_bytes(data.tobytes())


def _save_mat(path: Path, fields: dict) -> None:
    """Write a .mat file whose bytes do not tell when it was written."""
    from scipy.io import savemat

    savemat(path, fields)
    with path.open("r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file, posekit sample".ljust(116))


def write_penn_action(folder: Path, train: int, test: int) -> None:
    """frames/0001/000001.jpg ... and labels/0001.mat ..., every tenth or so a test sequence."""
    (folder / "labels").mkdir()
    tested = set(np.linspace(1, train + test, test).astype(int).tolist())
    for index in range(1, train + test + 1):
        rng = _generator("PennAction", index)
        h, w = (int(n) for n in rng.integers(16, 21, 2) * 8)
        scene = draw_scene(rng, (h, w), PENN_ACTION.joints, FRAMES)
        frames = folder / "frames" / f"{index:04d}"
        frames.mkdir(parents=True)
        for t, picture in enumerate(scene.pictures, 1):
            _save_picture(frames / f"{t:06d}.jpg", picture)
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
            "dimensions": np.array([[h, w, FRAMES]], np.uint16),
            "nframes": FRAMES,
        }
        _save_mat(folder / "labels" / f"{index:04d}.mat", fields)


def write_lsp(folder: Path, train: int, test: int) -> None:
    """joints_2000.mat with `test` images in each half; the rest of training as joints_10000.mat."""

    def still(index: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
        rng = _generator("LSP", index)
        size = tuple(int(n) for n in rng.integers(96, 145, 2))
        scene = draw_scene(rng, size, LSP.joints, heights=(90, 140), margin=6)
        _save_picture(path, scene.pictures[0])
        return scene.people[0].keypoints(LSP.joints)[0] + 1, scene.seen[0, 0]

    for name, count, start in (("2000", 2 * test, 0), ("10000", train - test, 2 * test)):
        (folder / f"images_{name}").mkdir()
        extended = name == "10000"
        digits = 5 if extended else 4
        rows = [
            still(start + i, folder / f"images_{name}" / f"im{i:0{digits}d}.jpg")
            for i in range(1, count + 1)
        ]
        points, seen = np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows])
        if extended:
            points = np.where(seen[..., None], points, -points)  # junk, as in the original
        joints = np.dstack([points, seen if extended else ~seen])
        joints = joints.transpose(1, 2, 0) if extended else joints.transpose(2, 1, 0)
        _save_mat(folder / f"joints_{name}.mat", {"joints": joints.astype(np.float64)})


def write_mpii(folder: Path, train: int, test: int) -> None:
    """annot/{train,valid}.json, annot/gt_valid.mat and images/."""
    (folder / "images").mkdir()
    (folder / "annot").mkdir()
    index = 0
    for split, wanted in (("train", train), ("valid", test)):
        records, heads = [], []
        while len(records) < wanted:
            index += 1
            found = _mpii_image(index, folder / "images")
            records += [record for record, _ in found]
            heads += [head for _, head in found]
        text = json.dumps(records[:wanted])
        (folder / "annot" / f"{split}.json").write_text(text, encoding="utf-8")
    _save_mat(folder / "annot" / "gt_valid.mat", _mpii_truth(records[:wanted], heads[:wanted]))


def _mpii_image(index: int, folder: Path) -> list[tuple[dict, np.ndarray]]:
    """Draw one image; a record and a head box (2, 2) for each person in it."""
    rng = _generator("MPII", index)
    people = 1 + int(rng.random() < 0.3)
    size = int(rng.integers(120, 161)), int(rng.integers(120, 161)) + 70 * (people - 1)
    scene = draw_scene(rng, size, MPII.joints, people=people, heights=(70, 115), margin=-14)
    name = f"{index:09d}.jpg"
    _save_picture(folder / name, scene.pictures[0])
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


def write_coco(folder: Path, train: int, test: int) -> None:
    """annotations/, images/ and person_detection_results/ of so many images."""
    coco.write(folder, train, test, partial(_generator, "COCO"), _save_picture)


_MPII_SHORT = "rank rkne rhip lhip lkne lank pelv thor neck head rwri relb rsho lsho lelb lwri"


def _mpii_truth(records: list[dict], heads: list[np.ndarray]) -> dict[str, np.ndarray]:
    visible = np.array([r["joints_vis"] for r in records])
    return {
        "dataset_joints": np.array([_MPII_SHORT.split()], dtype=object),
        "jnt_missing": (1 - visible).T.astype(np.uint8),
        "pos_gt_src": np.array([r["joints"] for r in records]).transpose(1, 2, 0),
        "headboxes_src": np.stack(heads, -1),
    }
