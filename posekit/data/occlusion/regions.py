"""Regions of a crop: discs around joints, boxes around parts, and what is painted over them.

The sizes are those of 'Tilting at windmills' for crops whose longer side is 256 pixels: a disc of 6
pixels, blurred with a kernel of 11, and boxes blurred with a kernel of 31. They grow and shrink
with the crop, except in `reference_mode`, which also keeps two mistakes of the reference: discs
below the square of the crop's width are not drawn, and straight limbs have boxes without width.
"""

from typing import NamedTuple

import cv2
import numpy as np

from ...geometry.body_parts import part_box
from ...geometry.skeletons import Skeleton

EFFECTS = ("blur", "black", "mean")
_SIDE, _RADIUS, _REACH = 256, 6, 15  # pixels: longer side, disc, half of a box's blur kernel


class Region(NamedTuple):
    """Pixels of one crop that are occluded.

    Attributes:
        rows: of the window around them.
        columns: of the window.
        mask: (bh, bw) bool inside the window, None for all of it.
        kernel: size of the Gaussian that blurs them, pixels.
        box: (4,) the part's box, which may reach beyond the crop; None for a disc.
    """

    rows: slice
    columns: slice
    mask: np.ndarray | None
    kernel: int
    box: np.ndarray | None = None

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(K,) bool, which points (K, 2) of the crop lie on the region; NaN is nowhere.

        A box reaches from joint to joint and is cut to whole pixels for painting, so the joints at
        its ends are counted in although their own pixels may stay bare.
        """
        low = np.array([self.columns.start, self.rows.start])
        high = np.array([self.columns.stop, self.rows.stop])
        if self.mask is None:
            return ((points >= low - 0.5) & (points < high + 1)).all(-1)
        cells = np.nan_to_num(np.round(points) - low, nan=-1)
        inside = ((cells >= 0) & (cells < high - low)).all(-1)
        x, y = cells[inside].astype(int).T
        inside[inside] = self.mask[y, x]
        return inside


def disc(
    centre: np.ndarray, radius: float, size: tuple[int, int], reference_mode: bool = False
) -> Region | None:
    """The pixels of a crop (h, w) within `radius` of a joint; None if the joint is outside it."""
    h, w = size
    x, y = map(float, centre)
    if reference_mode:  # the reference compares x with the height and y with the width
        inside = 0 <= x < h and 0 <= y < w
    else:
        inside = -0.5 <= x < w - 0.5 and -0.5 <= y < h - 0.5
    x1, x2 = max(0, int(np.ceil(x - radius))), min(w, int(x + radius) + 1)
    y1, y2 = max(0, int(np.ceil(y - radius))), min(h, int(y + radius) + 1)
    if not inside or x1 >= x2 or y1 >= y2:
        return None
    near = (np.arange(x1, x2) - x) ** 2 + (np.arange(y1, y2)[:, None] - y) ** 2 <= radius**2
    kernel = max(1 if reference_mode else 3, 2 * round(radius) - 1)  # one of 1 would blur nothing
    return Region(slice(y1, y2), slice(x1, x2), near, kernel)


def rectangle(box: np.ndarray, size: tuple[int, int], kernel: int = 2 * _REACH + 1) -> Region:
    """The pixels of a crop (h, w) in a box (x1, y1, x2, y2), perhaps none."""
    h, w = size
    x1, x2 = (int(min(max(x, 0), w)) for x in box[::2].tolist())
    y1, y2 = (int(min(max(y, 0), h)) for y in box[1::2].tolist())
    return Region(slice(y1, y2), slice(x1, x2), None, kernel, box)


def target_region(
    target: int | str,
    keypoints: np.ndarray,
    visible: np.ndarray,
    *,
    size: tuple[int, int],
    skeleton: Skeleton,
    scale: float = 1.0,
    reference_mode: bool = False,
) -> Region | None:
    """Where a joint or a part is occluded.

    Args:
        target: position of a joint, or name of a part.
        keypoints: (K, 2) crop pixels.
        visible: (K,) bool.
        size: (h, w) of the crop.
        skeleton: the K joints.
        scale: factor on the disc's radius or the box's sides.
        reference_mode: as the reference.

    Returns:
        None where the joints are missing or outside the crop.
    """
    pixels = 1 if reference_mode else max(size) / _SIDE  # of this crop in one of 256
    radius = max(1, round(_RADIUS * scale * pixels))
    if not isinstance(target, str):
        return disc(keypoints[target], radius, size, reference_mode) if visible[target] else None
    box = part_box(target, keypoints, visible, skeleton)
    if box is None:
        return None
    middle, half = (box[:2] + box[2:]) / 2, scale * (box[2:] - box[:2]) / 2
    if not reference_mode:
        half = np.maximum(half, radius)
    box = np.concatenate([middle - half, middle + half])
    found = rectangle(box, size, kernel=2 * max(1, round(_REACH * pixels)) + 1)
    empty = found.rows.start >= found.rows.stop or found.columns.start >= found.columns.stop
    return None if empty else found


def occlude_region(
    crop: np.ndarray, region: Region, effect: str, patch: np.ndarray | None = None
) -> None:
    """Paint over a region of a crop (h, w, 3) uint8, in place.

    Args:
        crop: changed.
        region: of the crop.
        effect: blur, black or mean, its mean colour; partmix puts the patch there.
        patch: (h', w', 3) uint8, brought to the region's size.
    """
    window = crop[region.rows, region.columns]
    if patch is not None:
        paint = cv2.resize(patch, window.shape[1::-1], interpolation=cv2.INTER_AREA)
    elif effect == "blur":
        paint = _blurred(crop, region)
    else:
        colour = cv2.mean(crop)[:3] if effect == "mean" else (0, 0, 0)
        paint = np.broadcast_to(np.array(colour).astype(np.uint8), window.shape)
    mask = slice(None) if region.mask is None else region.mask
    window[mask] = paint[mask]


def _blurred(crop: np.ndarray, region: Region) -> np.ndarray:
    """The window of the blurred crop; only its surroundings are computed."""
    reach, (h, w) = region.kernel // 2, crop.shape[:2]
    top, left = max(0, region.rows.start - reach), max(0, region.columns.start - reach)
    bottom, right = min(h, region.rows.stop + reach), min(w, region.columns.stop + reach)
    around = cv2.GaussianBlur(crop[top:bottom, left:right], (region.kernel,) * 2, 0)
    rows = slice(region.rows.start - top, region.rows.stop - top)
    return around[rows, region.columns.start - left : region.columns.stop - left]
