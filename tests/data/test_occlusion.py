import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posekit.data.occlusion.occluder import KINDS, Occluder, in_twice_the_box, occlude_target
from posekit.data.occlusion.regions import (
    EFFECTS,
    disc,
    occlude_region,
    rectangle,
    target_region,
)
from posekit.data.transforms import Sample
from posekit.errors import PosekitError
from posekit.geometry.body_parts import HALVES, PARTS, part_box, part_joints
from posekit.geometry.skeletons import COCO, MPII, SKELETONS

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/topdown/func_windmills.json").read_text())
NAMES = {"corpus": "torso"}
IMAGE = ((np.arange(64 * 48 * 3) * 29) % 253).astype(np.uint8).reshape(64, 48, 3)
SHAPES = [(256, 192), (256, 256), (96, 128), (64, 48)]


@pytest.mark.parametrize("case", GOLDEN["part_boxes"])
def test_part_boxes_are_those_of_the_reference(case):
    skeleton = SKELETONS[case["dataset"]]
    present = np.array([joint in case["keypoints"] for joint in skeleton.joints])
    points = np.array([case["keypoints"].get(joint, [np.nan] * 2) for joint in skeleton.joints])
    for name, wanted in case["boxes_center_width"].items():
        box = part_box(NAMES.get(name, name), points, present, skeleton)
        if wanted is None or wanted == [[0, 0], [0, 0]]:
            assert box is None
        else:
            np.testing.assert_allclose((box[:2] + box[2:]) / 2, wanted[0], rtol=1e-6)
            np.testing.assert_allclose(box[2:] - box[:2], wanted[1], rtol=1e-5)


def check_picture(crop, wanted, off=0):
    changed = (crop != IMAGE).any(-1)
    ys, xs = np.nonzero(changed)
    assert abs(int(crop.sum()) - wanted["sum"]) <= off * wanted["n_changed"]
    assert len(ys) == wanted["n_changed"]
    if wanted["bbox"]:
        assert [xs.min(), ys.min(), xs.max(), ys.max()] == wanted["bbox"]
        row = crop[wanted["row_index"]].astype(int)
        assert np.abs(row - wanted["row_mid"]).max() <= off


@pytest.mark.parametrize("case", GOLDEN["occlusion"]["cases"])
def test_pictures_are_those_of_the_reference(case):
    x, y = case["x"], case["y"]
    if case["op"] == "circle":
        where = disc(np.array([x, y]), case["radius"], (64, 48), reference_mode=True)
        right = disc(np.array([x, y]), case["radius"], (64, 48))
        inside = 0 <= x < 48 and 0 <= y < 64
        assert (right is not None) == inside
        if inside and y < 48:  # the two readings agree
            np.testing.assert_array_equal(where.mask, right.mask)
        elif inside:  # the reference draws nothing in the lower part
            assert where is None and right.mask.sum() > 30
        fills = {"cutout_color_7_8_9": (7, 8, 9)}
    else:
        w, h = case["wx"], case["wy"]
        where = rectangle(np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), (64, 48))
        x1, x2, y1, y2 = case["x1x2y1y2"]
        assert (where.columns, where.rows) == (slice(x1, x2), slice(y1, y2))
        fills = {"cutout_mean_color": None}
    for name, colour in fills.items():
        crop = IMAGE.copy()
        if where is not None and colour:
            crop[where.rows, where.columns][where.mask] = colour
        elif where is not None:
            occlude_region(crop, where, "mean")
        check_picture(crop, case[name])
    crop = IMAGE.copy()
    if where is not None:
        occlude_region(crop, where, "blur")
    check_picture(crop, case.get("blur") or case["blur31"], off=1)


@pytest.mark.parametrize(
    ("x", "y", "drawn"),
    [(20, 47.9, True), (20, 48.0, False), (47.9, 20, True), (52.0, 20, True), (0, 0, True)]
    + [(-0.1, 20, False), (20, -0.1, False)],
)
def test_the_reference_draws_discs_from_0_to_the_other_side(x, y, drawn):
    """Its `circle_cutout` asks for 0 <= x < h and 0 <= y < w of a crop (h, w)."""
    found = disc(np.array([x, y]), 6, (64, 48), reference_mode=True)
    assert (found is not None) == drawn


def test_excluded_joints_in_both_readings():
    points = np.array(GOLDEN["remove_annotation"]["keypoints"])
    for case in GOLDEN["remove_annotation"]["cases"]:
        centre, half = np.array(case["center"]), np.array(case["widths"]) / 2
        box = np.concatenate([centre - half, centre + half])
        assert np.flatnonzero(in_twice_the_box(box, points)).tolist() == case["removed"]
        painted = rectangle(box, (100, 100)).contains(points)
        assert set(np.flatnonzero(painted)) <= set(case["removed"])  # half of it on each side


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SKELETONS)), st.integers(0, 2**32 - 1), st.sampled_from(PARTS))
def test_every_joint_of_an_occluded_part_is_excluded(name, seed, part):
    skeleton, rng = SKELETONS[name], np.random.default_rng(seed)
    points = rng.uniform(10, 180, (len(skeleton), 2)).astype(np.float32)
    seen = np.ones(len(skeleton), bool)
    where = target_region(part, points, seen, size=(256, 192), skeleton=skeleton)
    own = part_joints(part, skeleton)
    if part in ("left_arm", "right_arm", "left_leg", "right_leg", "torso", "hip"):
        assert where.contains(points)[own].all()
    x1, y1, x2, y2 = where.box
    (x, y), slack = points.T, 1.5
    outside = (x < x1 - slack) | (x > x2 + slack) | (y < y1 - slack) | (y > y2 + slack)
    assert not where.contains(points)[outside].any()


@pytest.mark.parametrize(
    "change",
    [{"kind": "cutuot"}, {"mode": "keypoints"}, {"frames": "some"}, {"prob": 2.0}],
    ids=str,
)
def test_unknown_names_are_refused(change):
    with pytest.raises(PosekitError, match=next(iter(change))):
        Occluder(**{"skeleton": COCO, "kind": "blur", **change})


@pytest.mark.parametrize(
    ("target", "effect"), [("nose", "blur"), (17, "blur"), (-1, "black"), ("head", "gray")]
)
def test_an_unknown_target_or_effect_is_refused(target, effect):
    with pytest.raises(PosekitError, match="target|effect"):
        occlude_target(
            IMAGE[None],
            np.zeros((1, 17, 2)),
            np.ones((1, 17), bool),
            target=target,
            effect=effect,
            skeleton=COCO,
        )


def test_the_reference_draws_parts_without_head_and_torso():
    assert set(PARTS) - {"head", "torso"} == set(GOLDEN["parts_mode_choices"])


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_skeleton_has_every_part(skeleton):
    rng = np.random.default_rng(0)
    points = rng.uniform(10, 90, (len(skeleton), 2))
    for part in (*PARTS, *HALVES):
        box = part_box(part, points, np.ones(len(skeleton), bool), skeleton)
        middle = points[part_joints(part, skeleton)].mean(0)
        assert (box[:2] <= middle + 50).all() and (box[2:] > box[:2]).all()


people = st.tuples(
    st.sampled_from(sorted(SKELETONS)), st.sampled_from(SHAPES[2:]), st.integers(0, 2**32 - 1)
)


def person(name, shape, seed, frames=1):
    """A noisy clip and joints, some of which are missing (NaN) or outside."""
    rng, skeleton = np.random.default_rng(seed), SKELETONS[name]
    crops = rng.integers(0, 256, (frames, *shape, 3), dtype=np.uint8)
    points = rng.uniform(-0.1, 1.1, (frames, len(skeleton), 2)) * shape[::-1]
    visible = rng.random((frames, len(skeleton))) < 0.8
    points[~visible] = np.nan
    return skeleton, crops, points.astype(np.float32), visible


def donor_of(crops, points, visible):
    return lambda: (crops[0], points[0], visible[0])


def occluded(occluder, crops, points, visible, rng, donor=None):
    """Crops and the joints that count of a clip (T, ...) after an occluder."""
    sample = occluder.apply(Sample(crops, points, visible, donor), rng)
    assert sample.keypoints is points
    return sample.crops, sample.visible


def stain(skeleton, points, visible, shape, target):
    """Boolean picture of all pixels that may be covered for a target."""
    out = np.zeros(shape, bool)
    found = target_region(target, points, visible, size=shape, skeleton=skeleton)
    if found is not None:
        out[found.rows, found.columns] |= True if found.mask is None else found.mask
    return out


def explained(changed, stains, count):
    """Whether so many targets at most, the same in every frame, hold every changed pixel."""
    if not changed.any():
        return True
    if count > 2:
        return not (changed & ~np.any(stains, 0)).any()
    rest = (changed & ~mask for mask in stains)
    return count > 0 and any(explained(r, stains, count - 1) for r in rest)


@settings(max_examples=60, deadline=None)
@given(
    people,
    st.sampled_from(sorted(set(KINDS) - {"none"})),
    st.sampled_from(["keypoint", "parts", "all"]),
    st.booleans(),
    st.sampled_from(["all", "run"]),
)
def test_only_chosen_parts_change_and_only_their_joints_are_excluded(
    who, kind, mode, exclude, frames
):
    skeleton, crops, points, visible = person(*who, frames=3)
    options = {"kind": kind, "mode": mode, "exclude": exclude, "frames": frames}
    occluder = Occluder(skeleton, prob=1.0, **options)
    donor = donor_of(*person(*who[:2], who[2] + 1)[1:])
    before = crops.copy()
    clip = crops, points, visible
    out, counted = occluded(occluder, *clip, np.random.default_rng(who[2]), donor)
    again, _ = occluded(occluder, *clip, np.random.default_rng(who[2]), donor)
    np.testing.assert_array_equal(crops, before)
    np.testing.assert_array_equal(out, again)
    assert not (counted & ~visible).any() and (exclude or (counted == visible).all())
    targets = {"keypoint": range(len(skeleton)), "parts": PARTS}.get(mode)
    if kind == "partmix" or kind == "multi":
        targets = PARTS if kind == "partmix" else range(len(skeleton))
    targets = targets or [*range(len(skeleton)), *PARTS, *HALVES]
    changed = (out != crops).any(-1)
    frame_by_frame = list(zip(points, visible, strict=True))
    stains = [
        np.stack([stain(skeleton, *frame, who[1], target) for frame in frame_by_frame])
        for target in targets
    ]
    assert explained(changed, stains, len(KINDS[kind]))
    for frame in range(3):
        lost = np.flatnonzero(visible[frame] & ~counted[frame])
        rounded = np.round(points[frame, lost]).astype(int)
        for x, y in rounded:
            near = changed[frame, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            assert near.any()
    never = Occluder(skeleton, prob=0.0, **options)
    out, counted = occluded(never, *clip, np.random.default_rng(0), donor)
    assert (out == crops).all() and (counted == visible).all()


@settings(max_examples=40, deadline=None)
@given(people, st.sampled_from(EFFECTS), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_named_part_of_everyone_who_has_it_is_occluded(who, effect, scale):
    skeleton, crops, points, visible = person(*who, frames=2)
    for target in (0, *PARTS):
        options = {"skeleton": skeleton, "scale": scale}
        out, touched = occlude_target(
            crops, points, visible, target=target, effect=effect, **options
        )
        for n in range(2):
            found = target_region(target, points[n], visible[n], size=who[1], **options)
            assert touched[n] == (found is not None)
            changed = (out[n] != crops[n]).any(-1)
            if found is not None:
                if effect == "black":
                    window = out[n, found.rows, found.columns]
                    assert not (window if found.mask is None else window[found.mask]).any()
                inside = changed[found.rows, found.columns].copy()
                if found.mask is not None:
                    assert not (inside & ~found.mask).any()
                changed[found.rows, found.columns] = False
            assert not changed.any()


@given(st.sampled_from(SHAPES), st.floats(0, 1), st.sampled_from("ltrb"), st.floats(0, 3))
def test_discs_near_all_borders_are_drawn(shape, along, border, depth):
    h, w = shape
    x, y = along * (w - 1), along * (h - 1)
    x = {"l": depth, "r": w - 1 - depth}.get(border, x)
    y = {"t": depth, "b": h - 1 - depth}.get(border, y)
    found = disc(np.array([x, y]), 6, shape)
    full = np.mgrid[:h, :w] - np.array([y, x])[:, None, None]
    drawn = np.zeros(shape, bool)
    drawn[found.rows, found.columns] = found.mask
    np.testing.assert_array_equal(drawn, (full**2).sum(0) <= 36)


def test_reference_mode_keeps_the_mistakes_of_the_reference():
    rng = np.random.default_rng
    crop = np.full((256, 192, 3), 200, np.uint8)
    crop[::2] = 0
    points, seen = np.tile([90.0, 230.0], (17, 1)), np.ones(17, bool)
    for reference_mode in (True, False):  # its discs are not drawn in the lower part
        occluder = Occluder(COCO, "cutout", "keypoint", 1.0, reference_mode=reference_mode)
        out, _ = occluded(occluder, crop[None], points[None], seen[None], rng(0))
        assert (out == crop).all() == reference_mode
    straight = points.copy()
    straight[:, 1] = np.linspace(20, 180, 17)
    leg = "left_leg", straight, seen
    limb = target_region(*leg, size=(256, 192), skeleton=COCO)
    assert limb.columns.stop - limb.columns.start == 12
    assert target_region(*leg, size=(256, 192), skeleton=COCO, reference_mode=True) is None
    missing = np.zeros(16, bool)
    occluder = Occluder(MPII, "cutout", "all", 1.0, reference_mode=True)
    shown = np.tile([100.0, 100.0], (16, 1))
    missing[[2, 12]] = True
    clip = crop[None], shown[None], missing[None]
    drawn = [occluded(occluder, *clip, rng(seed))[0][0, :90, :90] for seed in range(20)]
    assert any((d != crop[:90, :90]).any() for d in drawn)  # boxes that reach to (-2, -2)


def test_partmix_pastes_another_part_of_the_donor():
    rng = np.random.default_rng(3)
    points = rng.uniform(20, 100, (1, 17, 2))
    seen = np.ones((1, 17), bool)
    blank = np.zeros((1, 128, 128, 3), np.uint8)
    red = np.zeros_like(blank)
    red[..., 0] = 255
    donor = donor_of(red, points, seen)
    for reference_mode, rgb, channel in ((False, True, 0), (True, True, 2), (True, False, 0)):
        occluder = Occluder(COCO, "partmix", prob=1.0, reference_mode=reference_mode, rgb=rgb)
        out, counted = occluded(occluder, blank, points, seen, rng, donor)
        assert out[..., channel].max() == 255 and counted.all()
        assert not np.delete(out, channel, -1).any()
    assert (occluded(occluder, blank, points, seen, rng)[0] == blank).all()


def test_a_joint_of_a_small_crop_is_blurred_too():
    crops = np.random.default_rng(0).integers(0, 255, (1, 64, 48, 3), np.uint8)
    points, there = np.full((1, 17, 2), 20.0), np.ones((1, 17), bool)
    out, touched = occlude_target(
        crops, points, there, target=0, effect="blur", skeleton=COCO, scale=0.5
    )
    assert touched.all() and (out != crops).any()
