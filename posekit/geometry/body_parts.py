"""Body parts as boxes around joints, in the pixels that the keypoints are in.

The boxes are those of 'Tilting at windmills': tight around the joints of a part where all are
there, guessed from those that are there otherwise.
"""

from functools import lru_cache

import numpy as np

from .skeletons import POSE_MACHINE, Skeleton, convert

PARTS = ("head", "torso", "left_arm", "right_arm", "hip", "left_leg", "right_leg")
HALVES = ("left_side", "right_side", "upper_body", "lower_body")
_LIMBS = {
    f"{side}_{limb}": tuple(f"{side}_{joint}" for joint in joints)
    for limb, joints in (("arm", ("shoulder", "elbow", "wrist")), ("leg", ("hip", "knee", "ankle")))
    for side in ("left", "right")
}  # from one end to the other
_KINDS = {
    "hip": ("hip",),
    "torso": ("shoulder", "hip"),
    "upper_body": ("shoulder", "elbow", "wrist", "hip"),
    "lower_body": ("hip", "knee", "ankle"),
}  # joints of both sides
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_SKULL = ("head_top", "head", "upper_neck", "neck")
_SPREAD = 0.25  # least width of a guessed box as a share of its height, and the other way round
_FACE_MARGIN = 1.2


@lru_cache(maxsize=256)
def part_joints(part: str, skeleton: Skeleton) -> list[int]:
    """Positions of the joints that a part's box is drawn around; those of a limb in order.

    None where the skeleton does not have the whole limb.
    """
    names, limb = skeleton.joints, _LIMBS.get(part)
    if limb:
        return skeleton.index(*limb) if set(limb) <= set(names) else []
    if part in ("left_side", "right_side"):
        return [i for i, joint in enumerate(names) if joint.startswith(part[:-4])]
    chosen = [i for i, j in enumerate(names) if j.partition("_")[2] in _KINDS.get(part, ())]
    if part in ("head", "upper_body"):
        head = _FACE if "nose" in names else _SKULL
        chosen += [i for i, joint in enumerate(names) if joint in head]
    return chosen


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
    there = present[joints]
    points = keypoints[joints][there]
    if len(points) < 2:
        return None
    if part == "hip" or (part == "head" and "nose" not in skeleton.joints):
        widths = _span(points[0], points[-1]) * ((2, 2) if part == "hip" else (2, 1))
        return _around(points.mean(0), widths)
    if part in _LIMBS and not there.all():
        if there[1]:  # the middle one and an end
            return _around(keypoints[joints[1]], 2 * _span(*points))
        return _around(points.mean(0), _span(*points))
    low, high = points.min(0), points.max(0)
    return _around((low + high) / 2, (high - low) * (_FACE_MARGIN if part == "head" else 1))


def _span(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distance = np.abs(a - b)
    return np.maximum(distance, _SPREAD * distance[::-1])


def _around(centre: np.ndarray, widths: np.ndarray) -> np.ndarray:
    return np.concatenate([centre - widths / 2, centre + widths / 2])
