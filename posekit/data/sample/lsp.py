"""The generated sample of LSP and LSP extended: images of one person."""

from pathlib import Path

import numpy as np

from ...geometry.skeletons import LSP
from .output import generator, save_image, save_mat
from .scenes import draw_scene

_STREAM = 1


def write_lsp(folder: Path, train: int, test: int) -> None:
    """joints_2000.mat, joints_10000.mat and their images.

    Half of joints_2000 are the test images; the other half and all of joints_10000 are for
    training.

    Args:
        folder: of LSP, empty.
        train: training images, at least as many as for testing.
        test: test images.
    """
    _write_part(folder, "2000", count=2 * test, start=0)
    _write_part(folder, "10000", count=train - test, start=2 * test, extended=True)


def _write_part(folder: Path, name: str, count: int, start: int, extended: bool = False) -> None:
    images = folder / f"images_{name}"
    images.mkdir()
    points, seen = [], []
    for i in range(1, count + 1):
        rng = generator(_STREAM, start + i)
        size = tuple(int(n) for n in rng.integers(96, 145, 2))
        scene = draw_scene(rng, size, LSP.joints, heights=(90, 140), margin=6)
        save_image(images / (f"im{i:05d}.jpg" if extended else f"im{i:04d}.jpg"), scene.images[0])
        points.append(scene.people[0].keypoints(LSP.joints)[0] + 1)
        seen.append(scene.seen[0, 0])
    points, seen = np.stack(points), np.stack(seen)
    if extended:  # 1 is visible, and hidden joints have useless coordinates, as in the original
        points = np.where(seen[..., None], points, -points)
        joints = np.dstack([points, seen]).transpose(1, 2, 0)
    else:  # 1 is occluded
        joints = np.dstack([points, ~seen]).transpose(2, 1, 0)
    save_mat(folder / f"joints_{name}.mat", {"joints": joints.astype(np.float64)})
