"""Joints of every data set: names, flip pairs and limbs, as data.

Sides are the person's own (person-centric): the right shoulder is the one beside the person's
right arm, whichever way the person faces. Index order is that of the data set's own files.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..errors import PosekitError


@dataclass(frozen=True)
class Skeleton:
    """The joints of one data set.

    Attributes:
        name: the name `posekit.skeleton` knows it by.
        joints: the K joint names in file order.
        limbs: pairs of joint names that are drawn as bones.
        groups: column of a PCK table -> joints that are counted in it.
        sigmas: the K fall-off constants of OKS, empty where the data set defines none.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    groups: dict[str, tuple[str, ...]] = field(hash=False)
    sigmas: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, *joints: str) -> list[int]:
        """Positions of the named joints."""
        return [self.joints.index(joint) for joint in joints]

    @cached_property
    def flip(self) -> np.ndarray:
        """(K,) index that swaps left and right: `keypoints[:, flip]` fit the mirror image."""
        sides = {"left": "right", "right": "left"}
        parts = [joint.partition("_") for joint in self.joints]
        return np.array(self.index(*("".join((sides.get(s, s), *rest)) for s, *rest in parts)))

    @cached_property
    def limb_indices(self) -> list[tuple[int, int]]:
        """The limbs as pairs of joint positions."""
        return [tuple(self.index(*limb)) for limb in self.limbs]


def _both(*kinds: str, sides: tuple[str, str] = ("left", "right")) -> tuple[str, ...]:
    return tuple(f"{side}_{kind}" for kind in kinds for side in sides)


_KINDS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_LEGS = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle")
_RIGHT_ARM = ("right_wrist", "right_elbow", "right_shoulder")
_ARMS = (*_RIGHT_ARM, "left_shoulder", "left_elbow", "left_wrist")
_LIMBS = (
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for limb in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
        for side in ("right", "left")
        for a, b in pairwise(limb)
    ),
    ("right_shoulder", "left_shoulder"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_hip", "left_hip"),
)
_LIMB_GROUPS = {kind.capitalize(): _both(kind) for kind in _KINDS}

LSP = Skeleton(
    "lsp",
    (*_LEGS, *_ARMS, "neck", "head_top"),
    (("head_top", "neck"), *_LIMBS),
    {"Head": ("neck", "head_top"), **_LIMB_GROUPS},
)
MPII = Skeleton(
    "mpii",
    (*_LEGS, "pelvis", "thorax", "upper_neck", "head_top", *_ARMS),
    (*pairwise(("head_top", "upper_neck", "thorax", "pelvis")), *_LIMBS),
    {"Head": ("head_top",), **_LIMB_GROUPS},
)
PENN_ACTION = Skeleton(
    "penn_action",
    ("head", *_both(*_KINDS, sides=("right", "left"))),
    (("head", "right_shoulder"), ("head", "left_shoulder"), *_LIMBS),
    {"Head": ("head",), **_LIMB_GROUPS},
)
POSE_MACHINE = Skeleton(
    "pose_machine",
    (*_LEGS, "left_elbow", "left_wrist", "neck", "head_top", *_RIGHT_ARM, "left_shoulder"),
    (("head_top", "neck"), *_LIMBS),
    {"Head": ("head_top",), **_LIMB_GROUPS},
)
_EYES, _EARS = _both("eye"), _both("ear")
COCO = Skeleton(
    "coco",
    ("nose", *_EYES, *_EARS, *_both(*_KINDS)),
    (*(("nose", eye) for eye in _EYES), *zip(_EYES, _EARS, strict=True), *_LIMBS),
    {"Head": ("nose", *_EYES, *_EARS), **_LIMB_GROUPS},
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
        0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
    ),
)  # fmt: skip

SKELETONS = {s.name: s for s in (COCO, MPII, LSP, PENN_ACTION, POSE_MACHINE)}
USUAL_SKELETON = {17: "coco", 16: "mpii"}  # what a number of joints usually means

_SAME_JOINT = {"head": "head_top", "upper_neck": "neck"}
_ABOUT_NECK = ("head_top", "right_shoulder", "left_shoulder")


def skeleton(name: str) -> Skeleton:
    """Look a skeleton up by name: coco, mpii, lsp, penn_action or pose_machine."""
    if name not in SKELETONS:
        raise PosekitError(f"unknown skeleton {name!r}: choose one of {', '.join(SKELETONS)}")
    return SKELETONS[name]


def convert(
    keypoints: np.ndarray, visible: np.ndarray, source: Skeleton, target: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """Re-order joints by name from one skeleton to another.

    A neck that the source lacks is put between head and shoulders the way caffe LPM does for
    Penn Action: x = 0.5 head + 0.25 (shoulders), y = 0.2 head + 0.4 (shoulders), visible when all
    three are. Any other joint that the source lacks comes out as NaN and invisible.

    Args:
        keypoints: (..., K_source, 2) in any pixels.
        visible: (..., K_source) bool.

    Returns:
        (..., K_target, 2) keypoints and (..., K_target) visibility.
    """
    if source is target:
        return keypoints, visible
    names, wanted = ([_SAME_JOINT.get(j, j) for j in s.joints] for s in (source, target))
    known = {joint: i for i, joint in enumerate(names)}
    out = np.full((*keypoints.shape[:-2], len(target), 2), np.nan, dtype=np.float32)
    out_visible = np.zeros((*visible.shape[:-1], len(target)), dtype=bool)
    for k, joint in enumerate(wanted):
        if joint in known:
            out[..., k, :] = keypoints[..., known[joint], :]
            out_visible[..., k] = visible[..., known[joint]]
        elif joint == "neck" and known.keys() >= set(_ABOUT_NECK):
            three = [known[j] for j in _ABOUT_NECK]
            weights = np.array([[0.5, 0.2], [0.25, 0.4], [0.25, 0.4]])
            out[..., k, :] = (keypoints[..., three, :] * weights).sum(-2)
            out_visible[..., k] = visible[..., three].all(-1)
    return out, out_visible
