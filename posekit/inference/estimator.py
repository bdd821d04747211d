"""A network as a thing that looks at people: boxes in, joints out, frame after frame."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.framing import Framing
from ..geometry.crops import invert, transform
from ..geometry.heatmaps import centre_map
from ..geometry.skeletons import Skeleton
from ..models.families.task import Task, normalised
from .evaluate import average_heatmaps

_AT_ONCE = 16  # people in one pass


class Look(NamedTuple):
    """What a network makes of the people of one frame.

    Attributes:
        keypoints: (P, K, 2) pixels of the frame.
        scores: (P, K), height of each peak.
        maps: (P, K, H, W) heat maps.
        crops: (P, h, w, 3) uint8 RGB, what the network saw.
        memory: for a stream, the state that each person's next frame starts from.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    crops: np.ndarray
    memory: list[Any]


@dataclass
class Estimator:
    """A network, ready to look at people.

    Attributes:
        name: for titles and files.
        about: what it is and where its weights come from, one sentence.
        trained: False for random weights, whose poses mean nothing.
        task: the network with its inputs and decoding.
        skeleton: its joints.
        framing: how a box becomes its crop.
        device: where it computes.
        flip_test: average with the mirror image; not for streams.
    """

    name: str
    about: str
    trained: bool
    task: Task
    skeleton: Skeleton
    framing: Framing
    device: torch.device
    flip_test: bool = False

    @property
    def streams(self) -> bool:
        """Whether it remembers the frames before (LPM's `step`)."""
        return hasattr(self.task.model, "step")

    @torch.inference_mode()
    def look(self, picture: np.ndarray, boxes: np.ndarray, memory: list[Any] | None = None) -> Look:
        """Find the joints of some people.

        Args:
            picture: (h, w, 3) uint8 RGB.
            boxes: (P, 4) x1 y1 x2 y2, pixels of the picture.
            memory: of a stream, what `Look.memory` held for each person, None for new ones; None
                instead of a list for pictures that are not of a video.
        """
        centres, sides = self.framing.place(boxes)
        matrices = self.framing.matrix(centres, sides)
        h, w = self.framing.image_size
        cuts = [self.framing.cut(picture, matrix) for matrix in matrices]
        crops = np.array(cuts, np.uint8).reshape(-1, h, w, 3)
        if not len(boxes):
            k = len(self.skeleton)
            return Look(np.empty((0, k, 2)), np.empty((0, k)), np.empty((0, k, h, w)), crops, [])
        maps, after = [], []
        images = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).contiguous()
        for first in range(0, len(images), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            if memory is not None and self.streams:
                found, states = self._step(images[some], memory[some])
                after += states
            else:
                found = average_heatmaps(self.task, images[some, None], self.flip_test)
            maps.append(found.float())
        beliefs = torch.cat(maps)
        keypoints, scores = self.task.decode(beliefs, self.framing.image_size)
        found = transform(invert(matrices), keypoints[:, 0].cpu().double().numpy())
        return Look(found, scores[:, 0].cpu().numpy(), beliefs[:, 0].cpu().numpy(), crops, after)

    def _step(self, images: Tensor, memory: list[Any]) -> tuple[Tensor, list[Any]]:
        """One frame (P, 3, h, w) of a stream: beliefs (P, 1, K, H, W) and everybody's new state."""
        model, frames = self.task.model, normalised(images, self.task.model)
        centre = centre_map(self.framing.image_size, self.task.centre_sigma, frames)
        maps, after = [None] * len(images), [None] * len(images)
        for known in (False, True):  # the first frame of a person has its own first stage
            rows = [i for i, state in enumerate(memory) if (state is not None) == known]
            if not rows:
                continue
            state = _joined([memory[i] for i in rows]) if known else None
            beliefs, state = model.step(frames[rows], centre.expand(len(rows), -1, -1, -1), state)
            for i, belief, own in zip(rows, beliefs, _split(state), strict=True):
                maps[i], after[i] = belief, own
        beliefs = torch.stack(maps)[:, None]
        return (beliefs[:, :, :-1] if model.description.background else beliefs), after


def _joined(states: list[Any]) -> Any:
    return type(states[0])(*(torch.cat(parts) for parts in zip(*states, strict=True)))


def _split(state: Any) -> list[Any]:
    return [type(state)(*parts) for parts in zip(*(t.split(1) for t in state), strict=True)]
