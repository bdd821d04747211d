"""From an image file to a batch: what a loading process does, against HRNet's order of work."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import default_collate

from posekit import data
from posekit.data import transforms as augment
from posekit.data.annotations import Annotations
from posekit.data.clips import Clips, EpochSampler
from posekit.data.crop_cache import CropCache
from posekit.data.framing import Framing
from posekit.geometry.heatmaps import rounded_gaussian_maps
from posekit.models.registry import IMAGENET_MEAN, IMAGENET_STD

from . import hrnet_steps
from .harness import NotHere, Pair, row
from .real import real_data

BATCH = 32
FRAMING = Framing((256, 192), 1.25, half_pixel=False, fill=0)


def coco_people() -> Annotations:
    """The annotated people of the real COCO images that are here, of both splits."""
    if not (root := real_data()):
        raise NotHere("real COCO images: set POSEKIT_REAL_DATA to the folder that holds coco/")
    tables = [data.load("COCO", split, root, allow_partial=True) for split in ("train", "test")]
    arrays = [name for name, column in vars(tables[0]).items() if isinstance(column, np.ndarray)]
    columns = {name: np.concatenate([vars(table)[name] for table in tables]) for name in arrays}
    return replace(tables[0], **columns, bystanders=None)


def coco_clips(augmented: bool = True, **options) -> Clips:
    """These people as HRNet trains on them."""
    people = coco_people()
    joints = people.skeleton
    moves = [
        augment.HalfBody(0.3, joints, aspect=0.75),
        augment.NormalScale(0.35),
        augment.NormalRotation(45.0),
        augment.RandomFlip(0.5),
    ]
    return Clips(people, joints, 1, FRAMING, moves if augmented else (), **options)


def hrnet_records(clips: Clips) -> list[dict]:
    """The same people as entries of HRNet's database."""
    people, records = clips.people, []
    for person, (centre, side) in enumerate(zip(clips.centres, clips.sides, strict=True)):
        joints, visible = np.zeros((17, 3)), np.zeros((17, 3))
        visible[:, :2] = people.visible[person, :, None]
        joints[:, :2] = np.where(visible[:, :2] > 0, people.keypoints[person], 0)
        records.append({
            "image": str(people.images.root / people.image[person]),
            "center": centre.astype(np.float32),
            "scale": np.array([side, side / 0.75], np.float32) / 200,
            "joints_3d": joints, "joints_3d_vis": visible, "filename": "", "imgnum": 0,
        })  # fmt: skip
    return records


class Epochs:
    """Epochs of batches, each person once.

    Images follow one another as with many images and two loading processes: none comes twice in a
    row by chance, and none is kept from batch to batch.
    """

    def __init__(self, clips: Clips) -> None:
        self.clips, self.epoch = clips, 0
        image = np.unique(clips.people.image, return_inverse=True)[1]
        before = [(image[:i] == image[i]).sum() for i in range(len(image))]
        self.order = np.lexsort([image, before])
        self.sampler = EpochSampler(len(clips), True, images=image)

    def batches(self) -> list[np.ndarray]:
        order = self.order
        if self.clips.share_decode:
            self.sampler.epoch = self.epoch
            order = np.array([clip for _, clip in self.sampler])
        parts = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        return parts[::2] + parts[1::2]

    def ours(self) -> dict[str, torch.Tensor]:
        """An epoch as a loading process makes it; the last batch."""
        self.epoch += 1
        for part in self.batches():
            batch = default_collate([self.clips[self.epoch, int(clip)] for clip in part])
        return batch

    def hrnet(self) -> list:
        """The same in HRNet's order of work."""
        for part in self.batches():
            batch = default_collate([hrnet_steps.sample(self.records[clip]) for clip in part])
        return batch

    @property
    def records(self) -> list[dict]:
        if not hasattr(self, "_records"):
            self._records = hrnet_records(self.clips)
        return self._records


def finished(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the device makes of a batch: normalised images, targets and weights."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    images = (batch["images"][:, 0].float() - mean) / std
    sizes = tuple(images.shape[-2:]), (64, 48)
    maps, weights = rounded_gaussian_maps(batch["keypoints"], batch["visible"], *sizes, 2.0, True)
    return images, maps[:, 0], weights[:, 0]


def same_without_augmentation(*_) -> str:
    """Images, targets, weights and joints of everybody, by both orders of work."""
    clips = coco_clips(False)
    images, maps, weights = finished(default_collate([clips[0, i] for i in range(len(clips))]))
    theirs = [hrnet_steps.sample(record, augment=False) for record in hrnet_records(clips)]
    image, target, weight = (torch.stack([t[i] for t in theirs]) for i in range(3))
    assert torch.equal(weights, weight[..., 0]), "weights"
    apart = (images - image).abs().mean().item(), (maps - target).abs().max().item()
    assert apart[0] < 1e-4 and apart[1] < 1e-6, apart
    return f"without augmentation images {apart[0]:.0e} apart (mean), targets {apart[1]:.0e} (most)"


DATA = "128 people of 49 real COCO images, 256 x 192, full augmentation, batches of 32"


@row("sample", goal=1.6, against="HRNet's order of work in a loading process")
def sample() -> Pair:
    epochs = Epochs(coco_clips())
    return Pair(epochs.hrnet, epochs.ours, same_without_augmentation, DATA)


@row("sample_on_cpu", goal=1.4, against="the same, normalisation and targets on the CPU in both")
def sample_on_cpu() -> Pair:
    epochs = Epochs(coco_clips())
    ours = lambda: finished(epochs.ours())  # noqa: E731
    return Pair(epochs.hrnet, ours, same_without_augmentation, DATA)


@row("sample_shared_decode", goal=2.5, against="HRNet's order of work in a loading process")
def sample_shared_decode() -> Pair:
    shared, alone = Epochs(coco_clips(share_decode=True)), coco_clips()

    def equal(*_) -> str:
        order = np.concatenate(shared.batches())
        assert sorted(order) == list(range(len(alone))), "somebody is missing or comes twice"
        for clip in order.tolist():
            ours, theirs = shared.clips[1, clip], alone[1, clip]
            assert all(np.array_equal(ours[name], theirs[name]) for name in theirs), clip
        return "every sample equal to the last bit to the one that is decoded alone"

    return Pair(Epochs(alone).hrnet, shared.ours, equal, f"{DATA}, 2.6 people an image")


@row("sample_crop_cache", goal=4, against="HRNet's order of work in a loading process")
def sample_crop_cache() -> Pair:
    folder, alone = tempfile.TemporaryDirectory(), coco_clips()
    cached = coco_clips(crops=CropCache(alone.people, FRAMING, Path(folder.name)))

    def equal(*_) -> str:
        pairs = [(cached[1, clip], alone[1, clip]) for clip in range(len(alone))]
        assert all(np.array_equal(a["keypoints"], b["keypoints"]) for a, b in pairs), "keypoints"
        apart = [a["images"].astype(float) - b["images"] for a, b in pairs]
        grey = [np.abs(difference).mean() for difference in apart]
        noise = [20 * np.log10(255 / np.sqrt(np.square(d).mean().clip(1e-9))) for d in apart]
        assert np.mean(grey) < 4 and np.median(noise) > 34, (np.mean(grey), np.median(noise))
        return (
            f"joints equal, pixels {np.mean(grey):.1f} grey levels apart (mean), "
            f"{np.median(noise):.0f} dB (median of the crops; worst {min(noise):.0f})"
        )

    def notes() -> str:
        sizes = [file.stat().st_size for file in Path(folder.name).rglob("*.jpg")]
        return f"{np.mean(sizes) / 1024:.0f} KB a person on the disk"

    return Pair(Epochs(alone).hrnet, Epochs(cached).ours, equal, DATA, notes=notes)


@row("worker_bytes", goal=5, against="float crop and targets")
def worker_bytes() -> Pair:
    epochs = Epochs(coco_clips())
    ours = lambda: sum(v.nbytes for v in epochs.ours().values())  # noqa: E731
    theirs = lambda: sum(v.nbytes for v in epochs.hrnet()[:3])  # noqa: E731

    def equal(*_) -> str:
        return same_without_augmentation()

    return Pair(theirs, ours, equal, "a batch of 32", cost="value", unit="bytes")
