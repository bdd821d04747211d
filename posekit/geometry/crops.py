"""Boxes, crops and mirrors: the only file that knows the pixel-centre convention.

A pixel's centre lies at integer coordinates, so an image of width w spans -0.5 .. w - 0.5, its
middle is (w - 1) / 2, and a mirror maps x to w - 1 - x. Boxes are (x1, y1, x2, y2) in pixels.

HRNet and its relatives call w / 2 the middle of their crops and mirror about it: `half_pixel=False`
reproduces that, here as in heatmaps.
"""

import numpy as np


def box_to_square(boxes: np.ndarray, padding: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Centre and side of the square around each box.

    Args:
        boxes: (..., 4) as x1 y1 x2 y2, image pixels.
        padding: factor on the longer side.

    Returns:
        centres (..., 2) and sides (...,), image pixels.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, padding * (high - low).max(-1)


def aspect_box(
    boxes: np.ndarray, aspect: float, padding: float = 1.25
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and size of the box of one aspect around each box.

    Args:
        boxes: (..., 4) as x1 y1 x2 y2, image pixels.
        aspect: width / height of the crop.
        padding: factor on both sides; 1.25 in SimpleBaseline and HRNet.

    Returns:
        centres (..., 2) and sizes (..., 2) as (w, h), image pixels.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, padding * _to_aspect(high - low, aspect)


def _to_aspect(sizes: np.ndarray, aspect: float) -> np.ndarray:
    """Enlarge the shorter side of sizes (..., 2) to width / height = aspect."""
    width = np.maximum(sizes[..., 0], aspect * sizes[..., 1])
    return np.stack([width, width / aspect], -1)


def clean_boxes(boxes: np.ndarray, image_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut COCO's annotated boxes to their images, as the COCO loaders of the references do.

    Args:
        boxes: (N, 4) as x y w h, image pixels; not this module's corners, but the file's columns.
        image_sizes: (N, 2) as (h, w).

    Returns:
        boxes (N, 4) as x1 y1 x2 y2, x2 = min(w - 1, x + width - 1), and (N,) bool, False where
        nothing is left inside the image. The references also drop people whose annotated area is 0.
    """
    low = np.maximum(boxes[:, :2], 0)
    high = np.minimum(low + np.maximum(boxes[:, 2:] - 1, 0), image_sizes[:, ::-1] - 1)
    return np.concatenate([low, high], -1), (high >= low).all(-1)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)


def half_body_box(
    keypoints: np.ndarray,
    visible: np.ndarray,
    upper: np.ndarray,
    rng: np.random.Generator,
    aspect: float,
    reference_mode: bool = False,
) -> tuple[np.ndarray, np.ndarray] | None:
    """A box around the upper or the lower half of one person, for augmentation (HRNet).

    A coin picks the half. The upper one needs three visible joints, else the lower one is taken;
    when that has fewer too, the upper one stays. Which people are cut at all is the caller's
    choice: HRNet takes 0.3 of those with more than 8 visible joints.

    Args:
        keypoints: (K, 2) image pixels.
        visible: (K,) bool.
        upper: (K,) bool, joints of the upper body.
        rng: tosses the coin.
        aspect: width / height of the crop.
        reference_mode: heads in 0.69 instead of half of the cases, as the references' coin.

    Returns:
        centre (2,), the mean of the joints, and size (2,) as (w, h), image pixels; None when fewer
        than two joints are visible in the half, or all are in one place.
    """
    heads = rng.random() < (0.69 if reference_mode else 0.5)
    half, other = visible & upper, visible & ~upper
    if not (heads and half.sum() > 2) and other.sum() > 2:
        half = other
    joints = keypoints[half]
    extent = np.ptp(joints, axis=0) if len(joints) else np.zeros(2)
    if not extent.any():  # one joint too
        return None
    return joints.mean(0), 1.5 * _to_aspect(extent, aspect)


def union_box(boxes: np.ndarray) -> np.ndarray:
    """The smallest box (..., 4) that holds all boxes (..., N, 4)."""
    return np.concatenate([boxes[..., :2].min(-2), boxes[..., 2:].max(-2)], -1)


def resized(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes (N, 4) made larger or smaller about their middles."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, factor * (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([middle - half, middle + half], 1)


def keypoint_box(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The extent (N, 4) of the visible keypoints (N, K, 2); NaN where none is visible."""
    low = np.where(visible[..., None], keypoints, np.inf).min(-2)
    high = np.where(visible[..., None], keypoints, -np.inf).max(-2)
    box = np.concatenate([low, high], -1)
    return np.where(np.isfinite(box), box, np.nan)


def crop_matrix(
    centre: np.ndarray,
    side: float | np.ndarray,
    size: tuple[int, int],
    rotation: float = 0.0,
    flip: bool = False,
    half_pixel: bool = True,
) -> np.ndarray:
    """The affine map from image pixels to crop pixels.

    The square of `side` image pixels around `centre` fills the longer side of the crop; a positive
    rotation turns the picture clockwise; a flip mirrors the crop after that.

    Args:
        centre: (..., 2) image pixels.
        side: (...) image pixels; without `half_pixel` the width of a box of the crop's aspect,
            which fills the crop's width.
        size: (h, w) of the crop.
        rotation: degrees.
        flip: mirror left and right.
        half_pixel: the crop spans -0.5 .. w - 0.5; otherwise 0 .. w, as HRNet and its relatives
            have it.

    Returns:
        (..., 2, 3) float64 matrices M with crop = M @ (x, y, 1).
    """
    h, w = size
    scale = (max(h, w) if half_pixel else w) / np.asarray(side, float)
    last = 1 if half_pixel else 0
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    linear = scale[..., None, None] * np.array([[cos, -sin], [sin, cos]])
    middle = np.array([[(w - last) / 2], [(h - last) / 2]])
    shift = middle - linear @ np.asarray(centre, float)[..., None]
    matrix = np.concatenate([linear, shift], -1)
    if flip:
        matrix[..., 0, :] = -matrix[..., 0, :]
        matrix[..., 0, 2] += w - last
    return matrix


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of affine maps (..., 2, 3)."""
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], -1)


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The maps (..., 2, 3) that do the first and then the second."""
    maps = second[..., :2] @ first
    maps[..., 2] += second[..., 2]
    return maps


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply affine maps (..., 2, 3) to points (..., K, 2)."""
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
