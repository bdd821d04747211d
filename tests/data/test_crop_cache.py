"""Crops from kept surroundings against crops from the images."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from posekit import data
from posekit.data import crop_cache
from posekit.data.clips import Clips, loader
from posekit.data.crop_cache import CropCache
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.data.transforms import NormalRotation, NormalScale, RandomFlip, RandomScale

MOVES = [NormalScale(0.35), NormalRotation(45.0), RandomFlip(0.5)]


class Counting:
    """Images in memory, which counts how often each is read."""

    def __init__(self, images):
        self.images, self.read_names = images, []

    def __repr__(self):
        return "Counting"

    def read(self, name):
        self.read_names.append(name)
        return self.images[name]


class Elsewhere(Counting):
    def __repr__(self):
        return "Elsewhere"


@pytest.fixture(scope="module")
def people():
    root = ensure_sample("COCO", smoke=True)
    people = data.load("COCO", "train", root, source="sample")
    people = people.rows(np.arange(min(24, len(people))))
    images = {name: people.images.read(name) for name in np.unique(people.image).tolist()}
    return replace(people, images=Counting(images))


def both(people, folder, size=(128, 96), moves=MOVES, half_pixel=False):
    framing = Framing(size, 1.25, half_pixel=half_pixel, fill=0)
    plain = Clips(people, people.skeleton, 1, framing, moves)
    return plain, replace(plain, crops=CropCache(people, framing, folder))


def lossless(monkeypatch):
    encode = cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda _, image, options: encode(".png", image))


@pytest.mark.parametrize("half_pixel", [False, True])
def test_kept_at_the_size_of_the_image_a_crop_is_the_same(
    people, tmp_path, monkeypatch, half_pixel
):
    lossless(monkeypatch)
    plain, cached = both(people, tmp_path, (256, 192), half_pixel=half_pixel)
    whole = np.flatnonzero(cached.crops._scale == 1)
    assert len(whole) > 5
    for clip in whole.tolist():
        ours, theirs = cached[3, clip], plain[3, clip]
        difference = np.abs(ours["images"].astype(int) - theirs["images"])
        assert difference.max() <= 8 and difference.mean() < 0.02  # rounding of the matrix
        assert (ours["keypoints"] == theirs["keypoints"]).all()


def test_people_larger_than_the_crop_are_kept_smaller_in_the_same_place(
    people, tmp_path, monkeypatch
):
    lossless(monkeypatch)
    plain, cached = both(people, tmp_path, (48, 36))
    small = np.flatnonzero(cached.crops._scale < 0.7)
    assert len(small)
    for clip in small.tolist():
        ours, theirs = (source[3, clip]["images"][0].mean(0) for source in (cached, plain))
        ours, theirs = (cv2.GaussianBlur(image, (0, 0), 2.0) for image in (ours, theirs))
        assert np.abs(ours - theirs).mean() < 3
        ahead = np.abs(np.roll(ours, 1, 1) - theirs).mean()
        assert np.abs(ours - theirs).mean() < ahead


def test_files_are_used_and_damaged_ones_are_made_again(people, tmp_path):
    _, cached = both(people, tmp_path)
    first = [cached[1, clip]["images"] for clip in range(len(cached))]
    files = sorted(tmp_path.rglob("*.jpg"))
    assert len(files) >= len(people) - 2 and not [*tmp_path.rglob("*.jpg.*")]
    people.images.read_names.clear()
    again = replace(cached)
    for clip, images in enumerate(first):
        np.testing.assert_array_equal(again[1, clip]["images"], images)
    beyond = len(people.images.read_names)
    assert beyond < len(people) / 4  # only those that reach beyond what is kept
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[: len(whole) // 2])
    files[1].write_bytes(b"")
    again = replace(cached)
    for clip, images in enumerate(first):
        np.testing.assert_array_equal(again[1, clip]["images"], images)
    assert files[0].read_bytes() == whole and files[1].stat().st_size


def test_other_boxes_framings_and_images_have_other_files(people, tmp_path):
    def made():
        return len([*tmp_path.rglob("*.jpg")])

    still = both(people, tmp_path, moves=())[1]
    counts = []
    moved = replace(people, boxes=people.boxes + 40)
    elsewhere = replace(people, images=Elsewhere(people.images.images))
    tables = (people, (128, 96)), (people, (64, 48)), (moved, (64, 48)), (elsewhere, (64, 48))
    for table, size in tables:
        cached = both(table, tmp_path, size, moves=())[1]
        [cached[0, clip] for clip in range(len(cached))]
        counts.append(made())
    assert np.diff([0, *counts]).min() > len(people) / 2
    [still[0, clip] for clip in range(len(still))]
    assert made() == counts[-1]


def test_crops_beyond_what_is_kept_come_from_the_image(people, tmp_path):
    plain, cached = both(people, tmp_path, moves=[RandomScale((0.3, 0.3))])
    inside = np.flatnonzero((cached.crops._low > 0).any(1))
    assert len(inside) > len(people) / 2
    for clip in inside.tolist():
        np.testing.assert_array_equal(cached[0, clip]["images"], plain[0, clip]["images"])


def test_a_full_disk_or_a_folder_that_cannot_be_made_changes_nothing(people, tmp_path, monkeypatch):
    expected = [both(people, tmp_path / "a")[1][1, clip]["images"] for clip in range(4)]
    monkeypatch.setattr(crop_cache, "_SPARE", 2**62)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "b", tmp_path / "file" / "c"):
        found = [both(people, folder)[1][1, clip]["images"] for clip in range(4)]
        np.testing.assert_array_equal(found, expected)
        assert not [*tmp_path.joinpath("b").rglob("*.jpg*")]


def test_workers_fill_it_together(people, tmp_path):
    plain, cached = both(people, tmp_path)
    here, elsewhere = loader(cached, 4, True, 0, False), loader(cached, 4, True, 2, False)
    for ours, theirs in zip(elsewhere, here, strict=True):
        assert all((ours[name] == theirs[name]).all() for name in ours)
