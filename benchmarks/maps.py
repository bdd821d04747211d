"""Keypoints to heat maps and back, against HRNet's loops over people and joints."""

import os
import statistics

import numpy as np
import torch

from posekit.data import dataset
from posekit.geometry.crops import crop_matrix, invert, transform
from posekit.geometry.heatmaps import rounded_gaussian_maps
from posekit.inference.evaluate import average_heatmaps
from posekit.models.families.top_down import TopDownTask
from posekit.models.registry import Description

from . import hrnet_steps
from .harness import Pair, row

SIZE, CELLS, BATCH = (256, 192), (64, 48), 32


def points(people: int, margin: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 17, 2) in and about the crop, and visible (N, 17) of four in five."""
    rng = np.random.default_rng(0)
    spread = rng.random((people, 17, 2)) * (np.array(SIZE[::-1]) + 2 * margin) - margin
    return spread.astype(np.float32), rng.random((people, 17)) < 0.8


@row("targets", goal=5, against="HRNet's loop over people and joints", rounds=9)
def targets() -> Pair:
    keypoints, visible = points(BATCH)
    seen = np.repeat(visible[..., None], 3, 2).astype(float)
    batch = torch.from_numpy(keypoints)[:, None], torch.from_numpy(visible)[:, None]

    def loop() -> list[torch.Tensor]:
        drawn = [
            hrnet_steps.generate_target(*person) for person in zip(keypoints, seen, strict=True)
        ]
        return [torch.stack([torch.from_numpy(p[i]) for p in drawn]) for i in range(2)]

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        return rounded_gaussian_maps(*batch, SIZE, CELLS, 2.0, reference_mode=True)

    def equal(theirs: list[torch.Tensor], found: tuple[torch.Tensor, torch.Tensor]) -> str:
        assert torch.equal(theirs[1][..., 0], found[1][:, 0]), "weights"
        apart = (theirs[0] - found[0][:, 0]).abs().max().item()
        assert apart < 1e-6, apart
        return f"weights equal, maps {apart:.0e} apart"

    return Pair(loop, ours, equal, "a batch of 32 people, 17 x 64 x 48", cost="cpu")


class Stored(torch.nn.Module):
    """Returns the maps of crops, and those of their mirror images when it is asked again."""

    description = Description(name="stored", paper="")

    def __init__(self, *maps: torch.Tensor) -> None:
        super().__init__()
        self.maps, self.calls = maps, 0

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.maps[(self.calls - 1) % 2]


@row("decode", goal=2.5, against="HRNet's flip test and its loops over people and joints", rounds=9)
def decode() -> Pair:
    skeleton, noise = dataset("COCO").skeleton, np.random.default_rng(1)
    keypoints, visible = points(BATCH, margin=0)
    mirror = (SIZE[1] - 1 - keypoints[..., :1], keypoints[..., 1:])
    both = [keypoints, np.concatenate(mirror, -1)[:, skeleton.flip]]
    drawn = [
        rounded_gaussian_maps(torch.from_numpy(k), torch.from_numpy(visible), SIZE, CELLS, 2.0)[0]
        for k in both
    ]
    maps = [m + torch.from_numpy(noise.normal(0, 0.02, m.shape)).float() for m in drawn]
    centre = noise.uniform(100, 400, (BATCH, 2))
    side = noise.uniform(100, 300, BATCH)
    scale = np.stack([side, side / 0.75], 1).astype(np.float32) / 200
    back = invert(crop_matrix(centre, side, SIZE, half_pixel=False))
    task = TopDownTask(Stored(*maps), skeleton, 2.0)
    crops = torch.zeros((BATCH, 1, 3, 1, 1), dtype=torch.uint8)

    def theirs() -> tuple[np.ndarray, np.ndarray]:
        # `flip_back` writes into its argument, which HRNet's network makes anew for each batch.
        return hrnet_steps.decoded(maps[0], maps[1].clone(), centre.astype(np.float32), scale)

    @torch.inference_mode()
    def ours() -> tuple[np.ndarray, np.ndarray]:
        found, scores = task.decode(average_heatmaps(task, crops, flip_test=True), SIZE)
        return transform(back, found[:, 0].double().numpy()), scores[:, 0].numpy()

    def equal(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> str:
        apart = np.abs(a[0] - b[0]).max(), np.abs(a[1][..., 0] - b[1]).max()
        assert apart[0] < 1e-3 and apart[1] == 0, apart
        return f"scores equal, keypoints {apart[0]:.0e} image pixels apart"

    def notes() -> str:
        def one_pass() -> None:
            (maps[0] + maps[1]).amax((-2, -1))

        seconds = []
        for way in (one_pass, ours) * 5:
            start = os.times().user
            for _ in range(100):
                way()
            seconds.append(os.times().user - start)
        times = statistics.median(seconds[1::2]) / statistics.median(seconds[::2])
        return f"{times:.1f} times one pass that adds both arrays and takes their maxima"

    return Pair(theirs, ours, equal, "a batch of 32 people, 17 x 64 x 48", notes=notes)
