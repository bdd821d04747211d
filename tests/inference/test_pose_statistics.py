import numpy as np
import pytest
from spots import poses, tracks

from posekit.geometry.skeletons import COCO, POSE_MACHINE
from posekit.inference.pose_statistics import Jitter


def test_jitter_by_hand():
    jitter = Jitter([COCO, COCO], threshold=0.5)
    scores = np.ones((2, 17))
    scores[1, 5:] = 0
    for t in range(5):
        steady = np.zeros((2, 17, 2))
        steady[..., 0] = 7 * t  # no acceleration
        shaking = steady.copy()
        shaking[0, :, 1] = 3 * (t % 2)  # second difference 6 in every frame
        shaking[1, :, 1] = 2 * t**2  # 4
        here = slice(0, 2) if t < 4 else slice(1, 2)
        estimates = [
            poses(steady[here], np.ones((2, 17))[here]),
            poses(shaking[here], scores[here]),
        ]
        jitter.add(tracks([3, 8][here], [60.0, 20.0][here]), estimates)
    table = jitter.table(["steady", "shaking"])
    counted = 2 * 17 + 3 * 5  # person 3 in two windows, person 8 with 5 confident joints in three
    assert table["joints counted"].tolist() == [counted] * 2
    pixels = (2 * 17 * 6 + 3 * 5 * 4) / counted
    share = (2 * 17 * 6 / 60 + 3 * 5 * 4 / 20) / counted
    assert table.iloc[0, 1:3].tolist() == [0, 0]
    assert table.iloc[1, 1:3].tolist() == pytest.approx([pixels, 100 * share], abs=1e-3)
    mixed = Jitter([COCO, POSE_MACHINE], threshold=0.5)
    for _ in range(3):
        estimates = [poses(np.zeros((1, k, 2)), np.ones((1, k))) for k in (17, 14)]
        mixed.add(tracks([1], [1.0]), estimates)
    assert mixed.table(["a", "b"])["joints counted"].tolist() == [12, 12]
