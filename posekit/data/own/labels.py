"""What every file of labels comes down to, and how its faults are mended: nothing in silence."""

import os
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from ...errors import PosekitError
from ...files.words import few
from ...geometry.crops import keypoint_box

_MARGIN, _LEAST = 0.15, 0.25  # about the joints, of their extent; least side, of the usual one


class Labels(NamedTuple):
    """The content of a file of labels; N rows, K joints, 0-based image pixels.

    Attributes:
        joints: names.
        image: (N,) str, as the file names it.
        keypoints: (N, K, 2) float32.
        flag: (N, K) uint8, 0 not annotated, 1 hidden, 2 seen.
        boxes: (N, 4) x1 y1 x2 y2, NaN where the file has none.
        annotation_id: (N,) int64.
        limbs: pairs of names.
        mirror: pairs of a left and a right joint, None where the file does not say.
        sigmas: fall-off constants of OKS, empty where the file does not say.
        notes: what was mended or left out, and why.
    """

    joints: tuple[str, ...]
    image: np.ndarray
    keypoints: np.ndarray
    flag: np.ndarray
    boxes: np.ndarray
    annotation_id: np.ndarray
    limbs: tuple[tuple[str, str], ...] = ()
    mirror: tuple[tuple[str, str], ...] | None = None
    sigmas: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_points(
        cls, joints: tuple, image: np.ndarray, keypoints: np.ndarray, **more: Any
    ) -> "Labels":
        """Labels of a file without boxes; keypoints are NaN where they are not annotated."""
        known = np.isfinite(keypoints).all(-1)
        return cls(
            joints=joints,
            image=image,
            keypoints=np.where(known[..., None], keypoints, 0).astype(np.float32),
            flag=np.where(known, 2, 0).astype(np.uint8),
            boxes=np.full((len(image), 4), np.nan),
            annotation_id=np.arange(1, len(image) + 1, dtype=np.int64),
            **more,
        )

    def rows(self, index: np.ndarray, *notes: str) -> "Labels":
        """The rows of an index or mask, with further notes."""
        names = ("image", "keypoints", "flag", "boxes", "annotation_id")
        chosen = {name: getattr(self, name)[index] for name in names}
        return self._replace(**chosen, notes=(*self.notes, *filter(None, notes)))


def check_joints(path: Path, joints: list[str]) -> tuple[str, ...]:
    """The names of joints.

    Raises:
        PosekitError: there are none, or two of one name.
    """
    if twice := [joint for joint in dict.fromkeys(joints) if joints.count(joint) > 1]:
        raise PosekitError(f"{path}: {few(twice)}: a joint name occurs twice: rename one of them")
    if not joints or not all(isinstance(joint, str) and joint.strip() for joint in joints):
        raise PosekitError(f"{path}: the names of the joints are missing: is this a file of poses?")
    return tuple(joints)


def mended(labels: Labels, folder: Path) -> Labels:
    """Labels whose images are found below a folder, without empty rows, all with boxes."""
    bare = ~(labels.flag > 0).any(1)
    text = f"{bare.sum()} of {len(bare)} annotations without a joint are left out"
    labels = labels.rows(~bare, text * bool(bare.any()))
    image, note = _found(labels.image, folder)
    low, high = np.split(keypoint_box(labels.keypoints, labels.flag > 0), 2, axis=1)
    side = (high - low).max(1)
    usual = np.median(side[side > 0]) if (side > 0).any() else 1.0
    half = np.maximum((high - low) / 2 + _MARGIN * side[:, None], _LEAST / 2 * usual)
    made = np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half], 1)
    lost = ~(labels.boxes[:, 2:] > labels.boxes[:, :2]).all(1)
    boxes = np.where(lost[:, None], made, labels.boxes).astype(np.float32)
    text = f"{lost.sum()} of {len(lost)} boxes are missing or empty: made from the joints, with "
    text += f"{_MARGIN:.0%} of their extent on every side"
    order = np.argsort(image, kind="stable")
    return labels._replace(image=image, boxes=boxes).rows(order, note, text * bool(lost.any()))


def _found(image: np.ndarray, folder: Path) -> tuple[np.ndarray, str]:
    """Images (N,) by their paths below a folder, and what was mended in the names.

    A name is looked for as it is, then without its first folders, one after another.
    """
    there = {
        Path(place, file).relative_to(folder).as_posix()
        for place, _, files in os.walk(folder)
        for file in files
    }
    names, changed = {}, []
    for name in np.unique(image).tolist():
        parts = PureWindowsPath(name).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        names[name] = next((end for end in ends if end in there), name)
        changed += [name] * (names[name] != name)
    note = f"{len(changed)} images are found by the end of their path alone ({few(changed)})"
    found = np.array([names[name] for name in image.tolist()], str)
    return found, note * bool(changed)
