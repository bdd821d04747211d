import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posekit.data import DATASETS
from posekit.errors import PosekitError
from posekit.geometry.skeletons import LSP, MPII, PENN_ACTION
from posekit.metrics import mobilepose
from posekit.metrics.pck import pck_score

PROTOCOLS = {name: spec.scorer.protocol for name, spec in DATASETS.items()}
GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name):
    return json.loads((GOLDEN / "pose_machines" / f"{name}.json").read_text())


@pytest.mark.parametrize("frames", ["video", "image"])
@pytest.mark.parametrize("threshold", [0.2, 0.1])
def test_mobilepose_pck(frames, threshold):
    data = golden("decode_pck")
    predicted, truth = (np.array(data[f"decoded_{k}_xy"])[..., :14, :] for k in ("pred", "target"))
    visible = np.array(data[f"vis_{frames}"]) != 0
    visible = np.broadcast_to(visible.reshape(2, -1, 14), (2, 2, 14))
    score = mobilepose.mobilepose_pck(
        predicted.reshape(4, 14, 2), truth.reshape(4, 14, 2), visible.reshape(4, 14), threshold
    )
    expected = data["results"][f"{frames}_visibility_r{threshold}"]
    assert score.mean == pytest.approx(100 * expected["total"], abs=1e-5)


@pytest.mark.parametrize("order", ["literal", "corrected"])
def test_penn_test(order):
    data = golden("penn_eval")
    truth, predicted = (np.array(data[k])[:, :14, ::-1] for k in ("gt", "pred"))
    box = np.array(data["box"])
    side = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    joints = {
        "literal": (0, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13),
        "corrected": mobilepose.PENN_TEST_ORDER,
    }[order]
    score = mobilepose.penn_test(predicted, truth, np.array(data["vis"]) == 1, side, joints)
    assert score.mean == pytest.approx(100 * data[order]["overall"], abs=1e-5)
    head = 100 * data[order]["pck"][0]
    knees = 100 * np.mean(data[order]["pck"][9:11])
    assert score.per_joint["Head"] == pytest.approx(head, abs=1e-5)
    assert score.per_joint["Knee"] == pytest.approx(knees, abs=1e-5)


def test_lsp_by_hand():
    """Torso 100 px: 20 px off counts, 20.1 px does not; occluded joints count."""
    truth = np.zeros((1, 14, 2))
    predicted = truth.copy()
    predicted[0, LSP.index("left_knee"), 0] = 20.0
    predicted[0, LSP.index("right_knee"), 0] = 20.1
    predicted[0, LSP.index("neck"), 1] = 50
    visible = np.ones((1, 14), bool)
    score = pck_score(PROTOCOLS["LSP"], predicted, truth, visible, np.array([100.0]))
    assert score.per_joint["Knee"] == 50 and score.per_joint["Head"] == 50
    assert score.mean == pytest.approx(100 * 12 / 14)
    assert list(score.table().columns) == [*LSP.groups, "Mean", "metric"]
    sides = score.table(sides=True)
    assert list(sides.columns) == [*LSP.joints, "Mean", "metric"]
    assert sides.iloc[0][["left_knee", "right_knee", "neck", "head_top"]].tolist() == [
        100,
        0,
        0,
        100,
    ]
    assert sides["Mean"][0] == score.mean and list(score.per_joint) == list(LSP.groups)


def test_penn_action_by_hand():
    """A box of 100 px: 20 px off counts, 20.1 px does not; hidden joints are left out."""
    truth, visible = np.zeros((1, 13, 2)), np.ones((1, 13), bool)
    predicted = truth.copy()
    predicted[0, PENN_ACTION.index("left_knee"), 0] = 20.0
    predicted[0, PENN_ACTION.index("right_knee"), 0] = 20.1
    predicted[0, PENN_ACTION.index("head"), 1] = 99
    visible[0, PENN_ACTION.index("head")] = False
    score = pck_score(PROTOCOLS["PennAction"], predicted, truth, visible, np.array([100.0]))
    assert score.per_joint["Knee"] == 50 and np.isnan(score.per_joint["Head"])
    assert score.mean == pytest.approx(100 * 11 / 12) and score.extra == {}
    nobody = pck_score(PROTOCOLS["PennAction"], predicted, truth, np.zeros_like(visible), [100.0])
    assert np.isnan(nobody.mean) and np.isnan(nobody.per_joint["Knee"])


@pytest.mark.parametrize("length", [0.0, -1.0, np.nan, np.inf])
def test_reference_lengths_that_are_none(length):
    people = np.zeros((2, 13, 2)), np.zeros((2, 13, 2)), np.ones((2, 13), bool)
    with pytest.raises(PosekitError, match="reference length"):
        pck_score(PROTOCOLS["PennAction"], *people, np.array([50.0, length]))
    assert pck_score(PROTOCOLS["PennAction"], *people, np.array([50.0, 0.5])).mean == 100


def test_mpii_ignores_pelvis_and_thorax_and_counts_annotated_joints():
    truth = np.zeros((2, 16, 2))
    predicted = truth.copy()
    predicted[:, MPII.index("pelvis", "thorax")] = np.nan
    predicted[0, MPII.index("head_top")] = 11.0
    visible = np.ones((2, 16), bool)
    visible[1, MPII.index("left_ankle", "right_ankle")] = False
    score = pck_score(PROTOCOLS["MPII"], predicted, truth, visible, np.array([20.0, 20.0]))
    assert score.per_joint["Head"] == 50 and score.per_joint["Ankle"] == 100
    assert set(MPII.joints) - set(score.by_joint) == {"pelvis", "thorax"}, "never scored"
    assert score.mean == pytest.approx(100 * 25 / 26)


def test_nan_predictions_are_wrong_and_bad_input_is_refused():
    truth = np.zeros((1, 13, 2))
    visible = np.ones((1, 13), bool)
    score = pck_score(PROTOCOLS["PennAction"], truth * np.nan, truth, visible, np.array([50.0]))
    assert score.mean == 0
    with pytest.raises(PosekitError, match="joints in the order"):
        pck_score(PROTOCOLS["PennAction"], np.zeros((1, 14, 2)), truth, visible, np.array([50.0]))
    with pytest.raises(PosekitError, match="reference length"):
        pck_score(PROTOCOLS["PennAction"], truth, truth, visible, np.array([np.nan]))
    assert len(PENN_ACTION) == 13


def test_pckh_of_mpii():
    data = json.loads((GOLDEN / "topdown" / "func_pckh.json").read_text())
    truth = np.moveaxis(np.array(data["pos_gt_src"]), 2, 0)
    predicted = np.array(data["preds_0based"]) + 1  # the truth counts from 1
    visible = np.array(data["jnt_missing"]).T == 0
    head = np.array(data["headboxes_src"])
    reference = 0.6 * np.linalg.norm(head[1] - head[0], axis=0)
    people = predicted, truth, visible, reference
    score = pck_score(PROTOCOLS["MPII"], *people)
    for column, percent in data["result"].items():
        if column in score.per_joint:
            assert score.per_joint[column] == pytest.approx(percent, rel=1e-6), column
    assert score.mean == pytest.approx(data["result"]["Mean"], rel=1e-6)
    assert score.extra == {
        "mean@0.1": pytest.approx(data["mean_at_exactly_0_10"], rel=1e-6),
        "mean@0.1_legacy": pytest.approx(data["check_mean_at_0_11"], rel=1e-6),
    }
    at_half = replace(PROTOCOLS["MPII"], extra_thresholds={"mean@0.5": 0.5})
    assert pck_score(at_half, *people).extra["mean@0.5"] == pytest.approx(score.mean)
