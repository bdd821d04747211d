"""Keypoints to heat maps: the targets of training, batched, on any device.

Letters: K keypoints, h w the crop in pixels, H W the map in cells; leading axes are free.
Keypoints are (x, y) in pixels of the crop. Networks differ in where cell g lies on the crop, with
s = h / H pixels per cell:

    half_pixel  (g + 0.5) s - 0.5   CPM and LPM: 8 g + 3.5 at stride 8
    otherwise   g s                 MobilePose-master, HRNet and its relatives
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .crops import transform

Size = tuple[int, int]  # (h, w) or (H, W)
_CUT = 4.6052  # exponents beyond it count as zero: Gaussians end at 0.01 (caffe CPM and LPM)


def constants(values: Sequence[float], like: Tensor) -> Tensor:
    """A few numbers (N,), made on the device of a tensor: a copy in each step would wait for it."""
    return torch.stack([like.new_full((), value) for value in values])


def cell_centres(cells: int, pixels: int, half_pixel: bool, like: Tensor) -> Tensor:
    """Crop pixel of each cell along one axis, (cells,)."""
    stride = pixels / cells
    index = torch.arange(cells, device=like.device, dtype=like.dtype)
    return (index + 0.5) * stride - 0.5 if half_pixel else index * stride


def cells_to_pixels(cells: Tensor, image_size: Size, map_size: Size, half_pixel: bool) -> Tensor:
    """Map (x, y) in cells (..., 2) to crop pixels."""
    stride = constants([image_size[1] / map_size[1], image_size[0] / map_size[0]], cells)
    return (cells + 0.5) * stride - 0.5 if half_pixel else cells * stride


def resampled(maps: Tensor, matrix: np.ndarray, image_size: Size, half_pixel: bool) -> Tensor:
    """Maps of one crop on the cells of another one of the same size, linearly in between.

    Args:
        maps: (..., K, H, W); 0 outside.
        matrix: (2, 3) from pixels of the other crop to those of the maps' own.
        image_size: (h, w) of both crops.
        half_pixel: where cells lie on the crops.

    Returns:
        (..., K, H, W), the maps themselves where the crops are the same.
    """
    if np.array_equal(matrix, np.eye(2, 3)):
        return maps
    H, W = maps.shape[-2:]
    half, cells, pixels = 0.5 * half_pixel, np.array([W, H]), np.array(image_size[::-1])
    here = (np.stack(np.meshgrid(range(W), range(H)), -1) + half) * pixels / cells - half
    there = (transform(matrix, here) + half) * cells / pixels - half
    flat = maps.flatten(0, -4)
    grid = torch.from_numpy((2 * there + 1) / cells - 1).to(maps).expand(len(flat), -1, -1, -1)
    return F.grid_sample(flat, grid, align_corners=False).reshape(maps.shape)


def gaussian_maps(
    keypoints: Tensor,
    visible: Tensor,
    image_size: Size,
    map_size: Size,
    sigma: float,
    half_pixel: bool = True,
) -> Tensor:
    """Draw one Gaussian of peak 1 per visible keypoint.

    Args:
        keypoints: (..., K, 2) crop pixels; values of invisible ones do not matter.
        visible: (..., K) bool.
        image_size: (h, w) of the crop.
        map_size: (H, W).
        sigma: crop pixels.

    Returns:
        (..., K, H, W), zero below 0.01 and for invisible keypoints.
    """
    keypoints = torch.where(visible[..., None], keypoints, torch.inf)
    (h, w), (H, W) = image_size, map_size
    dx = cell_centres(W, w, half_pixel, keypoints) - keypoints[..., 0, None]
    dy = cell_centres(H, h, half_pixel, keypoints) - keypoints[..., 1, None]
    # One large array, changed in place: several would cost more than all arithmetic.
    maps = (dy.square()[..., :, None] + dx.square()[..., None, :]).div_(-2 * sigma**2)
    return maps.masked_fill_((maps >= -_CUT).logical_not_(), -torch.inf).exp_()


def rounded_gaussian_maps(
    keypoints: Tensor,
    visible: Tensor,
    image_size: Size,
    map_size: Size,
    sigma_cells: float,
    reference_mode: bool = False,
) -> tuple[Tensor, Tensor]:
    """Draw one Gaussian per keypoint about a whole cell: the target of SimpleBaseline and HRNet.

    The centre is x / s + 0.5 truncated towards zero, so the peak is exactly 1 and up to half a cell
    off (more just left of and above the crop). A keypoint whose patch of 3 sigma misses the map has
    weight 0.

    Args:
        keypoints: (..., K, 2) crop pixels; values of invisible ones do not matter.
        visible: (..., K) bool.
        image_size: (h, w) of the crop.
        map_size: (H, W).
        sigma_cells: cells, 2 for crops of 256 pixels and 3 for 384.
        reference_mode: keep weight 1, with an empty map, where the patch ends just before the first
            cell, as the references do.

    Returns:
        maps (..., K, H, W) and weights (..., K), 0 or 1.
    """
    (h, w), (H, W) = image_size, map_size
    keypoints = torch.where(visible[..., None], keypoints, 0.0)
    middle = (keypoints / constants([w / W, h / H], keypoints) + 0.5).trunc()
    radius = round(3 * sigma_cells)
    end = middle + radius + 1
    before = end < 0 if reference_mode else end <= 0
    outside = (before | (middle - radius >= constants([W, H], middle))).any(-1)
    weights = (visible & ~outside).to(keypoints.dtype)

    def profile(cells: int, axis: int) -> Tensor:
        index = torch.arange(cells, device=middle.device, dtype=middle.dtype)
        squared = (index - middle[..., axis, None]).square()
        near = squared.clamp(max=radius**2)  # denormal tails would be slow
        return torch.exp(near / (-2 * sigma_cells**2)) * (squared <= radius**2)

    rows = profile(H, 1) * weights[..., None]
    return rows[..., :, None] * profile(W, 0)[..., None, :], weights


def with_background(maps: Tensor) -> Tensor:
    """Append the background channel 1 - max over keypoints: (..., K, H, W) -> (..., K+1, H, W)."""
    return torch.cat([maps, (1 - maps.amax(-3, keepdim=True)).clamp(min=0)], -3)


def centre_map(
    image_size: Size, sigma: float, like: Tensor, centre: Tensor | None = None
) -> Tensor:
    """The Gaussian in the middle of the person whose pose a pose machine is to find.

    Args:
        image_size: (h, w) of the crop.
        sigma: crop pixels, 21 in the papers.
        like: a tensor of the map's device and type.
        centre: (B, 2) crop pixels; the middle of the crop when not given.

    Returns:
        (B, 1, h, w), B = 1 when no centre is given.
    """
    h, w = image_size
    if centre is None:
        centre = constants([(w - 1) / 2, (h - 1) / 2], like)[None]
    centre = centre[:, None]
    visible = torch.ones_like(centre[..., 0], dtype=torch.bool)
    return gaussian_maps(centre, visible, image_size, image_size, sigma)
