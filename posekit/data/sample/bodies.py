"""Bodies of the people in the generated sample: convex parts with clothes, hair and face.

No part is coloured by its side: face, hair and collar show front and back, and left and right
follow from them.
"""

from dataclasses import dataclass

import numpy as np

from .motion import SIDES

_ARC = np.linspace(-np.pi / 2, np.pi / 2, 7)
_SKIN = np.array([(150, 185, 232), (120, 160, 215), (90, 130, 190), (60, 95, 150), (45, 65, 105)])
_CLOTHES = ((30, 240), (20, 210), (10, 90), (15, 230))  # shirt, trousers, hair, shoes
_HEAD = 0.064  # half the width of a head, as a fraction of the height
_EYE = 0.14  # of an eye from the middle of the face, as a fraction of the head's height
_TORSO = ("right_shoulder", "left_shoulder", "right_hip", "left_hip")
# Limb radius at both ends, as a fraction of the height.
_RADII = {
    "neck": (0.030, 0.027),
    "upper_arm": (0.042, 0.033),
    "forearm": (0.033, 0.025),
    "hand": (0.027, 0.023),
    "thigh": (0.055, 0.040),
    "shin": (0.039, 0.024),
    "foot": (0.025, 0.020),
}


@dataclass(frozen=True)
class Part:
    """A convex piece of a person.

    Attributes:
        name: such as left_thigh.
        outline: (T, P, 2) polygons, image pixels.
        radius: half its thickness, image pixels.
        colour: (3,) BGR.
    """

    name: str
    outline: np.ndarray
    radius: float
    colour: np.ndarray


@dataclass(frozen=True)
class Figure:
    """One person over T frames.

    Attributes:
        joints: joint name -> (T, 2) image pixels, pixel centres at integers.
        parts: in drawing order, the farthest first.
        front: the person faces the camera.
        height: standing height in image pixels.
        face: eyes, nose and ears -> (T, 2) image pixels, also in a view from the back.
    """

    joints: dict[str, np.ndarray]
    parts: list[Part]
    front: bool
    height: float
    face: dict[str, np.ndarray]

    def keypoints(self, names: tuple[str, ...]) -> np.ndarray:
        """The named joints, (T, K, 2)."""
        known = self.joints | self.face
        return np.stack([known[name] for name in names], 1)

    def boxes(self) -> np.ndarray:
        """The extent (T, 4) of the drawn body, image pixels."""
        points = np.concatenate([part.outline for part in self.parts], 1)
        return np.concatenate([points.min(1), points.max(1)], 1)


def dress(
    rng: np.random.Generator, joints: dict[str, np.ndarray], height: float, front: bool
) -> Figure:
    """Make the drawn body of a pose.

    Args:
        rng: the person's own generator.
        joints: joint name -> (T, 2), image pixels, as placed in the image.
        height: image pixels.
        front: facing the camera.
    """
    joints = dict(joints)
    gaze = joints.pop("gaze") * (1 if front else -1)
    build = height * rng.uniform(0.92, 1.15)
    skin = _SKIN[rng.integers(len(_SKIN))] * rng.uniform(0.9, 1.08)
    shirt, trousers, hair, shoe = (rng.uniform(low, high, 3) for low, high in _CLOTHES)
    shin = skin if rng.random() < 0.35 else trousers

    def limb(name: str, a: str, b: str, colour: np.ndarray) -> Part:
        ra, rb = (build * r for r in _RADII[name.removeprefix("left_").removeprefix("right_")])
        return Part(name, capsule(joints[a], joints[b], ra, rb), rb, colour)

    def arm(side: str) -> list[Part]:
        return [
            limb(f"{side}_upper_arm", f"{side}_shoulder", f"{side}_elbow", shirt),
            limb(f"{side}_forearm", f"{side}_elbow", f"{side}_wrist", skin),
            limb(f"{side}_hand", f"{side}_wrist", f"{side}_hand", skin),
        ]

    def leg(side: str) -> list[Part]:
        return [
            limb(f"{side}_foot", f"{side}_ankle", f"{side}_foot", shoe),
            limb(f"{side}_shin", f"{side}_knee", f"{side}_ankle", shin),
            limb(f"{side}_thigh", f"{side}_hip", f"{side}_knee", trousers),
        ]

    trunk = [
        _hull("pelvis", joints, ("right_hip", "left_hip"), 0.05 * build, trousers),
        _hull("torso", joints, _TORSO, 0.04 * build, shirt),
    ]
    head = _Head.of(joints, gaze, size=_HEAD * build)
    top = [limb("neck", "thorax", "upper_neck", skin)]
    top += [_neckline(joints, 0.02 * build, skin)] if front else []
    top += head.parts(skin, hair, front)
    first, second = rng.permutation(SIDES)
    near = [rng.random() < (0.85 if front else 0.5) for _ in SIDES]
    arms = [(arm(side), over) for side, over in zip((first, second), near, strict=True)]
    behind = [part for parts, over in arms if not over for part in parts]
    before = [part for parts, over in arms if over for part in parts]
    parts = [*behind, *leg(first), *leg(second), *trunk, *top, *before]
    return Figure(joints, parts, front, height, head.face(front))


def _hull(
    name: str,
    joints: dict[str, np.ndarray],
    corners: tuple[str, ...],
    radius: float,
    colour: np.ndarray,
) -> Part:
    """The convex hull of discs around joints, as polygons of a fixed number of points."""
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    away = np.stack([np.cos(turn), np.sin(turn)], -1)  # the hull is the farthest point each way
    points = np.stack([joints[corner] for corner in corners], 1)
    farthest = np.einsum("tkc,pc->tpk", points, away).argmax(-1)
    outline = np.take_along_axis(points, farthest[..., None], 1) + radius * away
    return Part(name, outline, 2 * radius, colour)


def _neckline(joints: dict[str, np.ndarray], radius: float, colour: np.ndarray) -> Part:
    """The open collar that a shirt has in front."""
    top, bottom = joints["thorax"], joints["pelvis"]
    outline = capsule(top, top + 0.34 * (bottom - top), 2 * radius, 0.5 * radius)
    return Part("torso", outline, radius, colour)


@dataclass(frozen=True)
class _Head:
    """Where a head lies, (T, 2) each, image pixels.

    Attributes:
        chin: the upper neck.
        axis: from chin to top.
        across: as long as the axis, to its side.
        shift: of the face, towards where the person looks.
        size: half the width.
    """

    chin: np.ndarray
    axis: np.ndarray
    across: np.ndarray
    shift: np.ndarray
    size: float

    @classmethod
    def of(cls, joints: dict[str, np.ndarray], gaze: np.ndarray, size: float) -> "_Head":
        axis = joints["head_top"] - joints["upper_neck"]
        across = np.stack([-axis[:, 1], axis[:, 0]], -1)
        return cls(joints["upper_neck"], axis, across, 0.25 * size * gaze, size)

    def parts(self, skin: np.ndarray, hair: np.ndarray, front: bool) -> list[Part]:
        """Skull with hair; the face, its eyes and mouth only from the front."""

        def feature(a: float, b: float, radius: float, colour: np.ndarray, x: float = 0) -> Part:
            start, shift = self.chin, x * self.across + self.shift
            a, b = start + a * self.axis + shift, start + b * self.axis + shift
            return Part("head", capsule(a, b, radius, radius), radius, colour)

        nape = self.chin + (0.4 if front else -0.1) * self.axis  # hair hangs down behind
        crown = self.chin + 0.5 * self.axis + 0.08 * self.axis
        size, dark = self.size, skin * 0.3
        skull = Part("head", capsule(nape, crown, size * 0.92, size), size, hair)
        if not front:
            return [skull]
        return [
            skull,
            feature(0.33, 0.5, size * 0.78, skin),
            feature(0.5, 0.54, size * 0.11, dark, _EYE),
            feature(0.5, 0.54, size * 0.11, dark, -_EYE),
            feature(0.2, 0.22, size * 0.1, dark),
        ]

    def face(self, front: bool) -> dict[str, np.ndarray]:
        """Eyes, nose and ears of the drawn head: person-centric, (T, 2) each."""
        chin, axis, across = self.chin, self.axis, self.across
        beside = 0.85 * self.size * across / np.linalg.norm(across, axis=-1, keepdims=True)
        face = {"nose": chin + 0.37 * axis + 1.3 * self.shift}
        for side in SIDES:
            x = 1 if (side == "left") == front else -1
            face[f"{side}_eye"] = chin + 0.52 * axis + x * _EYE * across + self.shift
            face[f"{side}_ear"] = chin + 0.45 * axis + x * beside
        return face


def capsule(a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """Outline of a limb between discs of radius ra and rb: (..., 2), (..., 2) -> (..., P, 2)."""
    along = b - a
    angle = np.arctan2(along[..., 1], along[..., 0])[..., None]
    far, near = angle + _ARC, angle + _ARC + np.pi
    end = b[..., None, :] + rb * np.stack([np.cos(far), np.sin(far)], -1)
    start = a[..., None, :] + ra * np.stack([np.cos(near), np.sin(near)], -1)
    return np.concatenate([end, start], -2)
