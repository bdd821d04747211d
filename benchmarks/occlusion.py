"""The share of a loading worker's time that occlusion takes, per training sample.

Samples with and without occlusion are made in turns in one process on one thread. Of COCO below
POSEKIT_REAL_DATA where that is set, of the generated sample otherwise, whose small pictures cost
so little to read that the share is larger.
"""

import os
from pathlib import Path

import cv2
import numpy as np

from posekit import data
from posekit.data.clips import Clips
from posekit.data.framing import Framing
from posekit.data.occlusion.occluder import Occluder
from posekit.data.sample import ensure_sample
from posekit.data.transforms import HalfBody, NormalRotation, NormalScale, RandomFlip
from posekit.geometry.skeletons import COCO

ROUNDS, SAMPLES = 5, 400
OCCLUDERS = {
    "none": None,
    "blur joints": Occluder(COCO, kind="blur", mode="keypoint"),
    "blur parts": Occluder(COCO, kind="blur"),
    "cutout parts": Occluder(COCO, kind="cutout"),
    "both, parts": Occluder(COCO, kind="both"),
    "multi 0.2": Occluder(COCO, kind="multi", prob=0.2),
    "partmix": Occluder(COCO, kind="partmix"),
}


def main() -> dict[str, float]:
    """Print a line for every occluder and return the shares (best of all rounds)."""
    cv2.setNumThreads(0)
    real = os.environ.get("POSEKIT_REAL_DATA")
    source, root = ("real", Path(real)) if real else ("sample", ensure_sample("COCO"))
    people = data.load("COCO", "train", root, source=source, allow_partial=bool(real))
    framing = Framing((256, 192), 1.25, half_pixel=False, fill=0)
    moves = [HalfBody(0.3, COCO, aspect=0.75), NormalScale(0.35), NormalRotation(45.0)]
    moves.append(RandomFlip(0.5))
    clips = {
        name: Clips(people, COCO, 1, framing, transforms=[*moves, occluder] if occluder else moves)
        for name, occluder in OCCLUDERS.items()
    }
    seconds = {name: [] for name in OCCLUDERS}
    for epoch in range(ROUNDS):
        order = np.random.default_rng(epoch).integers(len(people), size=SAMPLES)
        for name in OCCLUDERS:
            start = os.times().user
            for clip in order:
                clips[name][epoch, int(clip)]
            seconds[name].append((os.times().user - start) / SAMPLES)
    best = {name: min(times) for name, times in seconds.items()}
    shares = {name: 1 - best["none"] / time for name, time in best.items()}
    print(f"COCO ({source}), {len(people)} people, crops of 256 x 192, 1 thread")
    for name, time in best.items():
        print(f"{name:14}{1e3 * time:8.2f} ms a sample, {100 * shares[name]:5.1f} % occlusion")
    return shares


if __name__ == "__main__":
    main()
