"""Losses on heat maps."""

from collections.abc import Callable

from torch import Tensor

from ...errors import PosekitError

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of maps, target and weights


def heatmap_loss(maps: Tensor, target: Tensor, weights: Tensor, reduction: str = "sum") -> Tensor:
    """Weighted squared error of heat maps.

    CPM's cost: the squared distance of a stage's maps from the ideal ones, added over the stages
    (Wei et al. 2016, section 3.3); LPM's adds it over the frames. "sum" has caffe's factor in
    front, 1 / (2 B), as both are published; "mean" is half the mean over every element.

    Args:
        maps: (B, S, C, H, W).
        target: (B, S, C, H, W).
        weights: (B, S, C), 0 leaves a map out.
        reduction: "sum" or "mean".
    """
    total = ((maps - target).square().sum((-2, -1)) * weights).sum() / 2
    return total / (len(maps) if reduction == "sum" else maps.numel())


def joints_mse(maps: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Half the mean squared error of weighted heat maps, as SimpleBaseline and HRNet train with.

    The weight multiplies both maps, so it enters squared: 1.5 counts 2.25 times. Maps left out stay
    in the mean.

    Args:
        maps: (B, K, H, W).
        target: (B, K, H, W).
        weights: (B, K), 0 leaves a map out.
    """
    return _joint_losses(maps, target, weights).mean()


def ohkm(maps: Tensor, target: Tensor, weights: Tensor, topk: int = 8) -> Tensor:
    """`joints_mse` over each person's `topk` worst joints alone: online hard keypoint mining.

    Args:
        maps: (B, K, H, W).
        target: (B, K, H, W).
        weights: (B, K), 0 leaves a map out.
        topk: joints of each person, of K.

    Raises:
        PosekitError: `topk` is not in 1..K.
    """
    if not 1 <= topk <= weights.shape[1]:
        raise PosekitError(f"topk is {topk}: choose 1 to {weights.shape[1]}, the joints there are")
    return _joint_losses(maps, target, weights).topk(topk, dim=1).values.mean()


def _joint_losses(maps: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Half the weighted mean squared error of each map, (B, K)."""
    return (maps - target).square().mean((-2, -1)) * weights.square() / 2
