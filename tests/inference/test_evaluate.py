"""Prediction, flip test, test scales, whole videos and the mean pose."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from posekit import data
from posekit.config.machine import choose_machine
from posekit.data.clips import Clips, loader
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.data.scores import mobilepose_score, official_score
from posekit.geometry.decoding import decode
from posekit.geometry.heatmaps import resampled
from posekit.geometry.skeletons import PENN_ACTION, POSE_MACHINE
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
    batches = loader(replace(clips, scales=(0.9, 1.0)), 4, False, 0, False)
    one, two = (predict(task, batches, machine(), True) for _ in range(2))
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


def bright_spot(framing, scales, place=(131.0, 71.0)):
    """One person in a grey picture with a bright disc, cut at these sizes."""

    class Picture:
        def read(self, name):
            across, down = np.meshgrid(np.arange(240), np.arange(160))
            distance = np.hypot(across - place[0], down - place[1])
            grey = 128 + 120 * np.exp(-(distance**2) / (2 * 5.0**2))
            return np.repeat(grey[..., None].round().astype(np.uint8), 3, -1)

    people = data.Annotations(
        dataset="PennAction",
        split="test",
        source="real",
        skeleton=PENN_ACTION,
        keypoints=np.full((1, 13, 2), place, np.float32),
        visible=np.ones((1, 13), bool),
        boxes=np.array([[80, 30, 150, 130]], np.float32),
        reference=np.array([100.0], np.float32),
        image=np.array(["a"]),
        images=Picture(),
    )
    return Clips(people, POSE_MACHINE, 1, framing, scales=scales)


class Bright(PoseMachineTask):
    """Finds what is bright, with cells where the network's description says that they are."""

    def heatmaps(self, images):
        grey = (images.float().mean(2, keepdim=True).flatten(0, 1) - 128).clamp(0)
        half = self.model.description.half_pixel
        maps = F.avg_pool2d(grey, 4) if half else F.avg_pool2d(grey, 5, 4, 2)
        return maps.unflatten(0, images.shape[:2]).expand(-1, -1, 14, -1, -1)

    def decode(self, beliefs, image_size):
        return decode(beliefs, image_size, "dark", self.model.description.half_pixel, 2.0)


@pytest.mark.parametrize("name, half", [("lpm", True), ("lpm_mobilepose", False)])
@pytest.mark.parametrize("scales", [(1.0,), (0.7,), (1.3,), (0.8, 0.9, 1.0, 1.1, 1.2)])
def test_what_every_size_shows_is_found_where_it_is_in_the_picture(name, half, scales):
    clips = bright_spot(Framing((128, 96), 1.25, half_pixel=half), scales)
    task = Bright(create_model(name, width=0.0625), 8.0, 8.0)
    found = predict(task, loader(clips, 1, False, 0, False), machine())
    np.testing.assert_allclose(found.keypoints[0], np.tile([131.0, 71.0], (14, 1)), atol=0.4)


def test_smaller_sizes_show_more_of_the_picture_and_only_that_is_grey_what_lies_outside():
    """A disc beyond the crop is found at size 0.6, where the crop of size 1 ends before it."""
    framing, far = Framing((96, 96), 1.0), (182.0, 80.0)
    task = Bright(create_model("lpm", width=0.0625), 8.0, 8.0)
    near, wide = (bright_spot(framing, (scale,), far)[0, 0]["images"][:, 0] for scale in (1.0, 0.6))
    assert near.max() < 132 and wide.max() > 240
    assert task.heatmaps(torch.tensor(wide[None])).max() > 50


def test_size_one_alone_is_what_it_was(clips):
    torch.manual_seed(0)
    task = PoseMachineTask(create_model("lpm", width=0.0625, weight_init="he"), 8.0, 8.0)
    sized = replace(clips, scales=(1.0,))
    plain, one = (predict(task, loader(c, 4, False, 0, False), machine()) for c in (clips, sized))
    np.testing.assert_array_equal(plain.keypoints, one.keypoints)
    np.testing.assert_array_equal(plain.scores, one.scores)


@pytest.fixture(scope="module")
def videos():
    """Sequences of 8, 1 and 5 frames, seen by a network with random weights."""
    root = ensure_sample("PennAction", smoke=True)
    people = data.load("PennAction", "test", root, source="sample")
    people = people.rows(np.r_[0:8, 8, 16:21])
    torch.manual_seed(0)
    task = PoseMachineTask(create_model("lpm", width=0.0625, weight_init="he"), 8.0, 8.0)
    return Clips(people, POSE_MACHINE, "all", Framing((64, 64), 1.25)), task


@torch.inference_mode()
def in_one_go(clips, task, flip_test, scale):
    """Beliefs (n, K, H, W) about every video by one forward over all its frames."""
    framing, beliefs = clips.framing, []
    for number in np.unique(clips.people.sequence):
        rows = np.flatnonzero(clips.people.sequence == number)
        boxes = clips.people.boxes[rows].astype(float)
        side = 1.25 * (boxes[:, 2:] - boxes[:, :2]).max()
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        cuts = [
            framing.cut(clips.people.read(row), framing.matrix(middle, side / scale))
            for row, middle in zip(rows, middles, strict=True)
        ]
        frames = torch.tensor(np.stack(cuts)).permute(0, 3, 1, 2)[None]
        beliefs.append(average_heatmaps(task, frames, flip_test)[0])
    return torch.cat(beliefs)


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_a_video_in_chunks_is_one_recurrence_over_all_its_frames(videos, flip_test, batch_size):
    clips, task = videos
    scales = (0.8, 1.0)
    seen = []

    class Watched(PoseMachineTask):
        def decode(self, beliefs, image_size):
            seen.append(beliefs[:, 0])
            return super().decode(beliefs, image_size)

    watched = Watched(task.model, task.sigma, task.centre_sigma)
    sized = replace(clips, scales=scales)
    found = predict(watched, loader(sized, batch_size, False, 0, False), machine(), flip_test)
    small, whole = (in_one_go(clips, task.__class__(task.model.eval(), 8.0, 8.0), flip_test, s)
                    for s in scales)  # fmt: skip
    mean = (resampled(small, clips.framing.zoom(0.8), (64, 64), True) + whole) / 2
    np.testing.assert_allclose(torch.cat(seen), mean, atol=1e-5)
    expected = clips.to_image(task.decode(mean[:, None], (64, 64))[0][:, 0].numpy())
    assert np.median(np.abs(found.keypoints - expected)) < 1e-6
    assert max(map(len, seen)) <= batch_size  # no more frames than a chunk are held


def test_order_counts_within_a_video_and_nothing_is_kept_for_the_next(videos):
    clips, task = videos

    def scores(rows):
        part = replace(clips, people=clips.people.rows(rows))
        return predict(task, loader(part, 4, False, 0, False), machine()).scores

    everything = scores(np.arange(14))
    for video in np.arange(8), np.array([8]), np.arange(9, 14):
        np.testing.assert_allclose(scores(video), everything[video], atol=1e-6)
    backwards = scores(np.arange(8)[::-1])[::-1]
    assert (np.abs(backwards - everything[:8]).max(1) > 1e-4).all()
