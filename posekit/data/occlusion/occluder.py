"""Occlusion of a joint or a body part of a crop: targeted blurring, cutout and PartMix.

After 'Tilting at windmills'. `reference_mode` brings the reference's mistakes back, those of
`regions` and these: only five parts are drawn from, missing joints of MPII count as present at
(-2, -2), PartMix swaps red and blue of its patch for networks that take RGB, and joints are
excluded within twice the painted box, for parts only.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from ...errors import PosekitError
from ...geometry.body_parts import HALVES, PARTS, part_joints
from ...geometry.skeletons import MPII, Skeleton
from ..transforms import Sample
from .regions import EFFECTS, Region, occlude_region, target_region

KINDS = {
    "none": (),
    "blur": ("blur",),
    "cutout": ("mean",),
    "both": ("blur", "mean"),
    "multi": ("either",) * 5,
    "partmix": ("partmix",),
}
MODES = ("keypoint", "parts", "all")
_MIXED_PARTS = tuple(part for part in PARTS if part != "hip")
_REFERENCE_PARTS = tuple(part for part in PARTS if part not in ("head", "torso"))
_MAX_DONORS = 4  # looked at for a part whose joints are all visible


@dataclass(frozen=True)
class Occluder:
    """A photometric transform that occludes joints or parts at random.

    Attributes:
        skeleton: the K joints.
        kind: one of `KINDS`; "multi" occludes up to five joints, each blurred or cut out.
        mode: "keypoint", "parts", or "all" for joints, parts and halves of the body. Multi occludes
            joints and PartMix parts, whatever the mode.
        prob: of each occlusion.
        exclude: occluded joints are left out of the loss.
        frames: "all" frames of a clip, or a random "run" of them; it is the same part in each.
        reference_mode: as the reference, see above.
        rgb: the network takes RGB, not BGR; the reference's PartMix then swaps red and blue.
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
        """Refuse unknown names: a misspelt mode would occlude something else."""
        for name, known in (("kind", KINDS), ("mode", MODES), ("frames", ("all", "run"))):
            _one_of("Occluder: " + name, getattr(self, name), known)
        if not 0 <= self.prob <= 1:
            raise PosekitError(f"Occluder: prob={self.prob!r} must lie in 0..1")

    def apply(self, sample: Sample, rng: Generator) -> Sample:
        """Occlude a clip; PartMix does nothing to one without a donor."""
        effects = [effect for effect in KINDS[self.kind] if rng.random() < self.prob]
        if not effects:
            return sample
        crops, counted = sample.crops.copy(), sample.visible.copy()
        frames = self._choose_frames(len(crops), rng)
        clip = replace(sample, keypoints=sample.keypoints[frames], visible=sample.visible[frames])
        clip = self._with_missing_joints(clip)
        joints = set(range(len(self.skeleton)))  # not occluded yet, for multi
        for effect in effects:
            patch = None
            if effect == "either":
                effect = ("blur", "mean")[int(rng.integers(2))]
            if effect == "partmix":
                regions, patch = self._choose_parts_to_mix(clip, rng)
            else:
                regions = self._choose_target(clip, rng, joints)
            found = [(f, r) for f, r in zip(frames, regions, strict=False) if r is not None]
            for frame, region in found:
                occlude_region(crops[frame], region, effect, patch)
                if self.exclude:
                    counted[frame] &= ~self._excluded(region, sample.keypoints[frame])
        return replace(sample, crops=crops, visible=counted)

    def _choose_frames(self, count: int, rng: Generator) -> list[int]:
        length, first = count, 0
        if self.frames == "run" and count > 1:
            length = int(rng.integers(1, count + 1))
            first = int(rng.integers(count - length + 1))
        return list(range(first, first + length))

    def _with_missing_joints(self, sample: Sample) -> Sample:
        """The reference's view of MPII: missing joints are there, at (-2, -2)."""
        if not (self.reference_mode and self.skeleton is MPII):
            return sample
        keypoints = np.where(sample.visible[..., None], sample.keypoints, -2)
        return replace(sample, keypoints=keypoints, visible=np.ones_like(sample.visible))

    def _choose_target(self, clip: Sample, rng: Generator, joints: set[int]) -> list[Region | None]:
        """The regions of one random joint or part, a frame each; multi takes it from `joints`."""
        targets = [*range(len(self.skeleton))]
        if self.kind != "multi" and self.mode == "all":
            targets += [*PARTS, *HALVES]
        elif self.kind != "multi" and self.mode == "parts":
            targets = _REFERENCE_PARTS if self.reference_mode else PARTS
        for number in rng.permutation(len(targets)).tolist():
            target = targets[number]
            if self.kind == "multi" and target not in joints:
                continue
            regions = self._regions(target, clip)
            present = isinstance(target, str) or clip.visible[:, target].any()
            if any(regions) or (self.reference_mode and present):
                joints.discard(target)
                return regions
        return []

    def _choose_parts_to_mix(
        self, clip: Sample, rng: Generator
    ) -> tuple[list[Region | None], np.ndarray | None]:
        """The regions of one part, and the image of another part of another person."""
        parts = rng.permutation(_MIXED_PARTS).tolist() if clip.donor else []
        found = ((part, self._regions(part, clip, whole=True)) for part in parts)
        part, regions = next(((part, r) for part, r in found if any(r)), (None, []))
        for _ in range(_MAX_DONORS if part else 0):
            donor = Sample(*(values[None] for values in clip.donor()))
            other = self._with_missing_joints(donor)
            for name in rng.permutation([p for p in _MIXED_PARTS if p != part]).tolist():
                (found,) = self._regions(name, other, whole=True)
                if found:
                    patch = other.crops[0, found.rows, found.columns]
                    swapped = self.reference_mode and self.rgb
                    return regions, np.ascontiguousarray(patch[..., ::-1] if swapped else patch)
        return [], None

    def _regions(self, target: int | str, clip: Sample, whole: bool = False) -> list[Region | None]:
        """Where the target is, a frame each; `whole` parts need all of their joints."""
        visible = clip.visible
        if whole:
            visible = visible & visible[:, part_joints(target, self.skeleton)].all(1, keepdims=True)
        size, mode = clip.crops.shape[1:3], self.reference_mode
        return [
            target_region(target, *joints, size=size, skeleton=self.skeleton, reference_mode=mode)
            for joints in zip(clip.keypoints, visible, strict=True)
        ]

    def _excluded(self, region: Region, keypoints: np.ndarray) -> np.ndarray:
        """(K,) bool, the joints that no longer count."""
        if not self.reference_mode:
            return region.contains(keypoints)
        no_box = np.zeros(4)  # of a disc
        return in_twice_the_box(no_box if region.box is None else region.box, keypoints)


def in_twice_the_box(box: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """(K,) bool, the joints that the reference drops from the loss under a part's box (4,)."""
    (x1, y1, x2, y2), (x, y) = box, keypoints.T
    w, h = x2 - x1, y2 - y1
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    return (w != 0) & (cx - w < x) & (x <= cx + w) & (cy - h <= y) & (y <= cy + h)


def occlude_target(
    crops: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    *,
    target: int | str,
    effect: str,
    skeleton: Skeleton,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Occlude one joint or part of every crop of a batch, to see how a network copes.

    Args:
        crops: (N, h, w, 3) uint8; left as they are.
        keypoints: (N, K, 2) crop pixels, the truth.
        visible: (N, K) bool.
        target: position of a joint, or name of a part.
        effect: blur, black or mean.
        skeleton: the K joints.
        scale: factor on the disc's radius or the box's sides.

    Returns:
        Occluded crops, and (N,) bool, which of them have the target.

    Raises:
        PosekitError: there is no such joint, part or effect.
    """
    _one_of("effect", effect, EFFECTS)
    if isinstance(target, str):
        _one_of("target", target, (*PARTS, *HALVES))
    elif not 0 <= target < len(skeleton):
        raise PosekitError(f"target={target!r}: {skeleton.name} has joints 0..{len(skeleton) - 1}")
    size, crops, touched = crops.shape[1:3], crops.copy(), np.zeros(len(crops), bool)
    for n, joints in enumerate(zip(keypoints, visible, strict=True)):
        region = target_region(target, *joints, size=size, skeleton=skeleton, scale=scale)
        if region is not None:
            occlude_region(crops[n], region, effect)
            touched[n] = True
    return crops, touched


def _one_of(name: str, value: object, known: Collection[str]) -> None:
    if value not in known:
        raise PosekitError(f"{name}={value!r}: choose one of {', '.join(known)}")
