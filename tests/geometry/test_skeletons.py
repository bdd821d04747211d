import json
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
