"""Covering a joint or a body part of a crop: targeted blurring, cutout and PartMix.

After 'Tilting at windmills'. `reference_mode` brings the reference's mistakes back, those of
`regions` and these: only five parts are drawn from, missing joints of MPII count as present at
(-2, -2), PartMix swaps red and blue of its patch for networks that eat RGB, and joints are excluded
within twice the painted box, for parts only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ...errors import PosekitError
from ...geometry.body_parts import HALVES, PARTS, part_joints
from ...geometry.skeletons import MPII, Skeleton
from .regions import EFFECTS, Region, cover, region

KINDS = {
    "none": (),
    "blur": ("blur",),
    "cutout": ("mean",),
    "both": ("blur", "mean"),
    "multi": ("either",) * 5,
    "partmix": ("partmix",),
}
MODES = ("keypoint", "parts", "all")
_MIXED = tuple(part for part in PARTS if part != "hip")
_REFERENCE_PARTS = tuple(part for part in PARTS if part not in ("head", "torso"))
_TRIES = 4  # donors looked at for a whole part

Donor = Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]


def excluded(box: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """(K,) bool, the joints that the reference drops from the loss under a part's box (4,)."""
    (x1, y1, x2, y2), (x, y) = box, keypoints.T
    w, h = x2 - x1, y2 - y1
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    if w == 0:
        return np.zeros(len(keypoints), bool)
    return (cx - w < x) & (x <= cx + w) & (cy - h <= y) & (y <= cy + h)


@dataclass(frozen=True)
class Occluder:
    """Covers joints or parts of training crops at random.

    Attributes:
        skeleton: the K joints.
        kind: one of `KINDS`; "multi" covers up to five joints, each blurred or cut out.
        mode: "keypoint", "parts", or "all" for joints, parts and halves of the body. Multi covers
            joints and PartMix parts, whatever the mode.
        prob: of each covering.
        exclude: covered joints are left out of the loss.
        frames: "all" frames of a clip, or a random "run" of them; it is the same part in each.
        reference_mode: as the reference, see above.
        rgb: the network eats RGB, not BGR; the reference's PartMix then swaps red and blue.
    """

    skeleton: Skeleton
    kind: str
    mode: str = "parts"
    prob: float = 0.5
    exclude: bool = False
    frames: str = "all"
    reference_mode: bool = False
    rgb: bool = True

    def __post_init__(self) -> None:
        """Refuse words that mean nothing: a misspelt mode would cover something else.

        Raises:
            PosekitError: naming the word and those that there are.
        """
        for name, known in (("kind", KINDS), ("mode", MODES), ("frames", ("all", "run"))):
            if getattr(self, name) not in known:
                raise PosekitError(
                    f"Occluder: {name}={getattr(self, name)!r}: choose one of {', '.join(known)}"
                )
        if not 0 <= self.prob <= 1:
            raise PosekitError(f"Occluder: prob={self.prob!r} must lie in 0..1")

    def __call__(
        self,
        crops: np.ndarray,
        keypoints: np.ndarray,
        visible: np.ndarray,
        rng: np.random.Generator,
        donor: Donor | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cover a clip or a picture.

        Args:
            crops: (T, h, w, 3) or (h, w, 3) uint8; left as they are.
            keypoints: (T, K, 2) or (K, 2) crop pixels.
            visible: (T, K) or (K,) bool.
            rng: of the sample.
            donor: returns another person's crop (h, w, 3), keypoints (K, 2) and visible (K,); for
                PartMix, which does nothing without.

        Returns:
            Covered crops, and which joints count in the loss.
        """
        if crops.ndim == 3:
            crops, counted = self(crops[None], keypoints[None], visible[None], rng, donor)
            return crops[0], counted[0]
        effects = [effect for effect in KINDS[self.kind] if rng.random() < self.prob]
        if not effects:
            return crops, visible
        crops, counted = crops.copy(), visible.copy()
        points, there = self._believed(keypoints, visible)
        run, spared = self._run(len(crops), rng), set(range(len(self.skeleton)))
        for effect in effects:
            patch = None
            if effect == "either":
                effect = ("blur", "mean")[int(rng.integers(2))]
            if effect == "partmix":
                where, patch = self._swap(points[run], there[run], crops.shape[1:3], rng, donor)
            else:
                where = self._pick(points[run], there[run], crops.shape[1:3], rng, spared)
            for frame, found in zip(run, where, strict=False):
                if found is None:
                    continue
                if patch is None:
                    cover(crops[frame], found, effect)
                else:
                    window = crops[frame, found.rows, found.columns]
                    size = window.shape[1::-1]
                    window[:] = cv2.resize(patch, size, interpolation=cv2.INTER_AREA)
                if self.exclude:
                    counted[frame] &= ~self._lost(found, keypoints[frame])
        return crops, counted

    def _believed(
        self, keypoints: np.ndarray, visible: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints and whether they are there, for the reference on MPII also those that are not."""
        if self.reference_mode and self.skeleton is MPII:
            return np.where(visible[..., None], keypoints, -2), np.ones_like(visible)
        return keypoints, visible

    def _run(self, count: int, rng: np.random.Generator) -> list[int]:
        """The frames that are covered."""
        if self.frames == "all" or count == 1:
            return list(range(count))
        length = int(rng.integers(1, count + 1))
        first = int(rng.integers(count - length + 1))
        return list(range(first, first + length))

    def _targets(self) -> list[int | str]:
        joints = list(range(len(self.skeleton)))
        if self.kind == "multi" or self.mode == "keypoint":
            return joints
        if self.mode == "all":
            return [*joints, *PARTS, *HALVES]
        return list(_REFERENCE_PARTS if self.reference_mode else PARTS)

    def _pick(
        self,
        points: np.ndarray,
        there: np.ndarray,
        shape: tuple[int, int],
        rng: np.random.Generator,
        spared: set[int],
    ) -> list[Region | None]:
        """The regions of one random joint or part, a frame each."""
        targets = self._targets()
        for number in rng.permutation(len(targets)).tolist():
            target = targets[number]
            if self.kind == "multi" and target not in spared:
                continue
            where = self._regions(target, points, there, shape)
            chosen = isinstance(target, str) or there[:, target].any()
            if any(where) or (self.reference_mode and chosen):
                spared.discard(target)
                return where
        return []

    def _regions(
        self, target: int | str, points: np.ndarray, there: np.ndarray, shape: tuple[int, int]
    ) -> list[Region | None]:
        rest = shape, self.skeleton, 1.0, self.reference_mode
        return [region(target, p, v, *rest) for p, v in zip(points, there, strict=True)]

    def _swap(
        self,
        points: np.ndarray,
        there: np.ndarray,
        shape: tuple[int, int],
        rng: np.random.Generator,
        donor: Donor | None,
    ) -> tuple[list[Region | None], np.ndarray | None]:
        """The regions of one whole part, and a picture of another part of another person."""
        for part in rng.permutation(_MIXED).tolist() if donor else ():
            where = self._regions(part, points, _whole(part, there, self.skeleton), shape)
            if any(where):
                break
        else:
            return [], None
        for _ in range(_TRIES):
            crop, joints, seen = donor()
            joints, seen = self._believed(joints, seen)
            for other in rng.permutation([p for p in _MIXED if p != part]).tolist():
                seen_whole = _whole(other, seen[None], self.skeleton)
                (found,) = self._regions(other, joints[None], seen_whole, crop.shape[:2])
                if found:
                    patch = crop[found.rows, found.columns]
                    swapped = self.reference_mode and self.rgb
                    return where, np.ascontiguousarray(patch[..., ::-1] if swapped else patch)
        return [], None

    def _lost(self, where: Region, keypoints: np.ndarray) -> np.ndarray:
        """(K,) bool, the joints that no longer count."""
        if not self.reference_mode:
            return where.holds(keypoints)
        if where.box is None:
            return np.zeros(len(keypoints), bool)
        return excluded(where.box, keypoints)


def _whole(part: str, there: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """`there` (T, K), none of it in frames where a joint of the part is missing."""
    return there & there[:, part_joints(part, skeleton)].all(1, keepdims=True)


def attack(
    crops: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    target: int | str,
    effect: str,
    skeleton: Skeleton,
    size: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cover one joint or part of every crop of a batch, to see what a network makes of it.

    Args:
        crops: (N, h, w, 3) uint8; left as they are.
        keypoints: (N, K, 2) crop pixels, the truth.
        visible: (N, K) bool.
        target: position of a joint, or name of a part.
        effect: blur, black or mean.
        skeleton: the K joints.
        size: factor on the disc's radius or the box's sides.

    Returns:
        Covered crops, and (N,) bool, which of them have the target.

    Raises:
        PosekitError: there is no such joint, part or effect.
    """
    if effect not in EFFECTS:
        raise PosekitError(f"effect={effect!r}: choose one of {', '.join(EFFECTS)}")
    if isinstance(target, str):
        if target not in (*PARTS, *HALVES):
            raise PosekitError(f"target={target!r}: choose one of {', '.join((*PARTS, *HALVES))}")
    elif not 0 <= target < len(skeleton):
        raise PosekitError(f"target={target!r}: {skeleton.name} has joints 0..{len(skeleton) - 1}")
    crops, touched = crops.copy(), np.zeros(len(crops), bool)
    for n, (points, there) in enumerate(zip(keypoints, visible, strict=True)):
        found = region(target, points, there, crops.shape[1:3], skeleton, size)
        if found is not None:
            cover(crops[n], found, effect)
            touched[n] = True
    return crops, touched
