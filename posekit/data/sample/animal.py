"""The generated animal: a data set that is not of people, in the files of three tools.

A four-legged animal from the side, with a skeleton of its own; its left legs are the near ones when
it looks to the left.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.random import Generator

from ...geometry.skeletons import Skeleton
from ..own import coco_file, deeplabcut, sleap
from .bodies import Figure, Part, capsule
from .scenes import draw_scene
from .writers import generator, save_image

_LEGS = [f"{side}_{leg}" for leg in ("front", "hind") for side in ("left", "right")]
JOINTS = ("nose", "left_ear", "right_ear", "withers", "tail_base", "tail_tip")
JOINTS += tuple(f"{leg}_{joint}" for joint in ("knee", "paw") for leg in _LEGS)
LIMBS = (("nose", "withers"), ("withers", "tail_base"), ("tail_base", "tail_tip"))
LIMBS += (("nose", "left_ear"), ("nose", "right_ear"))
LIMBS += tuple(("withers" if "front" in leg else "tail_base", f"{leg}_knee") for leg in _LEGS)
LIMBS += tuple((f"{leg}_knee", f"{leg}_paw") for leg in _LEGS)
FILES = ("animal.json", "animal.csv", "animal.slp")
_STREAM = 4


def write_animal(folder: Path, train: int, test: int) -> None:
    """images/ of so many images, and the same labels in the form of COCO, DeepLabCut and SLEAP.

    Without the package h5py there is no file of SLEAP.

    Args:
        folder: empty.
        train: images to train on.
        test: images to test.
    """
    (folder / "images").mkdir()
    image, keypoints, flags = [], [], []
    for number in range(1, train + test + 1):
        rng, name = generator(_STREAM, number), f"images/{number:06d}.jpg"
        count = 1 + int(rng.random() < 0.3)
        size = int(rng.integers(110, 150)), int(rng.integers(120, 160)) + 90 * (count - 1)
        more = {"people": count, "heights": (75, 115), "margin": -8, "somebody": _animal}
        scene = draw_scene(rng, size, JOINTS, **more)
        save_image(folder / name, scene.images[0])
        image += [name] * count
        keypoints += [figure.keypoints(JOINTS)[0] for figure in scene.people]
        flags += [*(scene.inside[:, 0] * (1 + scene.seen[:, 0]))]
    names, flag, skeleton = np.array(image), np.array(flags), Skeleton("animal", JOINTS, LIMBS, {})
    points = np.where(flag[..., None] > 0, np.round(keypoints, 2), np.nan)
    animal = np.arange(len(names)) - np.searchsorted(names, names)  # of an image, from 0
    coco_file.write(folder / FILES[0], skeleton, names, points, flag)
    deeplabcut.write(folder / FILES[1], skeleton, names, points, animal=animal)
    if find_spec("h5py"):
        sleap.write(folder / FILES[2], skeleton, names, points)


def _animal(
    rng: Generator, frames: int, action: str, lengths: tuple[float, float], room: np.ndarray
) -> Figure:
    """An animal inside a box (4,) of the image; lengths are from nose to tail."""
    ahead = -1 if rng.random() < 0.5 else 1  # x of where it looks
    near, far = ("left", "right") if ahead < 0 else ("right", "left")
    neck, tail = rng.uniform(-0.5, 0.9), rng.uniform(-1.0, 1.2)
    body = {"withers": np.array([0.22, 0.0]), "tail_base": np.array([-0.25, rng.normal(0, 0.02)])}
    head = body["withers"] + 0.2 * np.array([np.cos(neck), -np.sin(neck)])
    body |= {"nose": head + 0.13 * np.array([np.cos(neck - 0.7), -np.sin(neck - 0.7)])}
    body |= {f"{near}_ear": head + (0.0, -0.09), f"{far}_ear": head + (0.06, -0.08)}
    body["tail_tip"] = body["tail_base"] + 0.25 * np.array([-np.cos(tail), np.sin(tail)])
    for leg in _LEGS:
        start = body["withers" if "front" in leg else "tail_base"] + (0.03 * (far in leg), 0.08)
        for joint, length, spread in (("knee", 0.17, 0.5), ("paw", 0.17, 0.4)):
            angle = rng.uniform(-spread, spread)
            start = start + length * np.array([np.sin(angle), np.cos(angle)])
            body[f"{leg}_{joint}"] = start
    turn = rng.normal(0, 0.35)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.stack([*body.values(), head]) * (ahead, 1) @ rotation.T
    low, high = points.min(0) - 0.1, points.max(0) + 0.1
    space = room[2:] - room[:2]
    length = min(rng.uniform(*lengths), *(space / (high - low)))
    points = length * (points - low) + room[:2] + rng.random(2) * (space - length * (high - low))
    joints = dict(zip([*body, "head"], np.repeat(points[:, None], frames, 1), strict=True))
    parts = _coat(rng, joints, length, near, far)
    return Figure(joints, parts, True, length, {})


def _coat(
    rng: Generator, joints: dict[str, np.ndarray], length: float, near: str, far: str
) -> list[Part]:
    """The drawn body, the far legs first and darker."""
    coat, paws = rng.uniform(40, 220, 3), rng.uniform(20, 240, 3)

    def piece(name: str, a: str, b: str, ra: float, rb: float, colour: np.ndarray) -> Part:
        outline = capsule(joints[a], joints[b], ra * length, rb * length)
        return Part(name, outline, rb * length, colour)

    def legs(side: str, shade: float) -> list[Part]:
        found = []
        for leg, top in ((f"{side}_front", "withers"), (f"{side}_hind", "tail_base")):
            found.append(piece(leg, top, f"{leg}_knee", 0.06, 0.035, shade * coat))
            found.append(piece(leg, f"{leg}_knee", f"{leg}_paw", 0.032, 0.024, shade * paws))
        return found

    return [
        piece("tail", "tail_base", "tail_tip", 0.03, 0.015, coat),
        *legs(far, 0.6),
        piece("head", "head", f"{far}_ear", 0.04, 0.015, 0.6 * paws),
        piece("torso", "tail_base", "withers", 0.105, 0.12, coat),
        piece("neck", "withers", "head", 0.085, 0.06, coat),
        piece("head", "head", "nose", 0.07, 0.035, coat),
        piece("head", "nose", "nose", 0.018, 0.018, 0.2 * coat),
        piece("head", "head", f"{near}_ear", 0.04, 0.015, paws),
        *legs(near, 1.0),
    ]
