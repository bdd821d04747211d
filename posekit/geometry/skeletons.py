"""Joints of every data set: names, flip pairs and limbs, as data.

Sides are the person's own (person-centric): the right shoulder is the one beside the person's
right arm, whichever way the person faces. Index order is that of the data set's own files.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from pydantic import TypeAdapter, ValidationError

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
        mirror: pairs of a left and a right joint; None for those named left_ and right_.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    groups: dict[str, tuple[str, ...]] = field(hash=False)
    sigmas: tuple[float, ...] = ()
    mirror: tuple[tuple[str, str], ...] | None = None

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def words(self) -> list[str]:
        """The joints as tables and figures name them."""
        return [joint.replace("_", " ") for joint in self.joints]

    def index(self, *joints: str) -> list[int]:
        """Positions of the named joints."""
        return [self.joints.index(joint) for joint in joints]

    @cached_property
    def sides(self) -> dict[str, str]:
        """Left or right, of the joints that have a side."""
        pairs = mirror_pairs(self.joints) if self.mirror is None else self.mirror
        return {
            joint: side for p in pairs for joint, side in zip(p, ("left", "right"), strict=True)
        }

    @cached_property
    def flip(self) -> np.ndarray:
        """(K,) index that swaps left and right: `keypoints[:, flip]` fit the mirror image."""
        order, paired = np.arange(len(self)), np.array(self.index(*self.sides), int).reshape(-1, 2)
        order[paired] = paired[:, ::-1]
        return order

    @property
    def address(self) -> str:
        """What `skeleton` finds it by in any process: its name, or its definition as JSON."""
        if self.name in _OURS:
            return self.name
        return json.dumps(asdict(self), separators=(",", ":")).replace("+", "\\u002b")

    @property
    def of_people(self) -> bool:
        """Whether a detector of people helps: they have wrists, other animals are given paws."""
        return any("wrist" in joint.lower() for joint in self.joints)

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


_OURS = frozenset(SKELETONS)
_SIDE = re.compile(r"left|right|(?:^|(?<=[_\-. \d]))[lr](?=[_\-. \d]|$)", re.I)
_CAPITAL = re.compile(r"^[LR](?=[A-Z])|(?<=[a-z\d])[LR]$")  # LPaw, pawL


def skeleton(name: str) -> Skeleton:
    """Look a skeleton up by name, or by the definition that its `address` is.

    Raises:
        PosekitError: there is none of this name, or the definition makes none.
    """
    if name in SKELETONS:
        return SKELETONS[name]
    if not name.startswith("{"):
        known = ", ".join(SKELETONS)
        raise PosekitError(f"unknown skeleton {name[:40]!r}: choose one of {known}")
    try:
        found = TypeAdapter(Skeleton).validate_json(name)
        pairs = (*found.limbs, *(found.mirror or ()), *found.groups.values())
        strange = {joint for pair in pairs for joint in pair} - {*found.joints}
        if strange or len({*found.joints}) < len(found) or len(found.sigmas) not in (0, len(found)):
            raise PosekitError(f"skeleton {found.name[:40]}: its joints do not fit together")
    except ValidationError as error:
        raise PosekitError(f"this is no skeleton: {error.errors()[0]['msg']}") from None
    known = SKELETONS.setdefault(found.name, found)
    if known.joints != found.joints:
        raise PosekitError(f"the skeleton {found.name[:40]} exists with other joints")
    return known


def mirror_pairs(joints: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of a left and a right joint that names tell: left/right, L/R, _l/_r.

    Args:
        joints: names, such as left_paw, paw_l, L.paw, LPaw or pawLeft beside those of the right.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for joint in joints:
        kind, side = kind_and_side(joint)
        found.setdefault(kind.lower(), {"l": [], "r": [], "": []})[side].append(joint)
    both = [sides for sides in found.values() if len(sides["l"]) == len(sides["r"]) == 1]
    return tuple((sides["l"][0], sides["r"][0]) for sides in both)


def kind_and_side(joint: str) -> tuple[str, str]:
    """The name of a joint without its side, and l, r or nothing."""
    if match := _SIDE.search(joint) or _CAPITAL.search(joint):
        rest = joint[: match.start()], joint[match.end() :]
        return "_".join(filter(None, (part.strip("_-. ") for part in rest))), match[0][0].lower()
    return joint, ""


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
