"""The generated sample of Penn Action: videos of one moving person."""

from pathlib import Path

import numpy as np

from ...geometry.skeletons import PENN_ACTION
from .output import generator, save_image, save_mat
from .scenes import draw_scene

_STREAM, _FRAMES = 0, 8


def write_penn_action(folder: Path, train: int, test: int) -> None:
    """frames/0001/000001.jpg ... and labels/0001.mat ... of so many sequences.

    The test sequences are spread evenly.

    Args:
        folder: of Penn Action, empty.
        train: training sequences.
        test: test sequences.
    """
    (folder / "labels").mkdir()
    tested = set(np.linspace(1, train + test, test).astype(int).tolist())
    for index in range(1, train + test + 1):
        rng = generator(_STREAM, index)
        h, w = (int(n) for n in rng.integers(16, 21, 2) * 8)
        scene = draw_scene(rng, (h, w), PENN_ACTION.joints, _FRAMES)
        frames = folder / "frames" / f"{index:04d}"
        frames.mkdir(parents=True)
        for t, image in enumerate(scene.images, 1):
            save_image(frames / f"{t:06d}.jpg", image)
        figure = scene.people[0]
        points = figure.keypoints(PENN_ACTION.joints) + 1
        boxes = figure.boxes() + rng.uniform(0, 3, 4) * (-1, -1, 1, 1)
        fields = {
            "action": scene.action,
            "pose": "front" if figure.front else "back",
            "x": points[..., 0],
            "y": points[..., 1],
            "visibility": scene.seen[0].astype(np.uint8),
            "train": -1 if index in tested else 1,
            "bbox": np.clip(boxes, 0, (w - 1, h - 1, w - 1, h - 1)) + 1,
            "dimensions": np.array([[h, w, _FRAMES]], np.uint16),
            "nframes": _FRAMES,
        }
        save_mat(folder / "labels" / f"{index:04d}.mat", fields)
