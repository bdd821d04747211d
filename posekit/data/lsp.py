"""Leeds Sports Pose (2000 images) and its training extension LSPET (10000), 14 joints.

The third value of a joint means the opposite in the two files: 1 is occluded in LSP, where every
joint is annotated, and 1 is visible in LSPET, where 0 marks a joint that is missing and has junk
coordinates. Layouts: joints_2000.mat with images_2000/ and joints_10000.mat with images_10000/, or
joints.mat with images/.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.reading import MAX_IMAGE, check_shape, first_existing, load_mat, read_file, reading
from ..geometry.crops import keypoint_box
from ..geometry.skeletons import LSP
from ..metrics.score import Protocol
from .annotations import Annotations
from .dataset import DataSet, Sample
from .registry import dataset
from .sample.writers import write_lsp
from .scoring import PckScorer, Truth

_LSPET_OFFSET = 10000
# LSP's images are cut around the person with a margin of about 0.16 of the longer extent of the
# joints on each side (median of the left and upper margins of all 2000 images).
_MARGIN = 0.16
_TORSO = LSP.index("right_hip", "left_shoulder")


def read(folder: Path, split: str) -> dict[str, Any]:
    """The columns of one split: images 1 to N/2 and LSPET to train, the others to test.

    MATLAB's 1 is subtracted. The reference length is the torso, right hip to left shoulder. Boxes
    of LSP are NaN until `image_boxes` has looked at the images.

    Args:
        folder: of LSP.
        split: train or test.
    """
    points, occluded = joints(folder)
    number = np.arange(1, len(points) + 1, dtype=np.int32)
    rows = (number <= len(points) // 2) == (split == "train")
    points, occluded, number = points[rows], occluded[rows], number[rows]
    visible = np.ones(occluded.shape, bool)
    image = _names(folder, "images_2000", "im{:04d}.jpg", number)
    boxes = np.full((len(points), 4), np.nan)
    notes, extension = (), folder / "joints_10000.mat"
    if split == "train" and extension.exists():
        more, seen = _read_joints(extension, (14, 3, None), (2, 0, 1))
        extra = np.arange(1, len(more) + 1, dtype=np.int32)
        tight = keypoint_box(more, seen)
        margin = _MARGIN * (tight[:, 2:] - tight[:, :2]).max(-1, keepdims=True) * [-1, -1, 1, 1]
        points, visible = np.concatenate([points, more]), np.concatenate([visible, seen])
        occluded = np.concatenate([occluded, np.zeros(seen.shape, bool)])
        boxes = np.concatenate([boxes, tight + margin - 1])
        number = np.concatenate([number, extra + _LSPET_OFFSET])
        image = np.concatenate([image, _names(folder, "images_10000", "im{:05d}.jpg", extra)])
    elif split == "train":
        notes = ("without LSPET (no joints_10000.mat)",)
    keypoints = np.where(visible[..., None], points - 1, 0)
    torso = np.where(visible[:, _TORSO].all(1), _torso(keypoints), np.nan)
    return {
        "keypoints": keypoints.astype(np.float32),
        "visible": visible,
        "occluded": occluded,
        "boxes": boxes.astype(np.float32),
        "reference": torso.astype(np.float32),
        "sequence": number,
        "image": image,
        "notes": notes,
    }


def _truth(root: Path) -> Truth:
    points, _ = joints(dataset("LSP").need(root))
    points = points[len(points) // 2 :]
    return Truth(points, np.ones(points.shape[:2], bool), _torso(points))


def _torso(keypoints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(keypoints[:, _TORSO], axis=1)[:, 0], axis=-1)


def image_boxes(table: Annotations) -> np.ndarray:
    """Boxes (N, 4): the whole image for LSP, so that a test crop does not know the joints.

    LSPET's images are not cut around the person; its boxes, used in training only, are the
    extent of the annotated joints with LSP's usual margin, and stay as they are.
    """
    boxes = table.boxes.copy()
    whole = table.sequence <= _LSPET_OFFSET
    sizes = [_size(Path(table.images.root) / name) for name in table.image[whole].tolist()]
    boxes[whole, :2] = 0
    boxes[whole, 2:] = np.array(sizes, np.float32).reshape(-1, 2) - 1
    return boxes


def _size(path: Path) -> tuple[int, int]:
    """Width and height as the header says."""
    from PIL import Image

    data = io.BytesIO(read_file(path, "image", MAX_IMAGE))
    with reading(path, "a readable image", "replace the file"), Image.open(data) as image:
        return image.size


def joints(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The joints of LSP in the file's own 1-based coordinates, images not needed.

    Returns:
        (N, 14, 2) float64 pixels and (N, 14) bool occluded; N is 2000.
    """
    path = first_existing(folder, "joints_2000.mat", "joints.mat")
    if path is None:
        raise PosekitError(f"{folder} lacks joints_2000.mat (or joints.mat): copy it from LSP")
    return _read_joints(path, (3, 14, None), (2, 1, 0))


def _read_joints(
    path: Path, shape: tuple[int | None, ...], axes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 14, 2) and flags (N, 14) of a file, whose axes are put into this order."""
    values = load_mat(path, ["joints"])["joints"].astype(float)
    check_shape(values, shape, path, "field joints")
    keypoints, flags = np.split(values.transpose(axes), [2], axis=-1)
    if not np.isin(flags, (0, 1)).all():
        raise PosekitError(f"{path}: field joints has flags other than 0 and 1: copy it again")
    return keypoints, flags[..., 0] == 1


def _names(folder: Path, images: str, pattern: str, numbers: np.ndarray) -> np.ndarray:
    if not (folder / images).is_dir() and (folder / "images").is_dir():
        images = "images"
    return np.array([f"{images}/{pattern.format(n)}" for n in numbers.tolist()], str)


SPEC = DataSet(
    name="LSP",
    folder="LSP",
    page="https://sam.johnson.io/research/lsp.html",
    download="joints_2000.mat and images_2000/ (and, for training, joints_10000.mat and "
    "images_10000/ of https://sam.johnson.io/research/lspet.html)",
    skeleton=LSP,
    read=read,
    scorer=PckScorer(
        Protocol(
            dataset="LSP",
            name="PCK@0.2 torso",
            skeleton=LSP,
            threshold=0.2,
            sentence="PCK@0.2 of the distance right hip to left shoulder, person-centric, all 14 "
            "joints",
        ),
        truth=_truth,
        origin=1.0,
    ),
    unit="images",
    published={"train": 11000, "test": 1000},
    labels=("*.mat",),
    image_boxes=image_boxes,
    sample=Sample(write_lsp, size=(1000, 100), smoke_size=(10, 5)),
)
