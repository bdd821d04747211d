"""Heat maps to keypoints: peaks, their refinement, and the decoders by name.

Letters as in `heatmaps`, which says where a cell lies on the crop.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import PosekitError
from .heatmaps import cells_to_pixels
from .skeletons import Skeleton

DECODERS = (
    "argmax", "quarter", "dark", "soft_argmax", "soft_argmax_official", "soft_argmax_lp_net",
)  # fmt: skip


def argmax(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The first highest cell of each map.

    Args:
        maps: (..., H, W).

    Returns:
        (x, y) in cells (..., 2) float, and the value there (...,).
    """
    flat, width = maps.flatten(-2), maps.shape[-1]
    if maps.device.type == "cpu":  # numpy's argmax is ten times as fast there as torch's
        wide = flat.detach().to(torch.promote_types(maps.dtype, torch.float32))
        index = torch.from_numpy(np.asarray(wide.numpy().argmax(-1)))
    else:
        index = flat.argmax(-1)
    scores = flat.gather(-1, index[..., None])[..., 0]
    return torch.stack([index % width, index // width], -1).to(maps.dtype), scores


def quarter_offset(maps: Tensor, cells: Tensor) -> Tensor:
    """Move each peak a quarter cell towards its higher neighbour, as HRNet and Hourglass do.

    Peaks in columns or rows 0, 1 and the last stay where they are, as in all the references; maps
    with fewer than four rows or columns have no others.

    Args:
        maps: (..., H, W).
        cells: (..., 2) peaks; the neighbours looked at are those of the nearest cell.

    Returns:
        (..., 2) cells.
    """
    H, W = maps.shape[-2:]
    if min(H, W) < 4:
        return cells
    x, y = (cells + 0.5).long().unbind(-1)
    inside = (x > 1) & (x < W - 1) & (y > 1) & (y < H - 1)
    x, y = x.clamp(1, W - 2), y.clamp(1, H - 2)
    across = _values(maps, x + 1, y) - _values(maps, x - 1, y)
    slope = torch.stack([across, _values(maps, x, y + 1) - _values(maps, x, y - 1)], -1)
    return cells + 0.25 * slope.sign() * inside[..., None]


def _values(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values (...) of maps (..., H, W) at whole cells (...)."""
    return maps.flatten(-2).gather(-1, (y * maps.shape[-1] + x)[..., None])[..., 0]


def dark(maps: Tensor, cells: Tensor, sigma_cells: float = 2.0) -> Tensor:
    """Refine each peak by one Taylor step on the logarithm of the smoothed map.

    DARK, Zhang et al., CVPR 2020: the logarithm D of a Gaussian is a parabola, so the step from the
    peak m, mu = m - D''(m)^-1 D'(m), ends on its true centre mu. The map is smoothed before.
    Peaks within two cells of the border stay, and so do those where the map is not concave
    or the step leaves the 5 x 5 cells it was computed from.

    Args:
        maps: (..., H, W).
        cells: (..., 2) integer peaks from `argmax`.
        sigma_cells: cells, of the Gaussians trained on and of the smoothing.

    Returns:
        (..., 2) cells.
    """
    H, W = maps.shape[-2:]
    x, y = cells.long().unbind(-1)
    radius = round(2.5 * sigma_cells)  # kernels 11 and 17 for sigma 2 and 3, as in the paper
    reach = radius + 2
    window = torch.arange(2 * reach + 1, device=maps.device)
    rows = (y[..., None] + window)[..., :, None] * (W + 2 * reach)
    index = (rows + (x[..., None] + window)[..., None, :]).flatten(-2)
    patch = F.pad(maps, (reach,) * 4).flatten(-2).gather(-1, index)
    patch = patch.unflatten(-1, (len(window), len(window)))

    distance = window - reach - torch.arange(-2, 3, device=maps.device)[:, None]
    # Smoothed only where it is needed.
    blur = torch.exp(distance.square() / (-2 * sigma_cells**2)) * (distance.abs() <= radius)
    blur = (blur / blur.sum(-1, keepdim=True)).to(maps.dtype)
    level = (blur @ patch @ blur.T).clamp(min=1e-10).log()

    # D' and D'' by finite differences about the middle of the 5 x 5 cells
    dx = (level[..., 2, 3] - level[..., 2, 1]) / 2
    dy = (level[..., 3, 2] - level[..., 1, 2]) / 2
    dxx = (level[..., 2, 4] - 2 * level[..., 2, 2] + level[..., 2, 0]) / 4
    dyy = (level[..., 4, 2] - 2 * level[..., 2, 2] + level[..., 0, 2]) / 4
    dxy = (level[..., 3, 3] - level[..., 1, 3] - level[..., 3, 1] + level[..., 1, 1]) / 4
    determinant = dxx * dyy - dxy.square()
    step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / determinant[..., None]
    sound = (x > 1) & (x < W - 2) & (y > 1) & (y < H - 2) & (dxx < 0) & (determinant > 0)
    sound &= (step.abs() <= 2).all(-1)
    return torch.where(sound[..., None], cells + step, cells)


def soft_argmax(maps: Tensor, beta: float = 160.0, variant: str = "pure") -> tuple[Tensor, Tensor]:
    """The expected cell under the softmax of `beta` times the map.

    LPN, Zhang et al. 2019, there called beta-soft-argmax.

    Args:
        maps: (..., H, W).
        beta: sharpness; a map that is equal everywhere gives its middle.
        variant: "pure"; "official", the LPN authors' code, which adds a quarter offset and reads
            the score at the rounded cell; "lp_net", which sends maps without a positive value to
            the origin.

    Returns:
        cells (..., 2) and scores (...,).

    Raises:
        PosekitError: unknown variant.
    """
    if variant not in ("pure", "official", "lp_net"):
        raise PosekitError(f"unknown soft-argmax {variant!r}: choose pure, official or lp_net")
    chance = (beta * maps).flatten(-2).softmax(-1).unflatten(-1, maps.shape[-2:])
    along = [chance.sum(-2), chance.sum(-1)]
    index = [torch.arange(a.shape[-1], device=a.device, dtype=a.dtype) for a in along]
    cells = torch.stack([(a * i).sum(-1) for a, i in zip(along, index, strict=True)], -1)
    if variant == "official":
        H, W = maps.shape[-2:]
        x, y = cells.round().long().unbind(-1)  # maps of a diverged network are NaN
        return quarter_offset(maps, cells), _values(maps, x.clamp(0, W - 1), y.clamp(0, H - 1))
    scores = maps.amax((-2, -1))
    return (cells * (scores > 0)[..., None] if variant == "lp_net" else cells), scores


def mirrored(maps: Tensor, skeleton: Skeleton) -> Tensor:
    """Maps (..., K, H, W) with left and right exchanged, of the joints too."""
    sides = torch.tensor(skeleton.flip, device=maps.device)
    return maps.index_select(-3, sides).flip(-1)


def shift_right(maps: Tensor) -> Tensor:
    """Move maps (..., H, W) one cell to the right; the first column stays.

    With cell g at pixel g s, mirroring the crop and then the map lands one cell too far left.
    """
    shifted = maps.roll(1)  # all cells as one row: twice as fast as row by row
    shifted[..., 0] = maps[..., 0]
    return shifted


def decode(
    maps: Tensor,
    image_size: tuple[int, int],
    method: str = "quarter",
    half_pixel: bool = False,
    sigma_cells: float = 2.0,
    beta: float = 160.0,
) -> tuple[Tensor, Tensor]:
    """Read keypoints off maps.

    Peaks of maps without a positive value are put at the first cell, as in the references, except
    by "soft_argmax" and "soft_argmax_official".

    Args:
        maps: (..., K, H, W) without background.
        image_size: (h, w) of the crop.
        method: one of `DECODERS`.
        half_pixel: where cells lie on the crop, see `heatmaps`.
        sigma_cells: for "dark", cells of the Gaussians trained on.
        beta: for soft-argmax.

    Returns:
        keypoints (..., K, 2) in crop pixels and scores (..., K), float32.

    Raises:
        PosekitError: unknown method.
    """
    if method not in DECODERS:
        raise PosekitError(f"unknown decoder {method!r}: choose one of {', '.join(DECODERS)}")
    maps = maps.float()
    if method.startswith("soft_argmax"):
        variant = method.removeprefix("soft_argmax").strip("_") or "pure"
        cells, scores = soft_argmax(maps, beta, variant)
    else:
        cells, scores = argmax(maps)
        cells = cells * (scores > 0)[..., None]
        if method == "quarter":
            cells = quarter_offset(maps, cells)
        elif method == "dark":
            cells = dark(maps, cells, sigma_cells)
    return cells_to_pixels(cells, image_size, tuple(maps.shape[-2:]), half_pixel), scores


def decode_enlarged(maps: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Read keypoints off half-pixel maps (..., K, H, W) enlarged to the crop (h, w), bicubically.

    The highest pixel is taken, as caffe CPM and LPM do in testing.

    Returns:
        keypoints (..., K, 2) in crop pixels and scores (..., K), float32.
    """
    flat = maps.float().flatten(0, -3)[:, None]
    large = F.interpolate(flat, image_size, mode="bicubic", align_corners=False)
    return argmax(large.reshape(*maps.shape[:-2], *image_size))
