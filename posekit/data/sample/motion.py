"""Poses and motion of the people in the generated sample.

A person is a chain of bones in the image plane, of height 1 until it is placed in an image.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

Joints = dict[str, np.ndarray]  # name -> (T, 2)
SIDES = ("right", "left")
# action: how far arms and legs swing, radians
ACTIONS = {
    "jumping_jacks": (0.5, 0.25),
    "tennis_serve": (0.6, 0.1),
    "squats": (0.15, 0.35),
    "bowling": (0.35, 0.2),
}


class _Motion(NamedTuple):
    """Draws lengths and swinging angles of one person over T frames."""

    rng: Generator
    frames: int

    def swing(self, rest: float, reach: float) -> np.ndarray:
        """An angle (T,) about its rest, radians."""
        rng = self.rng
        speed, phase = rng.uniform(0.25, 0.7), rng.uniform(0, 2 * np.pi)
        return rest + reach * rng.uniform(0.3, 1) * np.sin(speed * np.arange(self.frames) + phase)

    def bone(self, length: float, least: float = 0.85) -> float:
        """The length of a bone in the image: people differ, and limbs are foreshortened."""
        return length * self.rng.uniform(0.94, 1.06) * self.rng.uniform(least, 1.0)


def _step(start: np.ndarray, length: float, side: float, angle: np.ndarray) -> np.ndarray:
    """Go along a bone; the angle is from straight down, outwards positive."""
    return start + length * np.stack([side * np.sin(angle), np.cos(angle)], -1)


def pose(rng: Generator, frames: int, action: str, upright: bool, front: bool) -> Joints:
    """Joints of a moving person of height 1, the pelvis at the origin, y downwards.

    Args:
        rng: the person's own generator.
        frames: T.
        action: one of `ACTIONS`.
        upright: body angle within about 0.25 rad of upright, otherwise any angle.
        front: facing the camera.

    Returns:
        Joint name -> (T, 2), plus hands and feet, which no data set annotates, and the gaze.
    """
    motion = _Motion(rng, frames)
    turn = rng.uniform(-0.8, 0.8)
    across = np.cos(turn) * (-1 if front else 1)  # x of the person's right side
    lean = motion.swing(rng.normal(0, 0.12), 0.1)
    j = {"pelvis": np.zeros((frames, 2))}
    j["thorax"] = _step(j["pelvis"], motion.bone(0.29), 1, np.pi + lean)
    nod = np.pi + lean + motion.swing(rng.normal(0, 0.15), 0.1)
    j["upper_neck"] = _step(j["thorax"], motion.bone(0.055), 1, nod)
    j["neck"] = (j["thorax"] + j["upper_neck"]) / 2
    j["head_top"] = _step(j["upper_neck"], motion.bone(0.15, 0.95), 1, nod)
    j["head"] = (j["upper_neck"] + j["head_top"]) / 2
    j["gaze"] = np.full((frames, 2), [np.sin(turn), 0.0])
    shoulder, hip = motion.bone(0.115, 1), motion.bone(0.07, 1)
    girdle = np.stack([np.cos(lean), -np.sin(lean)], -1)
    for side in SIDES:
        x = across if side == "right" else -across
        start = j["thorax"] + x * shoulder * girdle, j["pelvis"] + np.array([x * hip, 0.02])
        limbs = _limbs(motion, action, lean, np.sign(x), start)
        j |= {f"{side}_{joint}": points for joint, points in limbs.items()}
    angle = rng.normal(0, 0.25) if upright else rng.uniform(-np.pi, np.pi)
    angle = angle + np.cumsum(np.full(frames, rng.normal(0, 0.02)))
    matrix = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    matrix = matrix.reshape(frames, 2, 2)
    return {name: np.einsum("tij,tj->ti", matrix, points) for name, points in j.items()}


def _limbs(
    motion: _Motion, action: str, lean: np.ndarray, out: float, start: tuple[np.ndarray, np.ndarray]
) -> Joints:
    """Arm and leg of one side, from shoulder and hip; `out` is away from the body, +-1."""
    (arms, legs), (shoulder, hip), rng = ACTIONS[action], start, motion.rng
    j = {"shoulder": shoulder, "hip": hip}
    rest = rng.normal(0.3, 0.15) if rng.random() < 0.4 else rng.uniform(0.2, 2.6)
    upper = motion.swing(rest, arms) - 0.5 * out * lean  # the arms follow the trunk in part
    lower = upper + motion.swing(rng.uniform(-0.4, 1.3), 0.8 * arms)
    j["elbow"] = _step(shoulder, motion.bone(0.175), out, upper)
    j["wrist"] = _step(j["elbow"], motion.bone(0.16), out, lower)
    j["hand"] = _step(j["wrist"], 0.03, out, lower)
    rest = rng.normal(0.15, 0.1) if rng.random() < 0.6 else rng.uniform(0.1, 1.0)
    upper = motion.swing(rest, legs)
    bend = np.maximum(rest, 0) * rng.uniform(0, 1.5)
    lower = upper - bend + motion.swing(rng.normal(0, 0.1), legs)
    j["knee"] = _step(hip, motion.bone(0.245, 0.8), out, upper)
    j["ankle"] = _step(j["knee"], motion.bone(0.235, 0.8), out, lower)
    j["foot"] = _step(j["ankle"], 0.05, out, lower + rng.uniform(0.2, 0.9))
    return j
