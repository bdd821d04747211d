"""Augmentation: what each transform does, their order, and the samples that a seed stands for."""

import json
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posekit import data
from posekit.data.clips import Clips
from posekit.data.framing import Framing
from posekit.data.occlusion.occluder import Occluder
from posekit.data.sample import ensure_sample
from posekit.data.transforms import (
    ColourJitter,
    HalfBody,
    NormalRotation,
    NormalScale,
    Person,
    Placement,
    RandomFlip,
    RandomRotation,
    RandomScale,
    Sample,
)
from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO, POSE_MACHINE

SAMPLES = json.loads((Path(__file__).parents[1] / "golden" / "augmentation.json").read_text())
START = Placement(np.array([20.0, 50.0]), 100.0)


def placements(*transforms, n=3000, visible=17):
    """Where transforms put the crop of one person, n times."""
    rng = np.random.default_rng(0)
    keypoints = np.stack([np.linspace(0, 40, 17), np.linspace(0, 100, 17)], -1)
    person = Person(keypoints, np.arange(17) < visible)
    found = []
    for _ in range(n):
        placement = START
        for transform in transforms:
            placement = transform.place(placement, person, rng)
        found.append(placement)
    return found


def test_top_down_augmentation_has_the_papers_frequencies():
    """Shares are within five standard errors of their probabilities."""
    wild = HalfBody(0.3, COCO, 0.75), NormalScale(0.35), NormalRotation(45.0, 0.6), RandomFlip(0.5)
    found = placements(*wild)
    for share, p in (
        (np.mean([d.flip for d in found]), 0.5),
        (np.mean([d.rotation != 0 for d in found]), 0.6),
        (np.mean([d.centre[1] != 50 for d in found]), 0.3),
    ):
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(found))
    assert max(abs(d.rotation) for d in found) <= 90
    whole = [d.side for d in found if d.centre[1] == 50]
    assert 65 <= min(whole) and max(whole) <= 135
    few = placements(*wild, n=200, visible=8)  # too few for half a body
    assert all(d.centre[1] == 50 for d in few)


@given(st.floats(0.5, 1.0), st.floats(1.0, 2.0), st.floats(0, 180))
def test_uniform_augmentation_stays_in_its_range(low, high, angle):
    for d in placements(RandomScale((low, high)), RandomRotation(angle), n=20):
        assert 100 / high - 1e-9 <= d.side <= 100 / low + 1e-9 and abs(d.rotation) <= angle
        assert not d.flip


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_probabilities_at_the_ends(prob):
    half, turn, flip = HalfBody(prob, COCO, 0.75), NormalRotation(30.0, prob), RandomFlip(prob)
    for d in placements(half, turn, flip, n=50):
        assert d.flip == (d.rotation != 0) == (d.centre[1] != 50) == bool(prob)


def test_flips_and_rotations_add_up():
    found = placements(RandomFlip(1.0), RandomFlip(1.0), n=1)[0]
    assert not found.flip
    once, twice = placements(RandomRotation(9.0)), placements(*[RandomRotation(9.0)] * 2)
    assert max(abs(d.rotation) for d in once) <= 9 < max(abs(d.rotation) for d in twice) <= 18


@pytest.fixture(scope="module")
def people():
    names = "PennAction", "COCO"
    return {n: data.load(n, "train", ensure_sample(n, smoke=True), source="sample") for n in names}


def clips_of(name, people):
    """The clips of a recorded case."""
    family, kind = name.split(", ")
    mode = {"blur": "keypoint", "cutout": "all"}.get(kind, "parts")
    options = {"kind": kind, "mode": mode, "prob": 0.8, "exclude": True}
    if family == "pose machine":
        joints, frames, framing = POSE_MACHINE, 3, Framing((64, 48), 1.25)
        transforms = [RandomScale((0.7, 1.3)), RandomRotation(40.0), RandomFlip(0.5)]
        table, options["frames"] = people["PennAction"], "run"
    else:
        joints, frames, table = COCO, 1, people["COCO"]
        framing = Framing((128, 96), 1.25, half_pixel=False, fill=0)
        half = HalfBody(0.6, COCO, aspect=0.75, reference_mode=True)
        transforms = [half, NormalScale(0.35), NormalRotation(45.0, 0.6), RandomFlip(0.5)]
    transforms += [ColourJitter(0.2), Occluder(joints, **options)]
    return Clips(table, joints, frames, framing, transforms=transforms, seed=7)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_those_recorded_from_the_first_version(name, people):
    """Random numbers are drawn in the same order as when transforms were one function.

    Sums of keypoints and mean colours of three samples each: builds of OpenCV may differ in the
    last digit of a pixel.
    """
    clips = clips_of(name, people)
    for number, expected in enumerate(SAMPLES[name]):
        sample = clips[3, number]
        known = np.where(sample["visible"][..., None], sample["keypoints"], 0)
        np.testing.assert_allclose(known.sum((0, 1)), expected["keypoints"], atol=0.05)
        assert sample["visible"].sum() == expected["visible"]
        colour = sample["images"].mean((0, 2, 3))
        np.testing.assert_allclose(colour, expected["pixels"], atol=0.2)


@dataclass
class Negative:
    """A photometric transform from outside the package."""

    seen: list

    def apply(self, sample, rng):
        self.seen.append(rng.random())
        return replace(sample, crops=255 - sample.crops)


class Shift:
    """A geometric one: the person moves to the crop's border."""

    def place(self, placement, person, rng):
        return replace(placement, centre=placement.centre + placement.side / 2)


def test_a_transform_of_ones_own_is_a_class_with_one_method(people):
    clips = Clips(people["PennAction"], POSE_MACHINE, 2, Framing((32, 32), 1.25), seed=3)
    before = clips[0, 0]
    clips.transforms.append(Negative([]))
    after = clips[0, 0]
    np.testing.assert_array_equal(after["images"], 255 - before["images"])
    np.testing.assert_array_equal(after["keypoints"], before["keypoints"])
    clips.transforms.append(Shift())  # placed before the crop is cut, wherever it is in the list
    moved = clips[0, 0]
    np.testing.assert_allclose(moved["keypoints"], before["keypoints"] - 16, atol=1e-3)
    assert clips.transforms[0].seen == [np.random.default_rng([3, 0, 0]).random()] * 2


def test_what_is_no_transform_is_refused(people):
    framing = Framing((32, 32), 1.25)
    clips = Clips(people["PennAction"], POSE_MACHINE, 2, framing, transforms=[abs])
    with pytest.raises(PosekitError, match="abs.*is not a transform: give it a method place"):
        clips[0, 0]


def test_normal_augmentation_is_cut_at_its_ends():
    sides = [d.side for d in placements(NormalScale(0.35))]
    assert (min(sides), max(sides)) == pytest.approx((65, 135))
    turned = [d.rotation for d in placements(NormalRotation(45.0))]
    assert (min(turned), max(turned)) == (-90, 90)
    assert (
        np.std([r for r in turned if abs(r) < 30]) < 18
        and 0.56 < np.mean(np.abs(turned) > 0) < 0.64
    )


def test_nine_visible_joints_are_enough_for_a_half():
    assert all(d.centre[1] != 50 for d in placements(HalfBody(1.0, COCO, 0.75), n=9, visible=9))


def test_rotations_and_flips_add_to_what_is_there():
    turned = replace(START, rotation=400.0, flip=True)
    rng, person = np.random.default_rng(0), Person(np.zeros((17, 2)), np.ones(17, bool))
    for transform in (RandomRotation(9.0), NormalRotation(4.5, 1.0)):
        assert 391 <= transform.place(turned, person, rng).rotation <= 409
    assert not RandomFlip(1.0).place(turned, person, rng).flip
    assert RandomScale((2.0, 2.0)).place(turned, person, rng).side == 50


def test_colours_are_multiplied_and_cut():
    crops = np.array([0, 100, 250], np.uint8)[None, :, None, None] * np.ones((2, 1, 4, 3), np.uint8)
    sample = Sample(crops, np.zeros((2, 1, 2)), np.ones((2, 1), bool))
    found = np.stack(
        [ColourJitter(0.2).apply(sample, np.random.default_rng(n)).crops for n in range(200)]
    )
    assert (found[:, :, 0] == 0).all() and (found == found[:, :1, :, :1]).all()
    assert 80 <= found[:, :, 1].min() < 82 and 118 < found[:, :, 1].max() <= 120
    assert 200 <= found[:, :, 2].min() and found[:, :, 2].max() == 255
    assert len({tuple(gain) for gain in found[:, 0, 1, 0]}) > 100  # each channel by its own factor


def test_transforms_and_placements_stay_as_they_are():
    """All samples of an epoch share the transforms, and an augmented clip its first placement."""
    shared = RandomScale((0.7, 1.3)), RandomRotation(40.0), RandomFlip(0.5), NormalScale(0.35)
    shared += NormalRotation(45.0), HalfBody(0.3, COCO, 0.75), ColourJitter(0.2), START
    shared += (Sample(*(np.zeros(1) for _ in range(3))),)
    for one in shared:
        for field in fields(one):
            with pytest.raises(FrozenInstanceError):
                setattr(one, field.name, None)
