"""`posekit.score` on real predictions with known scores, and on wrong input."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

import posekit
from posekit.data import penn_action
from posekit.errors import PosekitError

REAL = os.environ.get("POSEKIT_REAL_DATA")
real_data = pytest.mark.skipif(not REAL, reason="POSEKIT_REAL_DATA is not set")


@real_data
def test_lsp_oracle():
    """Yang et al. 2016 on LSP, person-centric: the table of its authors."""
    found = loadmat(Path(REAL, "oracles/lsp_pred_keypoints_pc_yang2016.mat"))["pred"]
    score = posekit.score("LSP", found.transpose(2, 1, 0), root=REAL)
    assert score.mean == pytest.approx(73.56, abs=0.005)
    expected = [90.60, 78.05, 73.85, 68.75, 74.75, 69.95, 58.95]
    assert list(score.per_joint.values()) == pytest.approx(expected, abs=0.005)


@real_data
def test_mpii_oracle(tmp_path):
    """The hourglass authors' example predictions on MPII valid."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(Path(REAL, "oracles/mpii_preds_valid-example.h5")) as file:
        found = file["preds"][()]
    (tmp_path / "mpii" / "annot").mkdir(parents=True)
    full = Path(REAL, "oracles/mpii_gt_valid_full.mat")
    shutil.copy(full, tmp_path / "mpii" / "annot" / "gt_valid.mat")
    for root in (tmp_path, full):
        score = posekit.score("mpii", found, root=root)
        assert score.mean == pytest.approx(83.93, abs=0.005)
        expected = [93.69, 92.24, 84.49, 77.92, 83.00, 78.02, 72.86]
        assert list(score.per_joint.values()) == pytest.approx(expected, abs=0.005)


@real_data
def test_penn_action_in_the_files_own_coordinates():
    labels = penn_action.labels(Path(REAL))
    test = np.unique(labels["sequence"][~labels["train"]])
    truth = {f"{s:04d}": labels["keypoints"][labels["sequence"] == s] for s in test.tolist()}
    assert posekit.score("Penn_Action", truth, split="test", root=REAL).mean == 100
    side = (labels["boxes"][:, 2:] - labels["boxes"][:, :2]).max(-1)
    shift = {}
    for s in test.tolist():
        far = np.where(np.arange(13) % 2, 0.21, 0.19)  # of the longer side: every second one misses
        rows = labels["sequence"] == s
        shift[s] = truth[f"{s:04d}"] + np.stack(
            [side[rows, None] * far, 0 * side[rows, None] * far], -1
        )
    score = posekit.score("PennAction", shift, split="test", root=REAL)
    assert score.per_joint["Head"] == 100 and score.per_joint["Wrist"] == 50
    with pytest.raises(PosekitError, match="no prediction"):
        posekit.score("PennAction", {test[0]: truth[f"{test[0]:04d}"]}, split="test", root=REAL)
    alone = posekit.score("PennAction", {test[0]: truth[f"{test[0]:04d}"]}, root=REAL)
    assert "1 sequences given" in alone.protocol


@real_data
def test_predictions_that_do_not_fit():
    with pytest.raises(PosekitError, match="predictions of shape"):
        posekit.score("LSP", np.zeros((10, 14, 2)), root=REAL)
    with pytest.raises(PosekitError, match="unknown dataset"):
        posekit.score("LPS", np.zeros((10, 14, 2)), root=REAL)
    with pytest.raises(PosekitError, match="99999"):
        posekit.score("PennAction", {99999: np.zeros((3, 13, 2))}, root=REAL)


@real_data
@pytest.mark.parametrize(
    ("dataset", "predictions", "words"),
    [
        ("LSP", "abc", "not an array of numbers"),
        ("LSP", [[1], [1, 2]], "not an array of numbers"),
        ("LSP", np.zeros((1000, 14, 2), complex), "not an array of numbers"),
        ("MPII", Path("results.json"), "not an array of numbers"),
        ("PennAction", [np.zeros((3, 13, 2))], "a mapping of sequence id"),
        ("PennAction", {"abc": np.zeros((3, 13, 2))}, "'abc' is no sequence id"),
        ("PennAction", {502: "abc"}, "Penn Action sequence 502: not an array"),
        ("COCO", None, "a list of result dicts"),
        ("COCO", [], "no results to score"),
        ("COCO", [1, 2], "one a dict"),
        (None, [], "unknown dataset"),
    ],
    ids=str,
)
def test_predictions_of_the_wrong_kind(dataset, predictions, words):
    with pytest.raises(PosekitError, match=words):
        posekit.score(dataset, predictions, root=REAL)


@real_data
def test_coco_results_of_any_kind():
    labels = json.loads((Path(REAL) / "coco/annotations/person_keypoints_val2017.json").read_text())
    people = [a for a in labels["annotations"] if a["num_keypoints"]]
    plain = [{n: a[n] for n in ("image_id", "category_id", "keypoints")} for a in people]
    plain = [one | {"score": 0.5} for one in plain]
    whole = posekit.score("COCO", plain, root=REAL).mean
    told = ({**one, "keypoints": np.array(one["keypoints"]), "caption": "x"} for one in plain)
    assert posekit.score("COCO", told, root=REAL).mean == whole == pytest.approx(1)
    for change, words in (
        ({"category_id": 2}, "people are 1"),
        ({"category_id": [1]}, "result 0 has no field category_id"),
        ({"image_id": "x"}, "result 0 has no field image_id"),
        ({"score": 10**400}, "result 0 has no field score"),
    ):
        with pytest.raises(PosekitError, match=words):
            posekit.score("COCO", [plain[0] | change, *plain[1:]], root=REAL)
