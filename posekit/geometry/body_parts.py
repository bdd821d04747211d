"""Body parts as boxes around joints, in the pixels that the keypoints are in.

The boxes are those of 'Tilting at windmills': tight
around the joints of a part where all are there, guessed from those that are there otherwise.
"""

from functools import lru_cache

import numpy as np

from .skeletons import POSE_MACHINE, Skeleton, convert

PARTS = ("head", "torso", "left_arm", "right_arm", "hip", "left_leg", "right_leg")
HALVES = ("left_side", "right_side", "upper_body", "lower_body")
LIMBS = {
    f"{side}_{limb}": tuple(f"{side}_{joint}" for joint in joints)
    for limb, joints in (("arm", ("shoulder", "elbow", "wrist")), ("leg", ("hip", "knee", "ankle")))
    for side in ("left", "right")
}  # from one end to the other
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_SKULL = ("head_top", "head", "upper_neck", "neck")
_SPREAD = 0.25  # least width of a guessed box as a share of its height, and the other way round
_FACE_MARGIN = 1.2


def part_joints(part: str, skeleton: Skeleton) -> list[int]:
    """Positions of the joints that a part's box is drawn around; those of a limb in order."""
    return _joints(part, skeleton.joints)


@lru_cache(maxsize=256)
def _joints(part: str, names: tuple[str, ...]) -> list[int]:
    head = [i for i, j in enumerate(names) if j in (_FACE if "nose" in names else _SKULL)]
    if part in LIMBS:
        return [names.index(joint) for joint in LIMBS[part]]
    if part == "head":
        return head
    if part in ("left_side", "right_side"):
        return [i for i, joint in enumerate(names) if joint.startswith(part[:-4])]
    kinds = {
        "hip": ("hip",),
        "torso": ("shoulder", "hip"),
        "upper_body": ("shoulder", "elbow", "wrist", "hip"),
        "lower_body": ("hip", "knee", "ankle"),
    }[part]
    chosen = [i for i, j in enumerate(names) if "_" in j and j.partition("_")[2] in kinds]
    return chosen + (head if part == "upper_body" else [])


def part_box(
    part: str, keypoints: np.ndarray, present: np.ndarray, skeleton: Skeleton
) -> np.ndarray | None:
    """The box around a part of one person.

    Args:
        part: one of `PARTS` or `HALVES`.
        keypoints: (K, 2) in any pixels.
        present: (K,) bool, joints that may be used.
        skeleton: the K joints.

    Returns:
        (4,) as x1 y1 x2 y2 in the same pixels, perhaps without width; None where too few joints
        are there.
    """
    if "head" in skeleton.joints:  # Penn Action: a head without a neck
        keypoints, present = convert(keypoints, present, skeleton, POSE_MACHINE)
        skeleton = POSE_MACHINE
    joints = part_joints(part, skeleton)
    points, there = keypoints[joints], present[joints]
    face = "nose" in skeleton.joints
    if part == "hip" or (part == "head" and not face):
        if not there.all():
            return None
        return _around(points.mean(0), _span(*points) * ((2, 2) if part == "hip" else (2, 1)))
    if part in LIMBS and not there.all():
        return _part_of_limb(points, there)
    if there.sum() < 2:
        return None
    low, high = points[there].min(0), points[there].max(0)
    return _around((low + high) / 2, (high - low) * (_FACE_MARGIN if part == "head" else 1))


def _part_of_limb(points: np.ndarray, there: np.ndarray) -> np.ndarray | None:
    """A box from two of a limb's three joints."""
    if there.sum() < 2:
        return None
    ends = points[there]
    if not there[1]:
        return _around(ends.mean(0), _span(*ends))
    return _around(points[1], 2 * _span(*ends))


def _span(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distance = np.abs(a - b)
    return np.maximum(distance, _SPREAD * distance[::-1])


def _around(centre: np.ndarray, widths: np.ndarray) -> np.ndarray:
    return np.concatenate([centre - widths / 2, centre + widths / 2])
