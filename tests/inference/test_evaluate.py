"""Prediction, flip test, test scales and the mean pose."""

import numpy as np
import pytest
import torch
from torch import nn

from posekit import data
from posekit.config.machine import choose_machine
from posekit.data.clips import Clips, loader
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.data.scores import mobilepose_score, official_score
from posekit.geometry.skeletons import POSE_MACHINE
from posekit.inference.evaluate import average_heatmaps, mean_pose, predict
from posekit.models import create_model
from posekit.models.families.pose_machine import PoseMachineTask


@pytest.fixture(scope="module", params=["LSP", "MPII", "PennAction"])
def clips(request):
    root = ensure_sample(request.param, smoke=True)
    people = data.load(request.param, "test", root, source="sample")
    frames = 3 if request.param == "PennAction" else 1
    return Clips(people, POSE_MACHINE, frames, Framing((128, 128), 1.25))


class Oracle(PoseMachineTask):
    """Knows the truth: paints the right maps for whatever clip it is shown, in order."""

    def __init__(self, clips):
        super().__init__(create_model("lpm", width=0.0625), 8.0, 8.0)
        self.clips, self.shown = clips, 0

    def heatmaps(self, images):
        rows = self.clips.rows[self.shown : self.shown + len(images)]
        self.shown += len(images)
        shown = range(self.shown - len(rows), self.shown)
        keypoints = np.stack([self.clips[0, clip]["keypoints"] for clip in shown])
        visible = torch.tensor(np.isfinite(keypoints).all(-1))
        target, _ = self.targets(torch.tensor(keypoints), visible, (128, 128), (16, 16))
        return target[:, :, :-1]


def machine():
    return choose_machine("cpu")


def test_a_network_that_knows_the_truth_scores_100(clips):
    found = predict(Oracle(clips), loader(clips, 4, False, 0, False), machine())
    score = official_score(clips, found)
    assert score.mean > 99
    assert mobilepose_score(clips, found.keypoints).mean > 99
    assert score.n_people == (clips.people.reference > 0).sum()


def test_the_mean_pose_is_the_same_in_every_crop(clips):
    poses = clips.to_crop(mean_pose(clips, clips))
    np.testing.assert_allclose(poses, np.broadcast_to(poses[0], poses.shape), atol=1e-6)
    crops, shoulder = clips.to_crop(clips.keypoints), POSE_MACHINE.joints.index("left_shoulder")
    seen = clips.visible[:, shoulder]
    np.testing.assert_allclose(poses[0, shoulder], crops[seen, shoulder].mean(0), atol=1e-6)


def test_two_evaluations_are_identical(clips):
    torch.manual_seed(0)
    task = PoseMachineTask(create_model("lpm", width=0.0625, weight_init="he"), 8.0, 8.0)
    task.model.train()  # prediction has to switch dropout off itself
    batches = loader(clips, 4, False, 0, False)
    one, two = (predict(task, batches, machine(), True, (0.9, 1.0)) for _ in range(2))
    np.testing.assert_array_equal(one.keypoints, two.keypoints)


def test_flip_test_of_a_symmetric_network_changes_nothing():
    """A network that treats sides alike gives the same maps for the mirror image, swapped."""

    class Bright(PoseMachineTask):
        def heatmaps(self, images):
            grey = images.float().mean(2)
            return grey[:, :, None].expand(-1, -1, 14, -1, -1)[..., ::8, ::8] + 0

    task = Bright(create_model("lpm", width=0.0625), 8.0, 8.0)
    images = torch.zeros(1, 2, 3, 64, 64, dtype=torch.uint8)
    images[..., 16:24, 40:48] = 200
    plain = average_heatmaps(task, images)
    both = average_heatmaps(task, images, flip_test=True)
    assert plain.shape == both.shape == (1, 2, 14, 8, 8)
    assert plain.argmax() == both.argmax()


def test_scales_look_at_the_same_place():
    """What is painted in the picture is found at the same pixel at every test scale."""

    class Shrunk(PoseMachineTask):
        def heatmaps(self, images):
            grey = images.float().mean(2, keepdim=True).flatten(0, 1) - 128
            maps = nn.functional.avg_pool2d(grey, 8)
            return maps.unflatten(0, images.shape[:2]).expand(-1, -1, 14, -1, -1)

    task = Shrunk(create_model("lpm", width=0.0625), 8.0, 8.0)
    images = torch.full((1, 1, 3, 96, 96), 128, dtype=torch.uint8)
    images[..., 60:76, 28:44] = 255
    places = [
        task.decode(average_heatmaps(task, images, scales=(s,)), (96, 96))[0]
        for s in (0.8, 1.0, 1.25)
    ]
    for place in places:
        np.testing.assert_allclose(place[0, 0, 0], [35.5, 67.5], atol=3)
