"""A network that finds coloured spots, and images, frames and poses to try it on."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from posekit.data.framing import Framing
from posekit.geometry.skeletons import COCO
from posekit.inference.estimator import PoseEstimate, PoseEstimator
from posekit.inference.tracker import Tracks
from posekit.models import Description
from posekit.models.families.top_down import TopDownTask

CPU = torch.device("cpu")
SIZE = (120, 160)  # h, w of the test media


class Spots(torch.nn.Module):
    """Finds three spots, red, green and blue, each as every third of 17 joints."""

    description = Description("spots", "", "coco", 17, mean=(0.0,) * 3, std=(255.0,) * 3)

    def forward(self, images):
        return F.avg_pool2d(images, 5, 4, 2)[:, np.arange(17) % 3]  # about pixels 0, 4, 8, ...


def spot(name: str = "spot") -> PoseEstimator:
    framing = Framing((64, 48), 1.25, half_pixel=False, fill=0)
    task = TopDownTask(Spots().eval(), COCO, 2.0)
    return PoseEstimator(name, "finds three spots", True, task, COCO, framing, CPU)


def scene(x: int, y: int) -> np.ndarray:
    """A red spot at (x, y), a green one to its right, a blue one below; RGB."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    for shift, colour in (((0, 0), 0), ((28, 4), 1), ((10, 44), 2)):
        place = x + shift[0], y + shift[1]
        cv2.circle(picture, place, 5, [255 * (channel == colour) for channel in range(3)], -1)
    return picture


def folder_of(path: Path, **spots: int) -> Path:
    """Pictures NAME.png with the red spot at (x, 40)."""
    path.mkdir()
    for name, x in spots.items():
        cv2.imwrite(str(path / f"{name}.png"), scene(x, 40)[..., ::-1])
    return path


def written(path: Path, content: object) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def tracks(ids: list[int], sides: list[float]) -> Tracks:
    boxes = np.array([[0.0, 0, side, side] for side in sides]).reshape(-1, 4)
    return Tracks(boxes, np.ones(len(ids)), np.array(ids, int))


def poses(keypoints: np.ndarray, scores: np.ndarray) -> PoseEstimate:
    return PoseEstimate(keypoints, scores, None, None, [])
