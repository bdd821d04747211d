"""What pose machines are taught where several people stand in a crop."""

import numpy as np
import pytest
import torch

from posekit.data.annotations import Annotations
from posekit.data.clips import Clips
from posekit.data.framing import Framing
from posekit.data.transforms import RandomFlip, RandomRotation, RandomScale
from posekit.geometry.skeletons import MPII, POSE_MACHINE, convert
from posekit.models import create_model
from posekit.models.families.pose_machine import PoseMachineTask

WRIST = POSE_MACHINE.index("right_wrist")[0]


class Grey:
    def read(self, name):
        return np.full((120, 200, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def crowd() -> Annotations:
    """Two people in one image, one of whom lacks an ankle, and one alone in another."""
    rng = np.random.default_rng(0)
    middles = np.array([[70, 60], [106, 62], [90, 60.0]])
    keypoints = (middles[:, None] + rng.uniform(-18, 18, (3, 16, 2))).astype(np.float32)
    visible = np.ones((3, 16), bool)
    visible[1, 0] = False
    boxes = np.concatenate([middles - 25, middles + 25], 1).astype(np.float32)
    names = np.array(["a.jpg", "a.jpg", "b.jpg"])
    return Annotations("MPII", "train", "real", MPII, boxes, names, Grey(), keypoints, visible)


def clips(people, transforms=(), frames=1) -> Clips:
    framing = Framing((96, 96), 2.5)
    return Clips(people, POSE_MACHINE, frames, framing, transforms, with_everybody=True)


def test_everybody_moves_with_the_crop(crowd):
    source = clips(crowd, [RandomScale((0.7, 1.3)), RandomRotation(40.0), RandomFlip(1.0)], 2)
    joints, seen = convert(crowd.keypoints, crowd.visible, MPII, POSE_MACHINE)
    for clip, other in ((0, 1), (1, 0)):
        sample = source[3, clip]
        found = sample["everybody"]
        assert found.shape == (2, 2, 14, 2) and found.dtype == np.float32
        assert np.array_equal(found[0], found[1], equal_nan=True)  # a still image is repeated
        flipped, own = sample["keypoints"][0][POSE_MACHINE.flip], seen[clip]
        points = np.column_stack([joints[clip], np.ones(14)])
        matrix = np.linalg.lstsq(points[own], flipped[own], rcond=None)[0]  # image to crop
        assert np.linalg.det(matrix[:2]) < 0  # a mirror image
        expected = np.column_stack([joints[other], np.ones(14)]) @ matrix
        expected[~seen[other]] = np.nan
        np.testing.assert_allclose(found[0, other][POSE_MACHINE.flip], expected, atol=1e-2)
        plain = Clips(crowd, POSE_MACHINE, 2, source.framing, source.transforms)[3, clip]
        assert all(np.array_equal(plain[name], sample[name]) for name in plain)
    alone = source[3, 2]["everybody"][0]
    np.testing.assert_allclose(alone[0], source[3, 2]["keypoints"][0], atol=1e-3)
    assert np.isnan(alone[1]).all()
    assert "everybody" not in clips(crowd.rows(np.array([0, 2])))[0, 0]  # nobody has company


@pytest.mark.parametrize(("name", "frames"), [("cpm", 1), ("lpm", 3), ("cpm_mobilepose", 1)])
def test_the_first_stage_is_taught_everybody_and_later_ones_the_person(crowd, name, frames):
    model = create_model(name, **({} if "mobile" in name else {"width": 0.0625}))
    task, taught = PoseMachineTask(model, 7.0, 21.0), []
    task.criterion = lambda maps, target, weights: taught.append(target)
    source = clips(crowd, frames=frames)
    batch = torch.utils.data.default_collate([source[0, 0], source[0, 2]])
    stages = {"cpm": 6, "lpm": 4, "cpm_mobilepose": 1}[name]
    task.loss(torch.zeros(2, stages, 15, 24, 24), batch)
    del batch["everybody"]
    task.loss(torch.zeros(2, stages, 15, 24, 24), batch)
    shown, without = taught
    assert torch.equal(shown[:, 1:], without[:, 1:]) and torch.equal(shown[1], without[1])
    if stages == 1:  # the only stage is the final belief
        assert torch.equal(shown, without)
        return
    own, other = source.to_crop(source.keypoints)[:1], clips_of_other(source)
    for people, maps in ((own, without[0, 0]), (np.concatenate([own, other]), shown[0, 0])):
        wrists = ((people[:, WRIST] + 0.5) / 4 - 0.5).round().astype(int)
        assert all(maps[WRIST, y, x] > 0.9 for x, y in wrists)
        assert maps[WRIST].max() <= 1
        outside = torch.ones(24, 24, dtype=torch.bool)
        for x, y in wrists:
            outside[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7] = False
        assert maps[WRIST][outside].max() < 0.05
        torch.testing.assert_close(maps[14], 1 - maps[:14].amax(0))


def clips_of_other(source: Clips) -> np.ndarray:
    """The second person in the crop of the first."""
    matrix = source.matrices[0]
    return (source.keypoints[1] @ matrix[:, :2].T + matrix[:, 2])[None]
