"""Boxes, crops and mirrors: the only file that knows the pixel-centre convention.

A pixel's centre lies at integer coordinates, so an image of width w spans -0.5 .. w - 0.5, its
middle is (w - 1) / 2, and a mirror maps x to w - 1 - x. Boxes are (x1, y1, x2, y2) in pixels.
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


def union_box(boxes: np.ndarray) -> np.ndarray:
    """The smallest box (4,) that holds all boxes (N, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def keypoint_box(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The extent (N, 4) of the visible keypoints (N, K, 2); NaN where none is visible."""
    low = np.where(visible[..., None], keypoints, np.inf).min(-2)
    high = np.where(visible[..., None], keypoints, -np.inf).max(-2)
    box = np.concatenate([low, high], -1)
    return np.where(np.isfinite(box), box, np.nan)


def crop_matrix(
    centre: np.ndarray,
    side: float,
    size: tuple[int, int],
    rotation: float = 0.0,
    flip: bool = False,
) -> np.ndarray:
    """The affine map from image pixels to crop pixels.

    The square of `side` image pixels around `centre` fills the longer side of the crop; a positive
    rotation turns the picture clockwise; a flip mirrors the crop after that.

    Args:
        centre: (2,) image pixels.
        side: image pixels.
        size: (h, w) of the crop.
        rotation: degrees.
        flip: mirror left and right.

    Returns:
        (2, 3) float64 matrix M with crop = M @ (x, y, 1).
    """
    h, w = size
    scale = max(h, w) / side
    angle = np.deg2rad(rotation)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([(w - 1) / 2, (h - 1) / 2])
    matrix = np.concatenate([turn, (middle - turn @ np.asarray(centre, float))[:, None]], 1)
    if flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += w - 1
    return matrix


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of affine maps (..., 2, 3)."""
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], -1)


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply affine maps (..., 2, 3) to points (..., K, 2)."""
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
