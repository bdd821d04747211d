"""Training on several data sets at once, and scoring one of them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import posekit
from posekit import data
from posekit.data.annotations import mixed
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.geometry.skeletons import MPII, POSE_MACHINE, convert
from posekit.inference.open_network import find_network
from posekit.workflows import training as lab


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("POSEKIT_DATA", str(tmp_path))
    return tmp_path / "reports"


def sample(name: str, split: str = "train") -> data.Annotations:
    return data.load(name, split, ensure_sample(name, smoke=True), source="sample")


def test_people_of_several_data_sets_make_one_table():
    parts = [sample(name) for name in ("PennAction", "MPII", "LSP")]
    table = mixed(parts, POSE_MACHINE)
    lengths = [len(part) for part in parts]
    assert len(table) == sum(lengths) and table.dataset == "PennAction+MPII+LSP"
    starts = np.cumsum([0, *lengths])
    for part, start in zip(parts, starts.tolist(), strict=False):
        rows = slice(start, start + len(part))
        keypoints, visible = convert(part.keypoints, part.visible, part.skeleton, POSE_MACHINE)
        np.testing.assert_array_equal(table.keypoints[rows][visible], keypoints[visible])
        np.testing.assert_array_equal(table.visible[rows], visible)
        np.testing.assert_array_equal(table.read(start), part.read(0))
        edges = np.diff(table.sequence[rows]) != 0
        np.testing.assert_array_equal(edges, np.diff(part.sequence) != 0)
    counts = [len(np.unique(part.sequence)) for part in parts]
    assert len(np.unique(table.sequence)) == sum(counts)
    assert len(np.unique(table.group)) == sum(len(np.unique(part.group)) for part in parts)
    _, numbers = table.everybody(POSE_MACHINE)
    shown = [row[row >= 0] for row in numbers]
    assert {len(row) for row in shown} == {1, 2}  # MPII has company
    assert all(len({table.image[i] for i in row}) == 1 for row in shown)
    odd = mixed([parts[1], parts[2]], MPII)
    assert "LSP lacks pelvis, thorax" in odd.notes


def test_a_run_trains_on_all_and_scores_one(small):
    alone = lab.start("cpm", {"dataset": "LSP", "source": "sample"})
    lab.load(alone)
    exp = lab.start("cpm", {"dataset": "mpii + lsp", "score_on": "lsp", "source": "sample"})
    assert exp.config.settings.dataset == "MPII+LSP" and exp.run.record.dataset == "LSP"
    assert exp.run.folder.name.startswith("cpm-MPII-LSP-sample-")
    said = lab.load(exp)
    assert "trained on MPII+LSP, validated and scored on LSP" in said
    assert len(exp.train.people) == len(alone.train.people) + len(sample("MPII"))
    for ours, other in ((exp.val, alone.val), (exp.test, alone.test)):
        np.testing.assert_array_equal(ours.people.keypoints, other.people.keypoints)
        np.testing.assert_array_equal(ours.sides, other.sides)
    assert "everybody" in exp.train[0, len(exp.train) - 1]
    lab.build(exp)
    lab.train(exp)
    table = lab.evaluate(exp)
    lab.evaluate_leniently(exp)
    lab.finish(exp)
    assert table["result"].str.contains("CPM, MPII \\+ LSP").any()
    assert table["result"][0] == "this run, trained on MPII+LSP, LSP (generated sample)"
    report, index = (exp.run.folder / "report.html", exp.run.folder.parent / "index.html")
    assert ", trained on MPII+LSP" in report.read_text()
    assert "trained on MPII+LSP" in index.read_text() and not alone.run.record.trained_on
    score = posekit.score("LSP", exp.run.folder)
    assert score.mean == pytest.approx(exp.run.record.metrics["Mean"])
    assert yaml.safe_load((exp.run.folder / "params.yaml").read_text())["dataset"] == "MPII+LSP"
    found = find_network(str(exp.run.folder), "LSP")
    assert "trained on MPII+LSP" in found.story and found.settings.dataset == "LSP"


def test_training_people_of_the_scored_data_set_can_be_scored():
    wish = {"dataset": "LSP+MPII", "eval_split": "train", "source": "sample"}
    exp = lab.start("cpm", wish)
    lab.load(exp)
    assert set(exp.test.people.image.tolist()) < set(sample("LSP").image.tolist())


def test_videos_and_still_images_are_clips_of_one_run():
    exp = lab.start("lpm", {"dataset": "PennAction+LSP", "source": "sample", "frames": 3})
    assert exp.config.settings.scored == "PennAction"
    lab.load(exp)
    rows = exp.train.rows
    stills = np.char.startswith(exp.train.people.image[rows[:, 0]], "LSP/")
    assert (rows[stills] == rows[stills, :1]).all()
    assert (np.diff(rows[~stills], axis=1) == 1).all() and stills.any() and not stills.all()
    lab.build(exp)
    assert "loss before training" in lab.first_loss(exp)


def test_people_of_each_data_set_are_as_large_as_their_own_recipe_makes_them(tmp_path):
    for name in ("MPII", "LSP"):
        ensure_sample(name, root=tmp_path, smoke=True)
    wish = {"dataset": "LSP+MPII", "data_root": str(tmp_path), "width": 0.1, "device": "cpu"}
    exp = lab.start("cpm", wish)
    assert exp.settings.box_padding == 1.25 and exp.settings.epochs == 575
    other = lab.start("cpm", {**wish, "score_on": "MPII"})
    assert other.settings.box_padding == 1.571 and other.settings.epochs == 575
    assert other.config.origins["box_padding"] == "recipe params/cpm/MPII.yaml"
    for run in (exp, other):
        lab.load(run)
        for name, padding in (("MPII", 1.571), ("LSP", 1.25)):
            boxes = data.load(name, "train", tmp_path).boxes
            rows = np.char.startswith(run.train.people.image, f"{name}/")
            expected = padding * (boxes[:, 2:] - boxes[:, :2]).max(-1)
            np.testing.assert_allclose(run.train.sides[rows], expected, rtol=1e-4)


def test_mistakes_are_named_before_any_work(tmp_path):
    for wish, message in (
        ({"dataset": "MPII+LPS"}, "unknown dataset 'LPS': did you mean LSP"),
        ({"dataset": "MPII+LSP", "score_on": "COCO"}, "score_on='COCO': MPII\\+LSP has MPII, LSP"),
        ({"score_on": "LSP"}, "score_on='LSP': PennAction has PennAction"),
        ({"dataset": "LSP", "train_set": "trainval"}, "train_set='trainval': LSP has train"),
    ):
        with pytest.raises(PosekitError, match=message):
            lab.start("cpm", wish | {"source": "sample"})
    ensure_sample("LSP", root=tmp_path, smoke=True)
    with pytest.raises(PosekitError, match="no MPII data"):  # never half real, half sample
        lab.start("cpm", {"dataset": "MPII+LSP", "data_root": str(tmp_path)})
