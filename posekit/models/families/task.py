"""What the training loop and the evaluation ask of a family of networks."""

from typing import Any, Protocol

from torch import Tensor, nn

from ...geometry.heatmaps import constants


class Task(Protocol):
    """Inputs, targets, loss and decoding of one family.

    Attributes:
        model: a network of the registry; its `description` says what it takes.
    """

    model: nn.Module

    def outputs(self, images: Tensor) -> Tensor | list[Tensor]:
        """Run the network on uint8 crops (B, T, 3, h, w)."""
        ...

    def targets(
        self,
        keypoints: Tensor,
        visible: Tensor,
        image_size: tuple[int, int],
        map_size: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Perfect maps (B, T, C, H, W) and their weights (B, T, C)."""
        ...

    def loss(self, outputs: Tensor | list[Tensor], batch: dict[str, Tensor]) -> Tensor:
        """The training loss of outputs for a batch."""
        ...

    def heatmaps(self, images: Tensor) -> Tensor:
        """The final map of every joint in every frame, (B, T, K, H, W)."""
        ...

    def step(self, images: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Maps (B, K, H, W) of the next frame (B, 3, h, w) of videos, and the state after it.

        Only recurrent networks have it: those whose `model` has a `step`.
        """
        ...

    def flip_back(self, beliefs: Tensor) -> Tensor:
        """Beliefs about mirrored crops, turned back."""
        ...

    def decode(self, beliefs: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Keypoints (B, T, K, 2) in crop pixels and their scores (B, T, K)."""
        ...


def normalised(images: Tensor, model: nn.Module) -> Tensor:
    """Crops (..., 3, h, w) uint8 RGB in the colour order and units of a network, float32."""
    about = model.description
    if about.colour == "BGR":
        images = images.flip(-3)
    images = images.float()
    mean, std = (constants(numbers, images)[:, None, None] for numbers in (about.mean, about.std))
    return (images - mean) / std
