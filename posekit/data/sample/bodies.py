"""Bodies of the people in the generated sample: convex parts with clothes, hair and face.

No part is coloured by its side: face, hair and collar show front and back, and left and right
follow from them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .motion import SIDES, Joints

_ARC = np.linspace(-np.pi / 2, np.pi / 2, 7)
_SKIN = np.array([(150, 185, 232), (120, 160, 215), (90, 130, 190), (60, 95, 150), (45, 65, 105)])
_CLOTHES = ((30, 240), (20, 210), (10, 90), (15, 230))  # shirt, trousers, hair, shoes
_HEAD = 0.064  # half the width of a head, as a fraction of the height
_EYE = 0.14  # of an eye from the middle of the face, as a fraction of the head's height
_TORSO = ("right_shoulder", "left_shoulder", "right_hip", "left_hip")
# Limbs in drawing order: their ends, and the radius at both as a fraction of the height.
_ARM = {
    "upper_arm": ("shoulder", "elbow", 0.042, 0.033),
    "forearm": ("elbow", "wrist", 0.033, 0.025),
    "hand": ("wrist", "hand", 0.027, 0.023),
}
_LEG = {
    "foot": ("ankle", "foot", 0.025, 0.020),
    "shin": ("knee", "ankle", 0.039, 0.024),
    "thigh": ("hip", "knee", 0.055, 0.040),
}


class Part(NamedTuple):
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


class Figure(NamedTuple):
    """One person over T frames.

    Attributes:
        joints: joint name -> (T, 2) image pixels, pixel centres at integers.
        parts: in drawing order, the farthest first.
        front: the person faces the camera.
        height: standing height in image pixels.
        face: eyes, nose and ears -> (T, 2) image pixels, also in a view from the back.
    """

    joints: Joints
    parts: list[Part]
    front: bool
    height: float
    face: Joints

    def keypoints(self, names: Sequence[str]) -> np.ndarray:
        """The named joints, (T, K, 2)."""
        known = self.joints | self.face
        return np.stack([known[name] for name in names], 1)

    def boxes(self) -> np.ndarray:
        """The extent (T, 4) of the drawn body, image pixels."""
        points = np.concatenate([part.outline for part in self.parts], 1)
        return np.concatenate([points.min(1), points.max(1)], 1)


def dress(rng: Generator, joints: Joints, height: float, front: bool) -> Figure:
    """Make the drawn body of a pose.

    Args:
        rng: the person's own generator.
        joints: joint name -> (T, 2), image pixels, as placed in the image, and the gaze.
        height: image pixels.
        front: facing the camera.
    """
    joints = dict(joints)
    gaze = joints.pop("gaze") * (1 if front else -1)
    build = height * rng.uniform(0.92, 1.15)
    skin = _SKIN[rng.integers(len(_SKIN))] * rng.uniform(0.9, 1.08)
    shirt, trousers, hair, shoe = (rng.uniform(low, high, 3) for low, high in _CLOTHES)
    shin = skin if rng.random() < 0.35 else trousers

    colours = {"upper_arm": shirt, "thigh": trousers, "shin": shin, "foot": shoe}

    def limb(side: str, pieces: dict[str, tuple]) -> Iterator[Part]:
        for name, (a, b, ra, rb) in pieces.items():
            ends = joints[side + a], joints[side + b]
            yield _piece(side + name, ends, (build * ra, build * rb), colours.get(name, skin))

    def trunk(part: str, corners: Sequence[str], radius: float, colour: np.ndarray) -> Part:
        points = np.stack([joints[corner] for corner in corners], 1)
        return Part(part, _hull(points, radius * build), 2 * radius * build, colour)

    thorax, neck = joints["thorax"], joints["upper_neck"]
    top = [_piece("neck", (thorax, neck), (0.030 * build, 0.027 * build), skin)]
    if front:  # the open collar of a shirt
        down, radius = 0.34 * (joints["pelvis"] - thorax), 0.02 * build
        outline = capsule(thorax, thorax + down, 2 * radius, 0.5 * radius)
        top.append(Part("torso", outline, radius, skin))
    head, face = _head(joints, gaze, _HEAD * build, skin, hair, front)
    first, second = (f"{side}_" for side in rng.permutation(SIDES))
    near = [rng.random() < (0.85 if front else 0.5) for _ in SIDES]
    arms = list(zip((first, second), near, strict=True))
    parts = [
        *(part for side, over in arms if not over for part in limb(side, _ARM)),
        *limb(first, _LEG),
        *limb(second, _LEG),
        trunk("pelvis", _TORSO[2:], 0.05, trousers),
        trunk("torso", _TORSO, 0.04, shirt),
        *top,
        *head,
        *(part for side, over in arms if over for part in limb(side, _ARM)),
    ]
    return Figure(joints, parts, front, height, face)


def _hull(points: np.ndarray, radius: float) -> np.ndarray:
    """The convex hull of discs around points (T, K, 2), as polygons (T, P, 2)."""
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    away = np.stack([np.cos(turn), np.sin(turn)], -1)  # the hull is the farthest point each way
    farthest = np.einsum("tkc,pc->tpk", points, away).argmax(-1)
    return np.take_along_axis(points, farthest[..., None], 1) + radius * away


def _head(
    joints: Joints, gaze: np.ndarray, size: float, skin: np.ndarray, hair: np.ndarray, front: bool
) -> tuple[list[Part], Joints]:
    """A head and where its eyes, nose and ears are, person-centric.

    Args:
        joints: joint name -> (T, 2).
        gaze: (T, 2), which moves the face to where the person looks.
        size: half the width.
        skin: colour.
        hair: colour.
        front: the face, its eyes and mouth are drawn.
    """
    chin = joints["upper_neck"]
    axis = joints["head_top"] - chin
    across = np.stack([-axis[:, 1], axis[:, 0]], -1)
    shift, dark = 0.25 * size * gaze, skin * 0.3

    def feature(a: float, b: float, radius: float, colour: np.ndarray, x: float = 0) -> Part:
        middle = x * across + shift
        ends = chin + a * axis + middle, chin + b * axis + middle
        return _piece("head", ends, (radius, radius), colour)

    nape = chin + (0.4 if front else -0.1) * axis  # hair hangs down behind
    crown = chin + 0.5 * axis + 0.08 * axis
    parts = [_piece("head", (nape, crown), (size * 0.92, size), hair)]
    if front:
        parts += [
            feature(0.33, 0.5, size * 0.78, skin),
            feature(0.5, 0.54, size * 0.11, dark, _EYE),
            feature(0.5, 0.54, size * 0.11, dark, -_EYE),
            feature(0.2, 0.22, size * 0.1, dark),
        ]
    beside = 0.85 * size * across / np.linalg.norm(across, axis=-1, keepdims=True)
    face = {"nose": chin + 0.37 * axis + 1.3 * shift}
    for side in SIDES:
        x = 1 if (side == "left") == front else -1
        face[f"{side}_eye"] = chin + 0.52 * axis + x * _EYE * across + shift
        face[f"{side}_ear"] = chin + 0.45 * axis + x * beside
    return parts, face


def _piece(
    name: str, ends: Sequence[np.ndarray], radii: Sequence[float], colour: np.ndarray
) -> Part:
    return Part(name, capsule(*ends, *radii), radii[1], colour)


def capsule(a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """Outline of a limb between discs of radius ra and rb: (..., 2), (..., 2) -> (..., P, 2)."""
    along = b - a
    angle = np.arctan2(along[..., 1], along[..., 0])[..., None]
    far, near = angle + _ARC, angle + _ARC + np.pi
    end = b[..., None, :] + rb * np.stack([np.cos(far), np.sin(far)], -1)
    start = a[..., None, :] + ra * np.stack([np.cos(near), np.sin(near)], -1)
    return np.concatenate([end, start], -2)
