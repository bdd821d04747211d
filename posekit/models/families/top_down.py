"""How a top-down network is fed, taught and read.

SimpleBaseline, HRNet, Hourglass and the lightweight networks see one person's crop and return one
map per joint; Hourglass returns one set per stack in training. Still images are clips of one frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...geometry.decoding import decode, mirrored, shift_right
from ...geometry.heatmaps import constants, rounded_gaussian_maps
from ...geometry.skeletons import Skeleton
from .losses import Loss, joints_mse
from .task import normalised

_LIMB_WEIGHTS = {"elbow": 1.2, "knee": 1.2, "wrist": 1.5, "ankle": 1.5}


def limb_weights(skeleton: Skeleton) -> list[float]:
    """HRNet's USE_DIFFERENT_JOINTS_WEIGHT: how much each of the K joints weighs in the loss.

    The references have the table for COCO; joints of other skeletons are found by their names.
    """
    return [_LIMB_WEIGHTS.get(joint.rpartition("_")[2], 1.0) for joint in skeleton.joints]


@dataclass
class TopDownTask:
    """Inputs, targets, loss and decoding of the top-down family; see `task.Task`.

    Attributes:
        model: a network of the registry.
        skeleton: the joints it predicts.
        sigma: of the target Gaussians, heat-map cells.
        criterion: the loss of maps and target (B, K, H, W) and weights (B, K).
        decoder: one of `geometry.decoding.DECODERS`.
        shift: move the mirror image's maps by one cell, see `decoding.shift_right`.
        reference_mode: the references' target where its patch is empty.
        joint_weights: multiply the weights by those of `limb_weights`.
    """

    model: nn.Module
    skeleton: Skeleton
    sigma: float
    criterion: Loss = joints_mse
    decoder: str = "quarter"
    shift: bool = True
    reference_mode: bool = False
    joint_weights: bool = False

    def outputs(self, images: Tensor) -> Tensor | list[Tensor]:
        """Run the network on uint8 crops (B, 1, 3, h, w): maps (B, K, H, W), or one per stack."""
        return self.model(normalised(images[:, 0], self.model))

    def targets(
        self,
        keypoints: Tensor,
        visible: Tensor,
        image_size: tuple[int, int],
        map_size: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Perfect maps (B, 1, K, H, W), and weights (B, 1, K), 0 for joints that are not there."""
        maps, weights = rounded_gaussian_maps(
            keypoints, visible, image_size, map_size, self.sigma, self.reference_mode
        )
        if self.joint_weights:
            weights = weights * constants(limb_weights(self.skeleton), weights)
        return maps, weights

    def loss(self, outputs: Tensor | list[Tensor], batch: dict[str, Tensor]) -> Tensor:
        """The training loss, summed over the stacks where there are several."""
        stacks = [outputs] if torch.is_tensor(outputs) else outputs
        size, cells = tuple(batch["images"].shape[-2:]), tuple(stacks[0].shape[-2:])
        maps, weights = self.targets(batch["keypoints"], batch["visible"], size, cells)
        return sum(self.criterion(stack.float(), maps[:, 0], weights[:, 0]) for stack in stacks)

    def heatmaps(self, images: Tensor) -> Tensor:
        """The maps of the network in evaluation mode, (B, 1, K, H, W)."""
        return self.outputs(images)[:, None]

    def flip_back(self, beliefs: Tensor) -> Tensor:
        """Maps of mirrored crops, turned back, with sides swapped and perhaps shifted."""
        maps = mirrored(beliefs, self.skeleton)
        return shift_right(maps) if self.shift else maps

    def decode(self, beliefs: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Keypoints (B, 1, K, 2) in crop pixels and their scores (B, 1, K)."""
        half_pixel = self.model.description.half_pixel
        return decode(beliefs, image_size, self.decoder, half_pixel, sigma_cells=self.sigma)
