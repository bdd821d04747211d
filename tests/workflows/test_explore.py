"""A data set looked at: its suspects, its widgets, its report."""

import os
from dataclasses import replace
from pathlib import Path

import ipywidgets as w
import numpy as np
import pytest

from posekit import data
from posekit.data.sample import ensure_sample
from posekit.data.suspects import suspects as find_suspects
from posekit.errors import PosekitError
from posekit.workflows.explore import pictures, setup, statistics, suspects


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """The folder of all runs."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))


@pytest.fixture
def people():
    return data.load("COCO", "train", ensure_sample("COCO", smoke=True), source="sample")


def swapped(people, row, *kinds):
    """The people, with left and right exchanged in one of them."""
    keypoints, visible = people.keypoints.copy(), people.visible.copy()
    for kind in kinds:
        both = people.skeleton.index(f"left_{kind}", f"right_{kind}")
        keypoints[row, both] = keypoints[row, both[::-1]]
        visible[row, both] = True
    return replace(people, keypoints=keypoints, visible=visible)


def test_the_sample_has_no_mistakes(people):
    assert not len(find_suspects(people))


def test_exchanged_hips_face_two_ways(people):
    found = find_suspects(swapped(people, 3, "hip", "knee", "ankle"))
    assert found["suspicion"][found["row"] == 3].tolist() == ["body faces two ways"]
    assert set(found["row"]) == {3} and "hips" in found["where"].iloc[0]


def test_exchanged_ankles_cross_the_shins(people):
    wide = np.abs(
        np.diff(people.keypoints[:, people.skeleton.index("left_ankle", "right_ankle"), 0], axis=1)
    )
    row = int(wide.argmax())
    table = find_suspects(swapped(people, row, "ankle"))
    assert (table["row"] == row).all()
    assert ("left and right limbs crossed", "knees and ankles") in set(
        zip(table["suspicion"], table["where"], strict=True)
    )


def test_joints_outside_long_limbs_and_repetitions_are_found(people):
    keypoints = people.keypoints.copy()
    wrist = people.skeleton.joints.index("left_wrist")
    side = (people.boxes[:, 2:] - people.boxes[:, :2]).max(1)
    keypoints[2, wrist] = people.boxes[2, 2:] + 0.8 * side[2]
    visible = people.visible.copy()
    visible[2, wrist] = True
    moved = replace(people, keypoints=keypoints, visible=visible)
    table = find_suspects(moved).set_index("suspicion")
    outside = table.loc["joint outside the box"]
    assert outside["row"] == 2 and outside["value"] == pytest.approx(0.8, abs=1e-4)
    assert outside["where"] == "left wrist"
    assert table.loc["limb too long", "where"] == "left elbow to left wrist"
    rows = np.r_[np.arange(len(people)), 5]
    twice = find_suspects(people.rows(rows))
    assert set(twice["row"]) == {5} and (twice["value"] == 1).all()


def test_of_a_video_the_worst_frame_stands_for_all():
    people = data.load(
        "PennAction", "train", ensure_sample("PennAction", smoke=True), source="sample"
    )
    sequence = people.sequence[0]
    own = np.flatnonzero(people.sequence == sequence)
    keypoints = people.keypoints.copy()
    joint = int(np.flatnonzero(people.visible[own].all(0))[0])
    for step, row in enumerate(own[:3]):
        keypoints[row, joint] = people.boxes[row, 2:] + 20 * (step + 1)
    table = find_suspects(replace(people, keypoints=keypoints))
    outside = table[table["suspicion"] == "joint outside the box"]
    assert outside["row"].tolist() == [own[2]] and outside["frames"].tolist() == [3]


def test_nobody_annotated_is_no_suspect(people):
    nobody = replace(people, visible=np.zeros_like(people.visible))
    assert not len(find_suspects(nobody))


@pytest.mark.real
@pytest.mark.parametrize(("name", "split", "most"), [("COCO", "test", 10), ("MPII", "test", 1)])
def test_few_real_people_are_suspects(name, split, most):
    if "POSEKIT_REAL_DATA" not in os.environ:
        pytest.skip("POSEKIT_REAL_DATA is not set")
    root = Path(os.environ["POSEKIT_REAL_DATA"])
    table = find_suspects(data.load(name, split, root, allow_partial=True))
    assert len(table) <= most and (table["value"] > table["limit"]).all()


@pytest.fixture(params=["COCO", "PennAction"])
def exp(request):
    return setup.start({"dataset": request.param, "source": "sample", "people": 3})


def test_a_look_leaves_a_report(exp):
    steps = pictures.people, pictures.video, pictures.augmentation, pictures.targets
    shown = [step(exp) for step in (*steps, statistics.figure)]
    assert exp.is_video == (not isinstance(shown[1], str))
    assert len(statistics.table(exp)) == len(exp.people.skeleton)
    assert suspects.listing(exp) == suspects.gallery(exp) == "no annotation looks wrong"
    setup.finish(exp)
    assert (exp.run.folder / "report.html").is_file()
    assert exp.run.record.status == "finished" and len(exp.run.record.figures) == 4 + exp.is_video


def test_sliders_renew_their_picture(exp):
    exp.config = replace(exp.config, settings=exp.settings.model_copy(update={"interactive": True}))
    moved = {pictures.people: "person", pictures.augmentation: "rotation"}
    for step, name in (moved | {pictures.targets: "sigma"}).items():
        bar, image = step(exp).children
        control = next(c for c in bar.children if getattr(c, "description", "") == name)
        before = image.value
        control.value = control.max
        assert isinstance(image, w.Image) and image.value != before


def test_a_video_is_looked_through(exp):
    exp.config = replace(exp.config, settings=exp.settings.model_copy(update={"interactive": True}))
    if not exp.is_video:
        assert "still images" in pictures.video(exp)
        return
    bar, image = pictures.video(exp).children
    sequence, frame, play = bar.children
    frame.value, before = 2, image.value
    assert image.value != before or frame.value == 2
    sequence.value = 1
    counts = np.unique(exp.people.sequence, return_counts=True)[1]
    assert frame.value == 0 and frame.max == play.max == counts[1] - 1


def test_augmentation_has_the_strength_that_is_asked_for(exp):
    def crops(**how):
        figure = pictures.drawn(exp, [1], 3, **how)
        return [np.asarray(ax.images[0].get_array()) for ax in figure.axes]

    plain, *draws = crops(size=0.0, rotation=0.0, flip_prob=0.0)
    assert all(np.array_equal(plain, one) for one in draws)
    mirrored = crops(size=0.0, rotation=0.0, flip_prob=1.0)[1:]
    assert all(np.abs(one[:, ::-1].astype(int) - plain).mean() < 12 for one in mirrored)
    first, *draws = crops(rotation=90.0, flip_prob=0.0)
    assert np.array_equal(first, plain) and not any(np.array_equal(plain, one) for one in draws)
    assert not np.array_equal(crops(draw=1)[1], crops(draw=2)[1])


def test_parameters_of_the_recipe_are_checked():
    with pytest.raises(PosekitError, match="did you mean hrnet"):
        setup.start({"paper": "hrnett"})
    with pytest.raises(PosekitError, match="rotaton"):
        setup.start({"source": "sample", "rotaton": 3})
    with pytest.raises(PosekitError, match="split='valid'"):
        setup.start({"split": "valid"})
    assert setup.start({"source": "sample", "rotation": 3.0}).settings.rotation == 3
    assert setup.start({"dataset": "LSP", "source": "sample"}).config.paper == "lpm"
