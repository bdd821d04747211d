"""Keypoints to heat maps and back, batched, on any device.

Letters: K keypoints, h w the crop in pixels, H W the map in cells; leading axes are free.
Keypoints are (x, y) in pixels of the crop. Networks differ in where cell g lies on the crop, with
s = h / H pixels per cell:

    half_pixel  (g + 0.5) s - 0.5   CPM and LPM: 8 g + 3.5 at stride 8
    otherwise   g s                 MobilePose-master, HRNet and its relatives
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_CUT = 4.6052  # exponents beyond it count as zero: Gaussians end at 0.01 (caffe CPM and LPM)


def cell_centres(cells: int, pixels: int, half_pixel: bool, like: Tensor) -> Tensor:
    """Crop pixel of each cell along one axis, (cells,)."""
    stride = pixels / cells
    index = torch.arange(cells, device=like.device, dtype=like.dtype)
    return (index + 0.5) * stride - 0.5 if half_pixel else index * stride


def cells_to_pixels(
    cells: Tensor, image_size: tuple[int, int], map_size: tuple[int, int], half_pixel: bool
) -> Tensor:
    """Map (x, y) in cells (..., 2) to crop pixels."""
    stride = cells.new_tensor([image_size[1] / map_size[1], image_size[0] / map_size[0]])
    return (cells + 0.5) * stride - 0.5 if half_pixel else cells * stride


def gaussian_maps(
    keypoints: Tensor,
    visible: Tensor,
    image_size: tuple[int, int],
    map_size: tuple[int, int],
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
    keypoints = torch.where(visible[..., None], keypoints, 0.0)
    (h, w), (H, W) = image_size, map_size
    dx = cell_centres(W, w, half_pixel, keypoints) - keypoints[..., 0, None]
    dy = cell_centres(H, h, half_pixel, keypoints) - keypoints[..., 1, None]
    exponent = (dy.square()[..., :, None] + dx.square()[..., None, :]) / (2 * sigma**2)
    drawn = (exponent <= _CUT) & visible[..., None, None]
    return torch.where(drawn, torch.exp(-exponent), 0.0)


def with_background(maps: Tensor) -> Tensor:
    """Append the background channel 1 - max over keypoints: (..., K, H, W) -> (..., K+1, H, W)."""
    return torch.cat([maps, (1 - maps.amax(-3, keepdim=True)).clamp(min=0)], -3)


def centre_map(
    image_size: tuple[int, int], sigma: float, like: Tensor, centre: Tensor | None = None
) -> Tensor:
    """The Gaussian that tells a pose machine whose pose is wanted.

    Args:
        image_size: (h, w) of the crop.
        sigma: crop pixels, 21 in the papers.
        like: a tensor of the wanted device and type.
        centre: (B, 2) crop pixels; the middle of the crop when not given.

    Returns:
        (B, 1, h, w), B = 1 when no centre is given.
    """
    h, w = image_size
    if centre is None:
        centre = like.new_tensor([[(w - 1) / 2, (h - 1) / 2]])
    everywhere = torch.ones(centre.shape[:-1], dtype=torch.bool, device=centre.device)
    return gaussian_maps(centre[:, None], everywhere[:, None], image_size, image_size, sigma)


def argmax(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The first highest cell of each map.

    Args:
        maps: (..., H, W).

    Returns:
        (x, y) in cells (..., 2) float, and the value there (...,).
    """
    scores, flat = maps.flatten(-2).max(-1)
    width = maps.shape[-1]
    return torch.stack([flat % width, flat // width], -1).to(maps.dtype), scores


def quarter_offset(maps: Tensor, cells: Tensor) -> Tensor:
    """Move each peak a quarter cell towards its higher neighbour, as HRNet and Hourglass do.

    Peaks in columns or rows 0, 1 and the last stay where they are, as in all the references.

    Args:
        maps: (..., H, W).
        cells: (..., 2) integer peaks from `argmax`.

    Returns:
        (..., 2) cells.
    """
    H, W = maps.shape[-2:]
    x, y = cells.long().unbind(-1)
    inside = (x > 1) & (x < W - 1) & (y > 1) & (y < H - 1)
    x, y = x.clamp(1, W - 2), y.clamp(1, H - 2)
    flat = maps.flatten(-2)

    def value(dx: int, dy: int) -> Tensor:
        return flat.gather(-1, ((y + dy) * W + x + dx)[..., None])[..., 0]

    slope = torch.stack([value(1, 0) - value(-1, 0), value(0, 1) - value(0, -1)], -1)
    return cells + 0.25 * slope.sign() * inside[..., None]


def decode(
    maps: Tensor, image_size: tuple[int, int], half_pixel: bool = True
) -> tuple[Tensor, Tensor]:
    """Read keypoints off the maps at the crop's own resolution.

    Cell-aligned maps are enlarged bicubically and the highest pixel is taken, as caffe CPM and LPM
    do in testing; the others use the highest cell and a quarter offset, as their references do.

    Args:
        maps: (..., K, H, W) without background.
        image_size: (h, w) of the crop.

    Returns:
        keypoints (..., K, 2) in crop pixels and scores (..., K).
    """
    maps = maps.float()
    if half_pixel:
        large = F.interpolate(
            maps.reshape(-1, 1, *maps.shape[-2:]), image_size, mode="bicubic", align_corners=False
        )
        pixels, scores = argmax(large.reshape(*maps.shape[:-2], *image_size))
        return pixels, scores
    cells, scores = argmax(maps)
    cells = quarter_offset(maps, cells)
    return cells_to_pixels(cells, image_size, tuple(maps.shape[-2:]), half_pixel), scores
