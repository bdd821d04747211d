"""Images for the generated sample: people on clutter, photographed, with what can be seen."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from .bodies import Figure, capsule, dress
from .motion import ACTIONS, pose

_SHIFT = 4  # cv2 draws at 1/16 pixel
_OCCLUDER = 255
_PER_PERSON = 40  # labels kept free for the parts of one person
_TRUNK = ("head", "neck", "torso", "pelvis", "tail")
# kind of a joint: the parts that it sits on; any other sits on the trunk
_CARRIERS = {
    "shoulder": ("{}_upper_arm", "torso"),
    "elbow": ("{}_upper_arm", "{}_forearm"),
    "wrist": ("{}_forearm", "{}_hand"),
    "hip": ("{}_thigh", "torso", "pelvis"),
    "knee": ("{}_thigh", "{}_shin"),
    "ankle": ("{}_shin", "{}_foot"),
    **{
        f"{leg}_{joint}": (f"{{}}_{leg}",) for leg in ("front", "hind") for joint in ("knee", "paw")
    },
}
_GRAIN = np.random.default_rng(0).normal(0, 6, (480, 480, 3)).astype(np.float32)


class Scene(NamedTuple):
    """People in front of a background, drawn.

    Attributes:
        images: T images (h, w, 3) uint8 BGR.
        people: the figures, nearest last.
        inside: (people, T, K) joints inside the image.
        seen: (people, T, K) joints that nothing hides.
        action: what they do.
    """

    images: list[np.ndarray]
    people: list[Figure]
    inside: np.ndarray
    seen: np.ndarray
    action: str


def draw_scene(
    rng: Generator,
    size: tuple[int, int],
    names: Sequence[str],
    frames: int = 1,
    people: int = 1,
    heights: tuple[float, float] = (60, 100),
    margin: float = 4,
    somebody: Callable[..., Figure] | None = None,
) -> Scene:
    """Draw people side by side on clutter.

    Args:
        rng: the scene's own generator.
        size: (h, w) in pixels.
        names: the K joints whose visibility is asked for.
        frames: T.
        people: how many; each gets an equal strip of the image.
        heights: range of standing heights, pixels.
        margin: pixels kept free around the people; negative lets limbs leave the image.
        somebody: makes a figure as `_person` does, for scenes without people.
    """
    h, w = size
    action = list(ACTIONS)[rng.integers(len(ACTIONS))]
    strip, inset = w / people, np.array([1, 1, -1, -1]) * margin
    rooms = [np.array([i * strip, 0, (i + 1) * strip - 1, h - 1]) + inset for i in range(people)]
    somebody = somebody or _person
    cast = [somebody(rng, frames, action, heights, room) for room in rooms]
    labelled = list(zip(range(1, _OCCLUDER, _PER_PERSON), cast, strict=False))
    world, drift = _world(rng, size, frames)
    occluders = _occluders(rng, cast)
    gain, soft = rng.uniform(0.8, 1.15), rng.random() < 0.4
    images, sight = [], []
    for t in range(frames):
        x, y = np.rint(drift[t]).astype(int)
        canvas = np.zeros((h, w, 4), np.uint8)
        canvas[..., :3] = world[y : y + h, x : x + w]
        for label, figure in labelled:
            paint(canvas, figure, t, label)
        for outline, colour in occluders:
            fill(canvas, outline - drift[t] + drift[0], colour, _OCCLUDER, edge=0.6)
        sight.append([in_sight(canvas[..., 3], figure, t, n, names) for n, figure in labelled])
        images.append(_photograph(rng, canvas[..., :3], gain, soft))
    inside, seen = np.array(sight).transpose(2, 1, 0, 3)
    return Scene(images, cast, inside, seen, action)


def _person(
    rng: Generator, frames: int, action: str, heights: tuple[float, float], room: np.ndarray
) -> Figure:
    """Somebody who moves about within a box (4,) of the image, smaller if need be."""
    front = bool(rng.random() < 0.75)
    joints = pose(rng, frames, action, upright=bool(rng.random() < 0.5), front=front)
    gaze = joints.pop("gaze")
    path = np.cumsum(np.tile(rng.normal(0, 0.008, 2), (frames, 1)), 0)
    joints = {name: points + path for name, points in joints.items()}
    points = np.concatenate(list(joints.values()))
    low, high = points.min(0) - 0.07, points.max(0) + 0.07
    space = room[2:] - room[:2]
    height = min(rng.uniform(*heights), *(space / (high - low)))
    start = room[:2] - low * height + rng.random(2) * (space - (high - low) * height)
    joints = {name: start + height * points for name, points in joints.items()}
    return dress(rng, {**joints, "gaze": gaze}, height, front)


def _world(rng: Generator, size: tuple[int, int], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A background larger than the image, and where in it the camera looks, (T, 2)."""
    h, w = size
    spare = 10 if frames > 1 else 0
    full = (h + spare, w + spare)
    world = np.zeros((*full, 3), np.float32) + rng.uniform(80, 170) + rng.normal(0, 22, 3)
    world = world.astype(np.float32)
    for cells, strength in ((4, 32), (14, 14), (40, 8)):
        light = rng.normal(0, strength, (cells, cells, 1))
        texture = (light + rng.normal(0, 0.45 * strength, (cells, cells, 3))).astype(np.float32)
        world += cv2.resize(texture, full[::-1], interpolation=cv2.INTER_CUBIC)
    world = np.dstack([np.clip(world, 0, 255).astype(np.uint8), np.zeros(full, np.uint8)])
    for _ in range(rng.integers(3, 8)):  # furniture and stray limbs
        a = rng.random(2) * full[::-1]
        reach, angle = rng.uniform(8, 45), rng.uniform(0, 2 * np.pi)
        b = a + reach * np.array([np.cos(angle), np.sin(angle)])
        ra, rb = rng.uniform(2, 6, 2) if rng.random() < 0.7 else rng.uniform(6, 14, 2)
        fill(world, capsule(a, b, ra, rb), rng.uniform(30, 230, 3), 0, edge=0.6)
    middle, speed = spare / 2, rng.uniform(-0.6, 0.6, 2)
    drift = middle + (np.arange(frames) - (frames - 1) / 2)[:, None] * speed
    return world[..., :3], drift


def _occluders(rng: Generator, people: list[Figure]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes and discs in front of some people: polygons (P, 2) and colours."""
    found = []
    for figure in people:
        if rng.random() > 0.35:
            continue
        names = sorted(figure.joints)
        middle = figure.joints[names[rng.integers(len(names))]][0] + rng.normal(0, 3, 2)
        corners = 4 if rng.random() < 0.5 else 16
        turn = rng.uniform(0, np.pi) + np.arange(corners) * 2 * np.pi / corners
        size = figure.height * rng.uniform(0.07, 0.13)
        outline = middle + size * np.stack([np.cos(turn), rng.uniform(0.7, 1) * np.sin(turn)], -1)
        found.append((outline, rng.uniform(30, 220, 3)))
    return found


def _photograph(rng: Generator, image: np.ndarray, gain: float, soft: bool) -> np.ndarray:
    """Exposure, focus and grain."""
    if soft:
        image = cv2.GaussianBlur(image, (3, 3), 0.7)
    y, x = rng.integers(0, _GRAIN.shape[0] // 2, 2)
    grain = _GRAIN[y : y + image.shape[0], x : x + image.shape[1]]
    return np.clip(image * np.float32(gain) + grain, 0, 255).astype(np.uint8)


def paint(canvas: np.ndarray, figure: Figure, frame: int, first_label: int) -> None:
    """Draw a person into an image.

    Args:
        canvas: (h, w, 4) uint8, BGR and the label of what is in front; changed in place.
        figure: the person.
        frame: which frame.
        first_label: the parts are labelled from here on, in drawing order.
    """
    for label, part in enumerate(figure.parts, first_label):
        outline = part.outline[frame]
        fill(canvas, outline, part.colour, label, edge=0.55)
        if part.radius > 1.5:  # light from above left
            middle = outline.mean(0)
            lit = middle + 0.55 * (outline - middle) - 0.22 * part.radius
            fill(canvas, lit, np.minimum(part.colour * 1.12 + 8, 255), label)


def fill(
    canvas: np.ndarray, outline: np.ndarray, colour: np.ndarray, label: int, edge: float = 0.0
) -> None:
    """Fill a convex polygon (P, 2), with a thin edge of this part of its colour."""
    points = np.rint(outline * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(canvas, points, (*colour.tolist(), label), cv2.LINE_AA, _SHIFT)
    if edge:
        darker = (*(edge * colour).tolist(), label)
        cv2.polylines(canvas, [points], True, darker, 1, cv2.LINE_AA, _SHIFT)


def in_sight(
    labels: np.ndarray, figure: Figure, frame: int, first_label: int, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Which joints can be seen.

    Args:
        labels: (h, w) uint8, the label channel of the finished image.
        figure: the person, painted with the same first_label.
        frame: which frame.
        first_label: of this person's parts.
        names: the K joints asked for.

    Returns:
        (K,) inside the image, and (K,) seen: the middle of the joint shows one of its own parts.
    """
    h, w = labels.shape
    points = np.rint(figure.keypoints(names)[frame]).astype(int)
    inside = ((points >= 0) & (points < (w, h))).all(1)
    shown = []
    for name, (x, y) in zip(names, np.clip(points, 1, (w - 2, h - 2)), strict=True):
        side, _, kind = name.partition("_")
        carriers = [part.format(side) for part in _CARRIERS.get(kind, _TRUNK)]
        own = [n for n, part in enumerate(figure.parts, first_label) if part.name in carriers]
        around = labels[y - 1 : y + 2, x - 1 : x + 2]
        shown.append((around[..., None] == own).sum() > around.size / 2)
    return inside, inside & shown
