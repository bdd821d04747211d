from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posekit import data
from posekit.data.clips import Clips, EpochSampler, loader, windows
from posekit.data.framing import Framing
from posekit.data.occlusion.occluder import Occluder
from posekit.data.sample import ensure_sample
from posekit.data.transforms import ColourJitter, RandomFlip, RandomRotation, RandomScale
from posekit.geometry.crops import transform
from posekit.geometry.skeletons import POSE_MACHINE

lengths = st.lists(st.integers(1, 17), min_size=1, max_size=6)


@given(lengths, st.integers(1, 7))
def test_every_frame_is_scored_once_and_clips_stay_in_their_sequence(counts, frames):
    sequence = np.repeat(np.arange(len(counts)) * 3, counts)
    rows, scored = windows(sequence, frames)
    assert sorted(rows[scored].tolist()) == list(range(len(sequence)))
    assert (sequence[rows] == sequence[rows[:, :1]]).all()
    steps = np.diff(rows, axis=1)
    assert ((steps == 1) | (steps == 0)).all()


def windows_one_by_one(sequence, frames):
    """`windows` as its docstring says it, sequence by sequence and frame by frame."""
    rows, scored = [], []
    for name in dict.fromkeys(sequence.tolist()):
        (own,) = np.nonzero(sequence == name)
        for number in range(0, len(own), frames):
            start = min(number, max(0, len(own) - frames))
            places = range(start, start + frames)
            rows.append([own[min(place, len(own) - 1)] for place in places])
            shown = [place >= number for place in places]
            last = [place == start + frames - 1 or place + 1 < len(own) for place in places]
            scored.append([a and b for a, b in zip(shown, last, strict=True)])
    return np.array(rows), np.array(scored)


@given(lengths, st.integers(1, 7))
def test_windows_are_those_of_the_plain_loop(counts, frames):
    sequence = np.repeat(np.arange(len(counts)) * 3, counts)
    for found, expected in zip(
        windows(sequence, frames), windows_one_by_one(sequence, frames), strict=True
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_tail_clip_is_moved_back_and_stills_are_repeated():
    rows, scored = windows(np.array([7] * 7 + [9]), 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [7] * 5]
    assert scored.astype(int).tolist() == [[1] * 5, [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]


@pytest.fixture(scope="module")
def people():
    return data.load(
        "PennAction", "train", ensure_sample("PennAction", smoke=True), source="sample"
    )


def clips(people, transforms=(), frames=3, seed=0):
    framing = Framing((64, 48), 1.25)
    return Clips(people, POSE_MACHINE, frames, framing, transforms=transforms, seed=seed)


def test_a_sample_is_uint8_and_keypoints_sit_where_the_picture_says(people):
    source = clips(people)
    sample = source[0, 1]
    assert sample["images"].shape == (3, 3, 64, 48) and sample["images"].dtype == np.uint8
    assert sample["keypoints"].dtype == np.float32 and sample["visible"].dtype == bool
    back = source.to_image(source.to_crop(source.keypoints))
    np.testing.assert_allclose(back, source.keypoints, atol=1e-3)
    shown = sample["scored"]
    rows = sample["rows"][shown]
    crop = source.to_crop(source.keypoints)[rows]
    np.testing.assert_allclose(sample["keypoints"][shown], crop, atol=1e-3)


def test_augmentation_depends_on_seed_epoch_and_clip_only(people):
    wild = [RandomScale((0.7, 1.3)), RandomRotation(40.0), RandomFlip(0.5), ColourJitter(0.2)]
    a, b = clips(people, wild)[3, 1], clips(people, wild)[3, 1]
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])
    other_epoch, other_seed = clips(people, wild)[4, 1], clips(people, wild, seed=1)[3, 1]
    assert not np.array_equal(a["images"], other_epoch["images"])
    assert not np.array_equal(a["images"], other_seed["images"])


def test_mirror_swaps_sides(people):
    plain = clips(people)[0, 0]
    mirror = clips(people, [RandomFlip(1.0)])[0, 0]
    difference = mirror["images"][..., ::-1].astype(int) - plain["images"].astype(int)
    assert np.abs(difference).mean() < 2  # only the rounding of bilinear weights differs
    swapped = mirror["keypoints"][:, POSE_MACHINE.flip]
    np.testing.assert_allclose(47 - swapped[..., 0], plain["keypoints"][..., 0], atol=1e-3)
    np.testing.assert_array_equal(mirror["visible"][:, POSE_MACHINE.flip], plain["visible"])


def test_batches_do_not_depend_on_the_number_of_workers(people):
    wild = [RandomScale((0.8, 1.2)), RandomRotation(30.0), RandomFlip(0.5)]

    def epoch(workers):
        batches = loader(clips(people, wild), 4, True, workers, False)
        batches.sampler.epoch = 2
        return list(batches)

    for alone, together in zip(epoch(0), epoch(2), strict=True):
        assert all((alone[key] == together[key]).all() for key in alone)


def test_occlusion_is_the_same_with_workers_and_decodes_few_other_pictures(people):
    read = []

    class Counting:
        def read(self, name):
            read.append(name)
            return people.images.read(name)

    mix = [Occluder(POSE_MACHINE, kind="partmix", prob=1.0, exclude=True)]

    def epoch(workers, transforms=mix, table=people):
        batches = loader(clips(table, transforms), 4, True, workers, False)
        batches.sampler.epoch = 2
        return list(batches)

    covered, plain = epoch(0), epoch(0, ())
    for alone, together in zip(covered, epoch(2), strict=True):
        assert all((alone[key] == together[key]).all() for key in alone)
    for mixed, bare in zip(covered, plain, strict=True):
        assert (mixed["images"] != bare["images"]).any()
        assert not (mixed["visible"] & ~bare["visible"]).any()
        assert (mixed["keypoints"] == bare["keypoints"]).all()
    counting = replace(people, images=Counting())
    epoch(0, (), counting)
    needed = len(read)
    epoch(0, mix, counting)
    assert needed < len(read) - needed <= needed + 4


def test_order_changes_with_the_epoch_and_repeats():
    sampler = EpochSampler(50, True, seed=5)
    first = list(sampler)
    sampler.epoch = 1
    second = list(sampler)
    sampler.epoch = 0
    assert list(sampler) == first and [i for _, i in second] != [i for _, i in first]
    assert sorted(i for _, i in second) == list(range(50)) and {e for e, _ in second} == {1}


def crowd(people, each=3):
    """Every third image of some people, with three people each, in an order of its own."""
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(0, len(people), each), each))
    return replace(people.rows(rows), sequence=np.arange(len(rows)))


def shared_epoch(people, workers=0, share=(0, 1), epoch=2):
    source = replace(clips(people, [RandomFlip(0.5)], frames=1), share_decode=True)
    batches = loader(source, 4, True, workers, False, share)
    batches.sampler.epoch = epoch
    return list(batches)


def test_people_of_an_image_follow_one_another_and_it_is_decoded_once(people):
    table, read = crowd(people), []

    class Counting:
        def read(self, name):
            read.append(name)
            return people.images.read(name)

    batches = shared_epoch(replace(table, images=Counting()))
    rows = np.concatenate([batch["rows"][:, 0] for batch in batches])
    assert sorted(rows.tolist()) == list(range(len(table)))
    assert len(read) == len(set(read)) == len(table) / 3
    changes = table.image[rows][1:] != table.image[rows][:-1]
    assert changes.sum() == len(table) / 3 - 1
    again = np.concatenate([batch["rows"][:, 0] for batch in shared_epoch(table)])
    other = np.concatenate([batch["rows"][:, 0] for batch in shared_epoch(table, epoch=3)])
    assert (rows == again).all() and (rows != other).any()


def test_shared_decoding_changes_no_sample_and_needs_no_number_of_workers(people):
    table = crowd(people)
    alone = clips(table, [RandomFlip(0.5)], frames=1)
    for here, elsewhere in zip(shared_epoch(table), shared_epoch(table, workers=2), strict=True):
        for key in here:
            assert (here[key] == elsewhere[key]).all()
            for number, row in enumerate(here["rows"][:, 0].tolist()):
                assert np.array_equal(alone[2, row][key], here[key][number])


def test_processes_share_the_images_out(people):
    table = crowd(people)
    parts = [shared_epoch(table, share=(number, 2)) for number in (0, 1)]
    rows = [np.concatenate([batch["rows"][:, 0] for batch in part]) for part in parts]
    assert len(rows[0]) == len(rows[1])
    assert set(np.concatenate(rows).tolist()) == set(range(len(table)))
    assert len(set(table.image[rows[0]]) & set(table.image[rows[1]])) <= 2


def test_training_clips_start_anywhere_in_their_sequence(people):
    source = replace(clips(people), random_start=True)
    assert len(source) == len(clips(people))
    starts = set()
    for epoch, clip in np.ndindex(8, len(source)):
        sample = source[epoch, clip]
        rows, boxes = sample["rows"], people.boxes[sample["rows"]]
        assert (np.diff(rows) == 1).all()
        assert (people.sequence[rows] == people.sequence[source.rows[clip]]).all()
        starts.add(people.frame[rows[0]])
        union = np.r_[boxes[:, :2].min(0), boxes[:, 2:].max(0)]
        centre, side = source.framing.place(union[None])
        expected = transform(source.framing.matrix(centre[0], side[0]), source.keypoints[rows])
        np.testing.assert_allclose(sample["keypoints"], expected, atol=1e-3)
    assert starts == {1, 2, 3, 4, 5, 6}  # where 3 of 8 frames can start


def test_random_starts_are_the_same_with_workers_and_again(people):
    def epoch(number, workers):
        source = replace(clips(people, [RandomFlip(0.5)], seed=4), random_start=True)
        batches = loader(source, 4, True, workers, False)
        batches.sampler.epoch = number
        return list(batches)

    for alone, together in zip(epoch(2, 0), epoch(2, 2), strict=True):
        assert all((alone[key] == together[key]).all() for key in alone)
    rows, others = (np.concatenate([b["rows"] for b in epoch(n, 0)]) for n in (2, 3))
    assert sorted(rows.tolist()) != sorted(others.tolist())


@pytest.mark.parametrize("frames", [1, 8, 9])
def test_single_frames_and_whole_sequences_have_one_start(people, frames):
    """CPM sees every frame once an epoch, and stills are drawn as without random starts."""
    moves = [RandomScale((0.7, 1.3)), RandomFlip(0.5)]
    fixed, drawn = (
        replace(clips(people, moves, frames), random_start=random) for random in (False, True)
    )
    for clip in range(len(fixed)):
        for key, values in fixed[1, clip].items():
            np.testing.assert_array_equal(values, drawn[1, clip][key])


def test_sizes_are_cut_from_an_image_that_is_decoded_once(people):
    read = []

    class Counting:
        def read(self, name):
            read.append(name)
            return people.images.read(name)

    scales = (0.7, 1.0, 1.3)
    source = replace(clips(replace(people, images=Counting())), scales=scales)
    sample = source[0, 1]
    assert sample["images"].shape == (3, 3, 3, 64, 48) and len(read) == 3
    for size, scale in enumerate(scales):
        framing = Framing((64, 48), 1.25 / scale)
        alone = replace(clips(people), framing=framing)[0, 1]["images"]
        difference = alone.astype(int) - sample["images"][:, size]
        assert np.abs(difference).mean() < 0.1  # rounding of the side
    np.testing.assert_array_equal(sample["images"][:, 1], clips(people)[0, 1]["images"])


def test_a_whole_video_is_cut_about_each_box_at_one_size(people):
    source = clips(people, frames="all")
    assert len(source) == len(people) and source[0, 3]["images"].shape == (1, 3, 64, 48)
    middles = (people.boxes[:, :2] + people.boxes[:, 2:]) / 2
    np.testing.assert_allclose(source.centres, middles, rtol=1e-6)
    longest = (people.boxes[:, 2:] - people.boxes[:, :2]).max(1)
    for number in np.unique(people.sequence):
        own = people.sequence == number
        np.testing.assert_allclose(source.sides[own], 1.25 * longest[own].max(), rtol=1e-6)
    back = source.to_image(source.to_crop(source.keypoints))
    np.testing.assert_allclose(back, source.keypoints, atol=1e-3)


@pytest.mark.parametrize("each", [1, 2, 3])
def test_everybody_is_there_where_an_image_shows_several(people, each):
    source = clips(crowd(people, each), [RandomFlip(0.5)], frames=1)
    sample = replace(source, with_everybody=True)[0, 0]
    if each == 1:
        assert "everybody" not in sample
        return
    assert sample["everybody"].shape == (1, each, 14, 2)
    for found in sample["everybody"][0]:  # the same person over and over
        shown = sample["visible"][0]
        np.testing.assert_allclose(found[shown], sample["keypoints"][0, shown], atol=1e-3)
        assert np.isnan(found[~shown]).all()
