import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

import posekit.geometry.skeletons as sk
from posekit.errors import PosekitError

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "pose_machines" / "joints_geometry.json").read_text()
)


def test_pose_machine_order_is_the_references():
    names = [j.replace("right_", "r_").replace("left_", "l_") for j in sk.POSE_MACHINE.joints]
    assert [n.replace("head_top", "head") for n in names] == GOLDEN["joint_order"]


def test_lsp_and_mpii_are_reordered_as_the_reference_does():
    raw = np.array(GOLDEN["lsp"]["raw_xyv"], float)
    ours, _ = sk.convert(
        raw[None, :2].swapaxes(1, 2), np.ones((1, 14), bool), sk.LSP, sk.POSE_MACHINE
    )
    np.testing.assert_allclose(ours[0].T, [GOLDEN["lsp"]["x"], GOLDEN["lsp"]["y"]])
    raw = np.array(GOLDEN["mpii"]["raw_xy"], float)
    ours, _ = sk.convert(raw[None], np.ones((1, 16), bool), sk.MPII, sk.POSE_MACHINE)
    np.testing.assert_allclose(ours[0], GOLDEN["mpii"]["xy"])


def test_penn_action_is_read_person_centric_with_a_neck():
    penn = GOLDEN["penn"]
    keypoints = np.stack([penn["x"], penn["y"]], -1)
    ours, visible = sk.convert(
        keypoints, np.array(penn["vis"]) == 1, sk.PENN_ACTION, sk.POSE_MACHINE
    )
    neck = sk.POSE_MACHINE.joints.index("neck")
    np.testing.assert_allclose(ours[:, neck, 0], penn["neck_x"], rtol=1e-5)
    np.testing.assert_allclose(ours[:, neck, 1], penn["neck_y"], rtol=1e-5)
    assert visible[:, neck].tolist() == [bool(v) for v in penn["neck_vis"]]
    with_neck = np.concatenate([keypoints, ours[:, [neck]]], 1)
    np.testing.assert_allclose(ours, with_neck[:, penn["person_centric_index"]], rtol=1e-5)


@pytest.mark.parametrize("name", list(sk.SKELETONS))
def test_every_skeleton_is_consistent(name):
    skeleton = sk.skeleton(name)
    assert (skeleton.flip[skeleton.flip] == np.arange(len(skeleton))).all()
    assert len(set(skeleton.joints)) == len(skeleton)
    assert all(0 <= a < len(skeleton) and 0 <= b < len(skeleton) for a, b in skeleton.limb_indices)


def test_coming_back_loses_only_what_is_not_there():
    keypoints = np.random.default_rng(0).normal(size=(3, 16, 2)).astype(np.float32)
    visible = np.ones((3, 16), bool)
    there, seen = sk.convert(keypoints, visible, sk.MPII, sk.POSE_MACHINE)
    back, seen = sk.convert(there, seen, sk.POSE_MACHINE, sk.MPII)
    lost = sk.MPII.index("pelvis", "thorax")
    assert np.isnan(back[:, lost]).all() and not seen[:, lost].any()
    kept = np.setdiff1d(np.arange(16), lost)
    np.testing.assert_array_equal(back[:, kept], keypoints[:, kept])


def test_unknown_skeleton():
    with pytest.raises(PosekitError, match="penn_action"):
        sk.skeleton("penn")


def test_sigmas_and_sides_of_coco():
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(sk.COCO.sigmas, Params("keypoints").kpt_oks_sigmas, rtol=1e-12)
    assert sk.COCO.flip.tolist() == [0, *(n + 1 if n % 2 else n - 1 for n in range(1, 17))]
    with pytest.raises(FrozenInstanceError):
        sk.COCO.joints = ()


@pytest.mark.parametrize(
    ("joint", "kind", "side"),
    [
        ("left_paw", "paw", "l"), ("paw_R", "paw", "r"), ("L.paw", "paw", "l"),
        ("LPaw", "Paw", "l"), ("pawR", "paw", "r"), ("pawLeft", "paw", "l"), ("nose", "nose", ""),
    ],
)  # fmt: skip
def test_sides_are_told_by_names(joint, kind, side):
    assert sk.kind_and_side(joint) == (kind, side)


MOUSE = sk.Skeleton("mouse", ("nose", "left_ear", "right_ear"), (("nose", "left_ear"),), {})
BAD = {
    "limbs": {"limbs": (("nose", "tail"),)},
    "mirror": {"mirror": (("left_ear", "tail"),)},
    "groups": {"groups": {"Tail": ("tail",)}},
    "joints": {"joints": ("nose", "left_ear", "right_ear", "nose")},
    "sigmas": {"sigmas": (0.1, 0.1)},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_definition_that_does_not_fit_together_is_refused(change):
    address = replace(MOUSE, name="n" * 60, **change).address
    with pytest.raises(PosekitError) as error:
        sk.skeleton(address)
    assert str(error.value) == f"skeleton {'n' * 40}: its joints do not fit together"


def test_a_definition_is_its_own_address(monkeypatch):
    monkeypatch.setattr(sk, "SKELETONS", dict(sk.SKELETONS))
    whole = replace(MOUSE, sigmas=(0.1, 0.2, 0.3), mirror=(("left_ear", "right_ear"),))
    for one in (whole, sk.COCO):
        assert sk.skeleton(one.address) == one
    assert sk.skeleton(whole.address) is sk.skeleton("mouse")
    with pytest.raises(PosekitError, match="the skeleton mouse exists with other joints"):
        sk.skeleton(replace(MOUSE, joints=("left_ear", "nose")).address)
    with pytest.raises(PosekitError, match="this is no skeleton: "):
        sk.skeleton("{")


def test_a_neck_between_head_and_shoulders_of_any_leading_axes():
    three = sk.Skeleton("three", ("head_top", "right_shoulder", "left_shoulder"), (), {})
    points = np.array([[0, 0], [8, 10], [4, 10]]) + np.zeros((2, 5, 3, 2))
    seen = np.ones((2, 5, 3), bool)
    seen[1, 2, 0] = False
    found, visible = sk.convert(points, seen, three, sk.POSE_MACHINE)
    neck = sk.POSE_MACHINE.index("neck")[0]
    assert found.shape == (2, 5, 14, 2) and visible.shape == (2, 5, 14)
    assert (found[:, :, neck] == [3, 8]).all()  # 0.5 head + 0.25 shoulders; 0.2 and 0.4
    assert visible.sum() == 10 * 4 - 2 and not visible[1, 2, neck]
