"""`posekit.score` on real predictions with known scores, and on wrong input."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

import posekit
from posekit import data
from posekit.data import penn_action
from posekit.data.clips import Clips
from posekit.data.framing import Framing
from posekit.data.predictions import Predictions, Ranking, read_predictions, skeleton_of
from posekit.data.sample import ensure_sample
from posekit.data.scores import official_score, save_predictions
from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO, LSP, MPII, PENN_ACTION, POSE_MACHINE

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
    labels = penn_action.labels(Path(REAL, "PennAction"))
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


def evaluated_run(folder, name, root, *, joints, boxes="ground_truth", **ranking):
    """A run folder with noisy predictions, and the score that the run would note."""
    people = data.load(name, "test", root, source="sample", boxes=boxes)
    clips = Clips(people, joints, 1, Framing((128, 96), 1.25, half_pixel=False, fill=0))
    rng = np.random.default_rng(0)
    middle = (people.boxes[:, None, :2] + people.boxes[:, None, 2:]) / 2
    truth = np.where(clips.visible[..., None], clips.keypoints, middle)
    noisy, scores = truth + rng.normal(0, 20, truth.shape), rng.random(truth.shape[:2])
    found = Predictions(noisy, scores, ranking=Ranking(**ranking))
    folder.mkdir()
    save_predictions(folder, clips, found)
    record = {"dataset": name, "source": "sample", "split": "test"}
    (folder / "metrics.json").write_text(json.dumps(record))
    return official_score(clips, found, root), found


@pytest.mark.parametrize(
    ("name", "joints", "options"),
    [
        ("LSP", POSE_MACHINE, {}),
        ("MPII", POSE_MACHINE, {}),
        ("PennAction", POSE_MACHINE, {}),
        ("COCO", COCO, {}),
        ("COCO", COCO, {"soft_nms": True}),
        ("COCO", COCO, {"boxes": "detections"}),
    ],
    ids=["lsp", "mpii", "penn_action", "coco", "coco, soft nms", "coco, detections"],
)
def test_a_run_folder_gives_the_numbers_of_the_run(tmp_path, name, joints, options):
    root = ensure_sample(name, smoke=True)
    expected, found = evaluated_run(tmp_path / "run", name, root, joints=joints, **options)
    for split in (None, "test"):
        score = posekit.score(name, tmp_path / "run", split=split, root=root)
        assert score.values == expected.values and score.n_people == expected.n_people
    assert 0 <= score.mean < 100
    table = read_predictions(tmp_path / "run" / "predictions.npz")
    np.testing.assert_array_equal(table["keypoints"], found.keypoints)
    assert skeleton_of(table) is joints


def test_official_files_are_what_the_official_evaluations_take(tmp_path):
    for name, joints in (("LSP", LSP), ("MPII", MPII), ("PennAction", PENN_ACTION), ("COCO", COCO)):
        root = ensure_sample(name, smoke=True)
        evaluated_run(tmp_path / name, name, root, joints=joints)
    files = {
        name: next(tmp_path.glob(f"*/{name}"))
        for name in (
            "lsp_predictions.npz",
            "pred.mat",
            "pennaction_predictions.npz",
            "coco_results.json",
        )
    }
    runs = {name: posekit.score(name, tmp_path / name) for name in ("LSP", "MPII", "PennAction")}
    root = ensure_sample("LSP", smoke=True)
    lsp = np.load(files["lsp_predictions.npz"])["predictions"]
    assert posekit.score("LSP", lsp, root=root).values == pytest.approx(runs["LSP"].values)
    mpii = loadmat(files["pred.mat"])["preds"]
    again = posekit.score("MPII", mpii, split="valid", root=root)
    assert again.values == pytest.approx(runs["MPII"].values)
    penn = np.load(files["pennaction_predictions.npz"])
    again = posekit.score("PennAction", penn, split="test", root=root)
    assert again.values == pytest.approx(runs["PennAction"].values)
    whole = posekit.score("COCO", files["coco_results.json"], root=root)
    assert whole.mean == posekit.score("COCO", tmp_path / "COCO").mean


def test_a_run_folder_of_something_else_is_refused(tmp_path):
    root = ensure_sample("LSP", smoke=True)
    evaluated_run(tmp_path / "run", "LSP", root, joints=LSP)
    with pytest.raises(PosekitError, match="a run on the test split of LSP, not .* of MPII"):
        posekit.score("MPII", tmp_path / "run", root=root)
    with pytest.raises(PosekitError, match="not on the train split of LSP"):
        posekit.score("LSP", tmp_path / "run", split="train", root=root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PosekitError, match="metrics.json is missing"):
        posekit.score("LSP", tmp_path / "empty")
    content = dict(np.load(tmp_path / "run" / "predictions.npz"))
    np.savez(tmp_path / "run" / "predictions.npz", **content | {"frame": content["frame"] + 7})
    with pytest.raises(PosekitError, match="5 of 5 predictions belong to people that LSP"):
        posekit.score("LSP", tmp_path / "run", root=root)
    (tmp_path / "run" / "predictions.npz").unlink()
    with pytest.raises(PosekitError, match=r"predictions\.npz is missing"):
        posekit.score("LSP", tmp_path / "run", root=root)


@pytest.mark.parametrize(
    "change",
    [
        {"keypoints": np.zeros((5, 14, 3))},
        {"scores": np.zeros((4, 14))},
        {"frame": np.zeros(5)},
        {"image_id": np.array([None] * 5)},
        {"joints": np.zeros(14)},
        {"joints": None},
        {"box": np.zeros(())},
    ],
    ids=str,
)
def test_damaged_prediction_files_are_refused(tmp_path, change):
    evaluated_run(tmp_path / "run", "LSP", ensure_sample("LSP", smoke=True), joints=LSP)
    path = tmp_path / "run" / "predictions.npz"
    content = dict(np.load(path)) | change
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    with pytest.raises(PosekitError, match=r"predictions\.npz"):
        read_predictions(path)


@pytest.mark.parametrize("part", [0, 1, 0.5, 0.99])
def test_cut_prediction_files_are_refused(tmp_path, part):
    evaluated_run(tmp_path / "run", "LSP", ensure_sample("LSP", smoke=True), joints=LSP)
    path = tmp_path / "run" / "predictions.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)] if part != 1 else b"no archive")
    with pytest.raises(PosekitError, match=r"predictions\.npz is not a readable"):
        read_predictions(path)
