"""The share of a loading worker's time that covering takes, per training sample.

Samples with and without covering are made in turns in one process on one thread. Of COCO below
POSEKIT_REAL_DATA where that is set, of the generated sample otherwise, whose small pictures cost
so little to read that the share is larger.
"""

import os
from pathlib import Path

import cv2
import numpy as np

from posekit import data
from posekit.data.clips import Clips
from posekit.data.framing import Framing, TopDownAugmentation
from posekit.data.occlusion.occluder import Occluder
from posekit.data.sample import ensure_sample
from posekit.geometry.skeletons import COCO

ROUNDS, SAMPLES = 5, 400
WAYS = {
    "none": None,
    "blur joints": Occluder(COCO, "blur", "keypoint"),
    "blur parts": Occluder(COCO, "blur"),
    "cutout parts": Occluder(COCO, "cutout"),
    "both, parts": Occluder(COCO, "both"),
    "multi 0.2": Occluder(COCO, "multi", prob=0.2),
    "partmix": Occluder(COCO, "partmix"),
}


def main() -> dict[str, float]:
    """Print a line for every way and return the shares (best of all rounds)."""
    cv2.setNumThreads(0)
    real = os.environ.get("POSEKIT_REAL_DATA")
    source, root = ("real", Path(real)) if real else ("sample", ensure_sample("COCO"))
    people = data.load("COCO", "train", root, source=source, allow_partial=bool(real))
    framing = Framing((256, 192), 1.25, half_pixel=False, fill=0)
    augmentation = TopDownAugmentation(COCO, 0.75, 0.3, 0.35, 45.0)
    clips = {n: Clips(people, COCO, 1, framing, augmentation, 0, way) for n, way in WAYS.items()}
    seconds = {name: [] for name in WAYS}
    for epoch in range(ROUNDS):
        order = np.random.default_rng(epoch).integers(len(people), size=SAMPLES)
        for name in WAYS:
            start = os.times().user
            for clip in order:
                clips[name][epoch, int(clip)]
            seconds[name].append((os.times().user - start) / SAMPLES)
    best = {name: min(times) for name, times in seconds.items()}
    shares = {name: 1 - best["none"] / time for name, time in best.items()}
    print(f"COCO ({source}), {len(people)} people, crops of 256 x 192, 1 thread")
    for name, time in best.items():
        print(f"{name:14}{1e3 * time:8.2f} ms a sample, {100 * shares[name]:5.1f} % of it covering")
    return shares


if __name__ == "__main__":
    main()
