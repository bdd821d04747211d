"""How a pose machine is fed, taught and read.

CPM refines the belief about one image stage by stage; LPM holds one belief per frame and an
initial one. Either way a network returns stages (B, S, C, H, W), and with T frames the last T
stages are the final beliefs about frames 1..T; the stages before them are about the first frame.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...geometry.decoding import decode, decode_enlarged, mirrored
from ...geometry.heatmaps import Size, centre_map, gaussian_maps, with_background
from ...geometry.skeletons import skeleton
from .losses import Loss, heatmap_loss
from .task import normalised


@dataclass
class PoseMachineTask:
    """Inputs, targets, loss and decoding of the pose-machine family; see `task.Task`.

    Attributes:
        model: a network of the registry (its `description` says what it takes).
        sigma: of the target Gaussians, crop pixels.
        centre_sigma: of the centre map, crop pixels.
        reduction: "sum" (caffe: half the sum of squares per clip) or "mean".
        criterion: the loss of maps and target (B, S, C, H, W) and weights (B, S, C).
    """

    model: nn.Module
    sigma: float
    centre_sigma: float
    reduction: str = "sum"

    def __post_init__(self) -> None:
        self.criterion: Loss = partial(heatmap_loss, reduction=self.reduction)

    def outputs(self, images: Tensor) -> Tensor:
        """Run the network on uint8 crops.

        Args:
            images: (B, T, 3, h, w) uint8 RGB. An image network takes each frame by itself.

        Returns:
            (B, S, C, H, W) stages, or (B * T, S, C, H, W) of an image network.
        """
        if self.model.description.kind == "image":
            images = images.flatten(0, 1)
        return self.model(*self._inputs(images))

    def _inputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, ..., 3, h, w) as the network likes them, and their centre maps."""
        frames = normalised(images, self.model)
        centre = centre_map(tuple(images.shape[-2:]), self.centre_sigma, frames)
        return frames, centre.expand(len(frames), -1, -1, -1)

    def targets(
        self,
        keypoints: Tensor,
        visible: Tensor,
        image_size: Size,
        map_size: Size,
    ) -> tuple[Tensor, Tensor]:
        """Perfect maps, and weights that leave out joints nobody has annotated.

        Args:
            keypoints: (B, T, K, 2) crop pixels.
            visible: (B, T, K) bool.
            image_size: (h, w) of the crop.
            map_size: (H, W).

        Returns:
            (B, T, C, H, W) and (B, T, C), C with the background where the network has one.
        """
        about = self.model.description
        maps = gaussian_maps(keypoints, visible, image_size, map_size, self.sigma, about.half_pixel)
        if about.background:
            maps = with_background(maps)
            visible = torch.cat([visible, torch.ones_like(visible[..., :1])], -1)
        return maps, visible.float()

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The training loss: every stage is held against its frame's targets.

        A batch with "everybody" (B, T, P, K, 2) teaches the first stage, before those that are the
        final beliefs, all people of the crop, as CPM's release and LPM's single-image model do
        (`label_1st`; it adds Gaussians up to 1, here the highest one counts).
        """
        size = tuple(batch["images"].shape[-2:])
        cells = tuple(outputs.shape[-2:])
        maps, weights = self.targets(batch["keypoints"], batch["visible"], size, cells)
        image = self.model.description.kind == "image"
        if image:
            maps, weights = maps.flatten(0, 1)[:, None], weights.flatten(0, 1)[:, None]
        before = outputs.shape[1] - maps.shape[1]  # stages about the first frame
        target, weights = (
            torch.cat([each[:, :1].repeat_interleave(before, 1), each], 1)
            for each in (maps, weights)
        )
        if "everybody" in batch and before:
            people = batch["everybody"].flatten(0, 1) if image else batch["everybody"][:, 0]
            target[:, 0] = self._all_people(people, size, cells)
        return self.criterion(outputs.float(), target, weights)

    def _all_people(self, keypoints: Tensor, image_size: Size, map_size: Size) -> Tensor:
        """Perfect maps (B, C, H, W) of all people (B, P, K, 2) at once, NaN for no joint."""
        about, there = self.model.description, ~keypoints[..., 0].isnan()
        sizes = image_size, map_size
        maps = gaussian_maps(keypoints, there, *sizes, self.sigma, about.half_pixel).amax(1)
        return with_background(maps) if about.background else maps

    def step(self, images: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The belief about the next frame (B, 3, h, w), joints only, and the state after it."""
        belief, state = self.model.step(*self._inputs(images), state)
        return self._joints(belief), state

    def _joints(self, beliefs: Tensor) -> Tensor:
        """Beliefs (..., C, H, W) without the background."""
        return beliefs[..., :-1, :, :] if self.model.description.background else beliefs

    def heatmaps(self, images: Tensor) -> Tensor:
        """The final belief about each frame, joints only: (B, T, K, H, W)."""
        stages = self.outputs(images)
        if self.model.description.kind == "image":
            final = stages[:, -1].unflatten(0, images.shape[:2])
        else:
            final = stages[:, -images.shape[1] :]
        return self._joints(final)

    def flip_back(self, beliefs: Tensor) -> Tensor:
        """Beliefs about mirrored crops, turned back and with sides swapped."""
        return mirrored(beliefs, skeleton(self.model.description.skeleton))

    def decode(self, beliefs: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Keypoints (B, T, K, 2) in crop pixels and their scores (B, T, K)."""
        if self.model.description.half_pixel:
            return decode_enlarged(beliefs, image_size)
        return decode(beliefs, image_size, "quarter")
