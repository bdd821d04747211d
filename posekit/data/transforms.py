"""Augmentation: transforms that a training sample goes through, one after another.

A geometric transform moves the crop about before it is cut, a photometric one changes the crops and
which joints count. All of a sample's draw from its one generator, in the order of their list, the
geometric ones first. A new one is a class with the method of one of the two protocols below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.random import Generator

from ..errors import PosekitError
from ..geometry.crops import half_body_box
from ..geometry.skeletons import Skeleton


@dataclass(frozen=True)
class Placement:
    """Where a crop lies on the image.

    Attributes:
        centre: (2,) image pixels.
        side: image pixels, see `Framing.place`.
        rotation: degrees, clockwise.
        flip: mirror left and right.
    """

    centre: np.ndarray
    side: float
    rotation: float = 0.0
    flip: bool = False


class Person(NamedTuple):
    """The joints of a clip's first frame.

    Attributes:
        keypoints: (K, 2) image pixels.
        visible: (K,) bool.
    """

    keypoints: np.ndarray
    visible: np.ndarray


class Donor(NamedTuple):
    """One frame of another clip, without augmentation.

    Attributes:
        crop: (h, w, 3) uint8 RGB; not to be written to.
        keypoints: (K, 2) crop pixels.
        visible: (K,) bool.
    """

    crop: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class Sample:
    """A clip that has been cut out.

    Attributes:
        crops: (T, h, w, 3) uint8 RGB.
        keypoints: (T, K, 2) crop pixels.
        visible: (T, K) bool, the joints that count in the loss.
        donor: picks another clip at random, with the sample's generator.
    """

    crops: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    donor: Callable[[], Donor] | None = None


class Geometric(Protocol):
    """Moves the crop of a person about."""

    def place(self, placement: Placement, person: Person, rng: Generator) -> Placement:
        """The new placement."""


class Photometric(Protocol):
    """Changes the crops of a sample."""

    def apply(self, sample: Sample, rng: Generator) -> Sample:
        """The new sample; the arrays of the old one stay as they are."""


Transform = Geometric | Photometric


def by_kind(transforms: Sequence[Transform]) -> tuple[list[Geometric], list[Photometric]]:
    """Sort transforms into geometric and photometric ones.

    Raises:
        PosekitError: something in the list is neither.
    """
    geometric = [transform for transform in transforms if hasattr(transform, "place")]
    photometric = [transform for transform in transforms if hasattr(transform, "apply")]
    if strange := [t for t in transforms if not (hasattr(t, "place") or hasattr(t, "apply"))]:
        raise PosekitError(
            f"{strange[0]!r} is not a transform: give it a method place(placement, person, rng) "
            "or apply(sample, rng), see posekit.data.transforms"
        )
    return geometric, photometric


@dataclass(frozen=True)
class RandomScale:
    """A factor on the person's size, uniform in `scale_range` (CPM and LPM)."""

    scale_range: tuple[float, float]

    def place(self, placement: Placement, person: Person, rng: Generator) -> Placement:
        """Divide the side."""
        return replace(placement, side=placement.side / rng.uniform(*self.scale_range))


@dataclass(frozen=True)
class RandomRotation:
    """A rotation, uniform in +- `degrees` (CPM and LPM)."""

    degrees: float

    def place(self, placement: Placement, person: Person, rng: Generator) -> Placement:
        """Turn the crop."""
        angle = rng.uniform(-self.degrees, self.degrees)
        return replace(placement, rotation=placement.rotation + angle)


@dataclass(frozen=True)
class RandomFlip:
    """A mirror image with probability `prob`."""

    prob: float

    def place(self, placement: Placement, person: Person, rng: Generator) -> Placement:
        """Mirror the crop or not."""
        return replace(placement, flip=placement.flip != bool(rng.random() < self.prob))


@dataclass(frozen=True)
class HalfBody:
    """A crop around the upper or the lower half of the body (HRNet).

    Attributes:
        prob: share of the people with more than 8 visible joints that are cut to a half.
        skeleton: says which joints belong to the lower body.
        aspect: width / height of the crop.
        reference_mode: the references' coin, which takes the upper half in 0.69 of the cases.
    """

    prob: float
    skeleton: Skeleton
    aspect: float
    reference_mode: bool = False

    def place(self, placement: Placement, person: Person, rng: Generator) -> Placement:
        """Put the crop around the half."""
        if person.visible.sum() <= 8 or rng.random() >= self.prob:
            return placement
        lower = ("hip", "knee", "ankle", "pelvis")
        upper = ~np.array([joint.endswith(lower) for joint in self.skeleton.joints])
        half = half_body_box(*person, upper, rng, self.aspect, reference_mode=self.reference_mode)
        return replace(placement, centre=half[0], side=float(half[1][0])) if half else placement


@dataclass(frozen=True)
class NormalScale:
    """A factor on the crop's side, normal about 1 and cut to 1 +- `spread` (HRNet)."""

    spread: float

    def place(self, placement: Placement, person: Person, rng: Generator) -> Placement:
        """Multiply the side."""
        factor = 1 + self.spread * rng.standard_normal()
        factor = min(max(factor, 1 - self.spread), 1 + self.spread)
        return replace(placement, side=placement.side * factor)


@dataclass(frozen=True)
class NormalRotation:
    """A rotation with probability `prob`, normal about 0 and cut to +- 2 `spread` (HRNet).

    Attributes:
        spread: standard deviation, degrees.
        prob: share of people that are turned.
    """

    spread: float
    prob: float = 0.6

    def place(self, placement: Placement, person: Person, rng: Generator) -> Placement:
        """Turn the crop or not."""
        if rng.random() >= self.prob:
            return placement
        angle = min(max(self.spread * rng.standard_normal(), -2 * self.spread), 2 * self.spread)
        return replace(placement, rotation=placement.rotation + angle)


@dataclass(frozen=True)
class ColourJitter:
    """A factor on each colour channel, uniform in 1 +- `amount`."""

    amount: float

    def apply(self, sample: Sample, rng: Generator) -> Sample:
        """Multiply the channels of all frames."""
        gain = rng.uniform(1 - self.amount, 1 + self.amount, 3).astype(np.float32)
        crops = np.clip(sample.crops * gain, 0, 255).astype(np.uint8)
        return replace(sample, crops=crops)
