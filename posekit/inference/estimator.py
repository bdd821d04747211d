"""A network that estimates poses: an image and boxes in, keypoints out, frame after frame."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config.families import TestingSettings
from ..data.framing import Framing
from ..geometry.crops import invert, transform
from ..geometry.skeletons import Skeleton
from ..models.families.task import Task
from .evaluate import average_heatmaps

_BATCH = 16  # people in one pass


class PoseEstimate(NamedTuple):
    """What a network finds of the people of one frame.

    Attributes:
        keypoints: (P, K, 2) pixels of the frame.
        scores: (P, K), height of each peak.
        heatmaps: (P, K, H, W).
        crops: (P, h, w, 3) uint8 RGB, the network's inputs.
        states: of a recurrent network, the state that each person's next frame starts from.
        seconds: that the network took.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    heatmaps: np.ndarray
    crops: np.ndarray
    states: list[Any]
    seconds: float = 0.0


@dataclass
class PoseEstimator:
    """A network, ready to estimate poses.

    Attributes:
        name: for titles and files.
        story: what it is and where its weights come from, one sentence.
        trained: False for random weights, whose poses mean nothing.
        task: the network with its inputs and decoding.
        skeleton: its joints.
        framing: how a box becomes its crop.
        device: where it computes.
        flip_test: average with the mirror image; not for recurrent networks in a video.
        settings: how the network is tested, where that is known.
    """

    name: str
    story: str
    trained: bool
    task: Task
    skeleton: Skeleton
    framing: Framing
    device: torch.device
    flip_test: bool = False
    settings: TestingSettings | None = None

    @property
    def recurrent(self) -> bool:
        """Whether it carries a state from frame to frame (LPM's `step`)."""
        return hasattr(self.task.model, "step")

    @torch.inference_mode()
    def estimate(
        self, image: np.ndarray, boxes: np.ndarray, states: list[Any] | None = None
    ) -> PoseEstimate:
        """Find the joints of the people in some boxes.

        Args:
            image: (h, w, 3) uint8 RGB.
            boxes: (P, 4) x1 y1 x2 y2, pixels of the image.
            states: of a recurrent network, what `PoseEstimate.states` held for each person, None
                for new ones; None instead of a list for images that are not of a video.
        """
        started, (h, w) = time.perf_counter(), self.framing.image_size
        matrices = self.framing.matrix(*self.framing.place(boxes))
        cuts = [self.framing.cut(image, matrix) for matrix in matrices]
        crops = np.array(cuts, np.uint8).reshape(-1, h, w, 3)
        if not len(boxes):
            k = len(self.skeleton)
            nobody = np.empty((0, k, 2)), np.empty((0, k)), np.empty((0, k, h, w))
            return PoseEstimate(*nobody, crops, [])
        images = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).contiguous()
        if states is not None and self.recurrent:
            heatmaps, states = self._step(images, states)
        else:
            parts, states = images[:, None].split(_BATCH), []
            heatmaps = torch.cat([average_heatmaps(self.task, p, self.flip_test) for p in parts])
        keypoints, scores = self.task.decode(heatmaps, self.framing.image_size)
        return PoseEstimate(
            keypoints=transform(invert(matrices), keypoints[:, 0].cpu().double().numpy()),
            scores=scores[:, 0].cpu().numpy(),
            heatmaps=heatmaps[:, 0].cpu().numpy(),
            crops=crops,
            states=states,
            seconds=time.perf_counter() - started,
        )

    def _step(self, images: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        """One frame (P, 3, h, w) of a video: heatmaps (P, 1, K, H, W) and everybody's new state."""
        heatmaps, after = [None] * len(states), [None] * len(states)
        new = [row for row, state in enumerate(states) if state is None]
        known = [row for row, state in enumerate(states) if state is not None]
        for rows in new, known:
            for some in (rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)):
                before = zip(*(states[row] for row in some), strict=True) if rows is known else ()
                before = [torch.cat(parts) for parts in before] or None
                maps, state = self.task.step(images[some], before)
                for i, row in enumerate(some):
                    heatmaps[row], after[row] = maps[i : i + 1], [p[i : i + 1] for p in state]
        return torch.stack(heatmaps).float(), after


def number_equal_names(estimators: Sequence[PoseEstimator]) -> None:
    """Append -1, -2, ... to the names of networks that share one."""
    names = [estimator.name for estimator in estimators]
    for i, estimator in enumerate(estimators):
        if names.count(names[i]) > 1:
            estimator.name += f"-{names[: i + 1].count(names[i])}"
