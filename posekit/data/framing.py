"""Where the crop of a person lies, and how training moves it about."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ..geometry.crops import aspect_box, box_to_square, crop_matrix, half_body_box
from ..geometry.skeletons import Skeleton


@dataclass(frozen=True)
class Framing:
    """How a person's box becomes a crop.

    Attributes:
        image_size: (h, w) of the crop.
        padding: factor on the box.
        half_pixel: the crop spans -0.5 .. w - 0.5 and the box becomes a square, as for pose
            machines; otherwise 0 .. w and a box of the crop's aspect, as for HRNet and its
            relatives.
        drop: moves the centre down by this share of the box's height: HRNet's 15 of 200 pixels on
            MPII, whose boxes sit high.
        fill: grey value of what lies outside the picture.
    """

    image_size: tuple[int, int]
    padding: float
    half_pixel: bool = True
    drop: float = 0.0
    fill: int = 128

    def place(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres (N, 2) and sides (N,) of the crops of boxes (N, 4), image pixels.

        A side is what fills the crop's longer side, or its width without `half_pixel`.
        """
        boxes = np.asarray(boxes, float)
        lowered = boxes + self.drop * (boxes[:, 3:] - boxes[:, 1:2]) * [0, 1, 0, 1]
        if self.half_pixel:
            return box_to_square(lowered, self.padding)
        h, w = self.image_size
        centres, sizes = aspect_box(lowered, w / h, self.padding)
        return centres, sizes[:, 0]

    def areas(self, sides: np.ndarray) -> np.ndarray:
        """Square image pixels (N,) that crops of these sides cover."""
        h, w = self.image_size
        return sides**2 * (h * w / max(h, w) ** 2 if self.half_pixel else h / w)

    def matrix(
        self,
        centre: np.ndarray,
        side: float | np.ndarray,
        rotation: float = 0.0,
        flip: bool = False,
    ) -> np.ndarray:
        """The maps (..., 2, 3) from image to crop pixels, for centres (..., 2) and sides (...)."""
        return crop_matrix(centre, side, self.image_size, rotation, flip, self.half_pixel)

    def cut(self, picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The crop (h, w, 3) of a picture (H, W, 3) that `matrix` (2, 3) maps to it."""
        (h, w), fill = self.image_size, (self.fill,) * 3
        return cv2.warpAffine(picture, matrix, (w, h), flags=cv2.INTER_LINEAR, borderValue=fill)


class Draw(NamedTuple):
    """What augmentation drew for a clip.

    Attributes:
        centre: (2,) image pixels.
        side: image pixels.
        rotation: degrees.
        flip: mirror left and right.
        gain: (3,) factor on the channels, or None.
    """

    centre: np.ndarray
    side: float
    rotation: float
    flip: bool
    gain: np.ndarray | None


def well_centred(
    keypoints: np.ndarray, visible: np.ndarray, centres: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Who has the annotated joints about the middle of the box: the references' SELECT_DATA.

    It leaves people out of training and is off in all of their recipes.

    Args:
        keypoints: (N, K, 2) image pixels.
        visible: (N, K) bool, at least one per person.
        centres: (N, 2) image pixels.
        sizes: (N, 2) width and height of the padded box, image pixels.

    Returns:
        (N,) bool.
    """
    count = visible.sum(1)
    middle = (keypoints * visible[..., None]).sum(1) / count[:, None]
    squared = np.square(middle - centres).sum(-1)
    likeness = np.exp(-squared / (2 * 0.2**2 * sizes.prod(-1)))
    return likeness > 0.2 / 16 * count + 0.45 - 0.2 / 16


@dataclass(frozen=True)
class UniformAugmentation:
    """As CPM and LPM are trained.

    Attributes:
        scale_range: factor on the person's size, uniform.
        rotation: degrees, uniform in -rotation .. rotation.
        flip_prob: probability of a mirror image.
        colour_jitter: each channel is multiplied by 1 +- this much.
    """

    scale_range: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    flip_prob: float = 0.0
    colour_jitter: float = 0.0

    def draw(
        self,
        rng: np.random.Generator,
        centre: np.ndarray,
        side: float,
        keypoints: np.ndarray,
        visible: np.ndarray,
    ) -> Draw:
        """Move the crop about; keypoints (K, 2) are those of the first frame, image pixels."""
        side = side / rng.uniform(*self.scale_range)
        angle = rng.uniform(-self.rotation, self.rotation)
        flip = bool(rng.random() < self.flip_prob)
        return Draw(centre, side, angle, flip, _gain(rng, self.colour_jitter))


@dataclass(frozen=True)
class TopDownAugmentation:
    """As SimpleBaseline, HRNet and their relatives are trained: half body, scale, turn, mirror.

    Attributes:
        skeleton: tells upper from lower body.
        aspect: width / height of the crop.
        half_body_prob: share of people with more than 8 visible joints that are cut to a half.
        scale_factor: spread s of the factor on the crop, N(1, s) cut to 1 +- s.
        rotation: spread r of the turn in degrees, N(0, r) cut to +- 2 r.
        rotation_prob: share of people that are turned.
        flip_prob: probability of a mirror image.
        colour_jitter: each channel is multiplied by 1 +- this much.
        reference_mode: the references' coin, which takes the upper half in 0.69 of the cases.
    """

    skeleton: Skeleton
    aspect: float
    half_body_prob: float = 0.0
    scale_factor: float = 0.0
    rotation: float = 0.0
    rotation_prob: float = 0.6
    flip_prob: float = 0.5
    colour_jitter: float = 0.0
    reference_mode: bool = False

    def draw(
        self,
        rng: np.random.Generator,
        centre: np.ndarray,
        side: float,
        keypoints: np.ndarray,
        visible: np.ndarray,
    ) -> Draw:
        """Move the crop about; keypoints (K, 2) are those of the first frame, image pixels."""
        if visible.sum() > 8 and rng.random() < self.half_body_prob:
            upper = ~np.array(
                [j.endswith(("hip", "knee", "ankle", "pelvis")) for j in self.skeleton.joints]
            )
            half = half_body_box(
                keypoints, visible, upper, rng, self.aspect, reference_mode=self.reference_mode
            )
            if half is not None:
                centre, side = half[0], half[1][0]
        spread, turn = self.scale_factor, self.rotation
        side = side * np.clip(1 + spread * rng.standard_normal(), 1 - spread, 1 + spread)
        turned = rng.random() < self.rotation_prob
        angle = np.clip(turn * rng.standard_normal(), -2 * turn, 2 * turn) if turned else 0.0
        flip = bool(rng.random() < self.flip_prob)
        return Draw(centre, side, float(angle), flip, _gain(rng, self.colour_jitter))


Augmentation = UniformAugmentation | TopDownAugmentation  # drawn once per clip


def _gain(rng: np.random.Generator, jitter: float) -> np.ndarray | None:
    return rng.uniform(1 - jitter, 1 + jitter, 3).astype(np.float32) if jitter else None
