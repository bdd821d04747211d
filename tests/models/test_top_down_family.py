"""The top-down task: colours, targets, loss over stacks, flip test, COCO score end to end."""

import numpy as np
import pytest
import torch

from posekit import data
from posekit.config.resolve import resolve
from posekit.data.clips import Clips, loader
from posekit.data.framing import Framing
from posekit.data.predictions import Predictions
from posekit.data.sample import ensure_sample
from posekit.data.scores import official_score, validation_score
from posekit.geometry.skeletons import COCO, MPII
from posekit.inference.evaluate import average_heatmaps, mean_pose
from posekit.models import create_model
from posekit.models.families.losses import joints_mse
from posekit.models.families.task import normalised
from posekit.models.families.top_down import TopDownTask, limb_weights
from posekit.workflows.training.experiment import Experiment
from posekit.workflows.training.loading import splits


@pytest.fixture(scope="module")
def root():
    return ensure_sample("COCO", smoke=True)


def clips(root, boxes="ground_truth"):
    people = data.load("COCO", "test", root, source="sample", boxes=boxes)
    return Clips(people, COCO, 1, Framing((128, 96), 1.25, half_pixel=False, fill=0))


@pytest.mark.parametrize("name", ["hrnet_w32", "pose_resnet_50"])
def test_a_network_gets_its_own_colour_order(name):
    """HRNet takes RGB and Simple Baselines BGR, both with the RGB-ordered mean and deviation."""
    model = create_model(name, 17, width=0.125)
    image = torch.zeros(1, 1, 3, 2, 2, dtype=torch.uint8)
    image[:, :, 0] = 255  # red
    channel = 0 if name == "hrnet_w32" else 2
    out = normalised(image, model)[0, 0, :, 0, 0]
    mean, std = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
    expected = (np.eye(3)[channel] * 255 - mean) / std
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-4)


def test_every_stack_is_supervised():
    model = create_model("hourglass_2", 17, width=0.125)
    task = TopDownTask(model, COCO, 2.0)
    batch = {
        "images": torch.randint(0, 255, (2, 1, 3, 64, 64), dtype=torch.uint8),
        "keypoints": torch.rand(2, 1, 17, 2) * 64,
        "visible": torch.ones(2, 1, 17, dtype=torch.bool),
    }
    model.train()
    stacks = task.outputs(batch["images"])
    maps, weights = task.targets(batch["keypoints"], batch["visible"], (64, 64), (16, 16))
    by_hand = sum(joints_mse(stack, maps[:, 0], weights[:, 0]) for stack in stacks)
    assert len(stacks) == 2 and torch.allclose(task.loss(stacks, batch), by_hand)


def test_limbs_weigh_more_in_the_loss_where_they_are_told():
    """The weight enters squared: 1.2 counts 1.44 times and 1.5 counts 2.25 times."""
    everywhere = limb_weights(COCO)
    assert everywhere == [1.0] * 7 + [1.2, 1.2, 1.5, 1.5, 1.0, 1.0, 1.2, 1.2, 1.5, 1.5]
    assert limb_weights(MPII) == [1.5, 1.2, 1, 1, 1.2, 1.5, 1, 1, 1, 1, 1.5, 1.2, 1, 1, 1.2, 1.5]
    losses = {}
    given = {"source": "sample", "joint_weights": True}
    weighted, plain = (resolve("hrnet", g).settings for g in (given, {"source": "sample"}))
    for name, settings in (("plain", plain), ("weighted", weighted)):
        task = settings.task(create_model("hourglass_1", 17, width=0.125), COCO)
        for joint in ("nose", "left_knee", "left_wrist"):
            visible = torch.zeros(1, 1, 17, dtype=torch.bool)
            visible[..., COCO.index(joint)] = True
            batch = {"images": torch.zeros(1, 1, 3, 64, 64), "visible": visible}
            batch["keypoints"] = torch.full((1, 1, 17, 2), 32.0)
            losses[name, joint] = task.loss(torch.zeros(1, 17, 16, 16), batch).item()
    ratio = {j: losses["weighted", j] / losses["plain", j] for _, j in losses}
    assert ratio == pytest.approx({"nose": 1, "left_knee": 1.44, "left_wrist": 2.25})
    assert losses["plain", "nose"] == pytest.approx(losses["plain", "left_wrist"])


def test_flip_test_shifts_by_one_cell_where_it_is_told():
    task = TopDownTask(create_model("hrnet_w32", 17, width=0.125), COCO, 2.0)
    maps = torch.rand(1, 1, 17, 8, 6)
    back = task.flip_back(maps)
    assert torch.equal(back[..., 1:], maps.flip(-1)[:, :, COCO.flip][..., :-1])
    task.shift = False
    assert torch.equal(task.flip_back(task.flip_back(maps)), maps)


class Oracle(TopDownTask):
    """Paints the true maps of whatever clip it is shown, in order."""

    def __init__(self, source):
        super().__init__(create_model("hrnet_w32", 17, width=0.125), COCO, 2.0)
        self.source, self.shown = source, 0

    def heatmaps(self, images):
        chosen = range(self.shown, self.shown + len(images))
        self.shown += len(images)
        keypoints = torch.tensor(np.stack([self.source[0, c]["keypoints"] for c in chosen]))
        seen = torch.ones(keypoints.shape[:-1], dtype=torch.bool)
        return self.targets(keypoints, seen, (128, 96), (32, 24))[0]


def test_perfect_maps_score_high_and_the_mean_pose_does_not(root):
    source = clips(root)
    task = Oracle(source)
    found = np.concatenate(
        [
            task.decode(average_heatmaps(task, batch["images"]), (128, 96))[0][:, 0].numpy()
            for batch in loader(source, 4, False, 0, False)
        ]
    )
    found = Predictions(source.to_image(found), np.ones(found.shape[:2]))
    exact = Predictions(source.keypoints, np.ones(source.visible.shape))
    assert official_score(source, exact, root).mean == pytest.approx(1.0)
    assert official_score(source, exact, root).values["mean OKS"] == pytest.approx(1.0)
    assert official_score(source, found, root).mean > 0.8  # rounding to cells costs the rest
    assert validation_score(source, exact.keypoints) == pytest.approx(100)
    assert (
        validation_score(source, mean_pose(source, source))
        < validation_score(source, found.keypoints) - 20
    )


def test_detected_boxes_are_a_row_of_their_own(root):
    source = clips(root, "detections")
    guess = Predictions(
        source.to_image(np.full(source.keypoints.shape, 48.0)), source.visible + 1.0
    )
    score = official_score(source, guess, root)
    assert score.metric == "AP, detected boxes" and "with a detection" in score.protocol
    assert set(score.values) == {
        "AP",
        "AP50",
        "AP75",
        "APM",
        "APL",
        "AR",
        "AR50",
        "AR75",
        "ARM",
        "ARL",
    }


def moved(root, folder, *pictures):
    """A data root with the labels of both splits and links to the pictures of some."""
    source = data.dataset("COCO").find(root)
    target = folder / source.name
    (target / "images").mkdir(parents=True)
    for name in ("annotations", *pictures):
        if name != "annotations":
            name = f"images/{name}"
        (target / name).symlink_to(source / name)
    return folder


def tables_of(folder):
    """The parts that HRNet's notebook would train on and score below a data root."""
    config = resolve("hrnet", {"dataset": "COCO", "source": "real", "data_root": str(folder)})
    return splits(Experiment(config, run=None, machine=None, about=None, root=folder))


@pytest.mark.parametrize("pictures", ["train2017", "val2017"])
def test_a_folder_with_pictures_of_one_split_is_scored_with_its_labels(root, tmp_path, pictures):
    for people in tables_of(moved(root, tmp_path, pictures)).values():
        source = Clips(people, COCO, 1, Framing((128, 96), 1.25, half_pixel=False, fill=0))
        exact = Predictions(source.keypoints, np.ones(source.visible.shape))
        assert official_score(source, exact, tmp_path).mean == pytest.approx(1.0)


def test_val2017_alone_is_enough_to_score(root, tmp_path):
    moved(root, tmp_path, "val2017")
    (folder,) = tmp_path.iterdir()
    (folder / "annotations").unlink()
    (folder / "annotations").mkdir()
    name = "annotations/person_keypoints_val2017.json"
    (folder / name).symlink_to(data.dataset("COCO").find(root) / name)
    tables = tables_of(tmp_path)
    assert len(tables["test"]) and "the test split only" in " ".join(tables["test"].notes)


def test_images_without_pictures_are_left_out_of_the_score(root, tmp_path):
    moved(root, tmp_path, "train2017")
    (folder,) = tmp_path.iterdir()
    (folder / "images/val2017").mkdir()
    pictures = sorted((data.dataset("COCO").find(root) / "images/val2017").iterdir())
    for picture in pictures[::2]:
        (folder / "images/val2017" / picture.name).symlink_to(picture)
    people = data.load("COCO", "test", tmp_path, source="real", allow_partial=True)
    source = Clips(people, COCO, 1, Framing((128, 96), 1.25, half_pixel=False, fill=0))
    score = official_score(source, Predictions(source.keypoints, source.visible + 1.0), tmp_path)
    assert score.mean == pytest.approx(1.0)
    assert f"over {len(pictures[::2])} of {len(pictures)} images" in score.protocol
