"""Losses on heat maps."""

from torch import Tensor


def heatmap_loss(maps: Tensor, target: Tensor, weights: Tensor, reduction: str = "sum") -> Tensor:
    """Weighted squared error of heat maps.

    "sum" is caffe's EuclideanLoss added over the stages, 1 / (2 B) times the sum of squares, which
    CPM and LPM are published with; "mean" is half the mean over every element.

    Args:
        maps: (B, S, C, H, W).
        target: (B, S, C, H, W).
        weights: (B, S, C), 0 leaves a map out.
        reduction: "sum" or "mean".
    """
    total = ((maps - target).square().sum((-2, -1)) * weights).sum() / 2
    return total / (len(maps) if reduction == "sum" else maps.numel())
