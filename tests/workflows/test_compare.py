"""Runs side by side: only what means the same, on the same people."""

import json
import shutil

import numpy as np
import pytest
import yaml

from posekit import data
from posekit.data.predictions import Predictions, write_predictions
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.metrics.pck import hits
from posekit.workflows.compare import figures, setup, tables


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """The folder of all runs."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


@pytest.fixture
def leave(reports):
    """Leave a finished run whose predictions are the annotation, moved by so many pixels."""

    def make(name, moved=0.0, dataset="LSP", rows=None, joints=slice(None), **record):
        people = data.load(dataset, "test", ensure_sample(dataset, smoke=True), source="sample")
        people = people.rows(np.arange(len(people)) if rows is None else np.array(rows))
        keypoints = people.keypoints.copy()
        keypoints[:, joints] += moved
        folder = reports / name
        folder.mkdir(parents=True)
        found = Predictions(keypoints, np.ones(keypoints.shape[:2]))
        write_predictions(folder / "predictions.npz", people, found, people.skeleton)
        known = {"model": "net", "dataset": dataset, "source": "sample", "split": "test"}
        known |= {"metric": data.dataset(dataset).scorer.name, "metrics": {"Mean": 50.0}}
        known |= {
            "status": "finished",
            "started": f"2026-01-01T00:00:{len(list(reports.iterdir())):02d}",
        }
        (folder / "metrics.json").write_text(json.dumps(known | record))
        parameters = {"dataset": dataset, "lr": moved, "flip_test": moved > 0}
        (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
        return folder

    return make


def test_the_newest_two_of_a_kind_are_compared_joint_by_joint(leave):
    leave("lsp-old", 9.0)
    leave("lsp-a", 1000.0, joints=slice(0, 3))
    leave("coco", dataset="COCO")
    leave("lsp-b")
    leave("mpii", dataset="MPII")
    leave("lsp-failed", status="failed")
    leave("lsp-random", trained=False)
    study = setup.start({})
    assert [one.folder.name for one in study.contenders] == ["lsp-a", "lsp-b"]
    table = tables.differences(study).set_index("joint")
    names = [name.replace("_", " ") for name in study.people.skeleton.joints]
    assert (table.loc[names[:3], "difference"] == 100).all()
    assert (table.loc[names[3:], "difference"] == 0).all()
    counted = study.people.visible
    whole = 100 * counted[:, :3].sum() / counted.sum()
    assert table.loc[tables.ALL, "difference"] == pytest.approx(whole, abs=0.01)
    assert (table.loc[[tables.ALL, *names[:3]], "differs"] == "yes").all()
    assert (table.loc[names[3:], "differs"] == "not shown").all()
    assert set(tables.parameters(study)["parameter"]) == {"lr", "flip_test"}
    assert "flip_test differ" in study.text()


def test_the_curve_meets_the_official_score_at_the_official_threshold(leave):
    leave("a", 4.0)
    leave("b", 0.0)
    study = setup.start({})
    people, threshold = study.people, data.dataset("LSP").scorer.protocol.threshold
    first = study.contenders[0]
    right = hits(first.keypoints, people.keypoints, people.reference, threshold)
    (at,) = figures.curve(study, first, np.array([threshold]))
    assert at == pytest.approx(100 * right[people.visible].mean())
    assert at == pytest.approx(np.nanmean(first.points))


def test_people_are_matched_and_strangers_left_out(leave):
    leave("a", rows=[4, 1, 0, 3])
    leave("b", 500.0, rows=[0, 2, 3, 4])
    study = setup.start({"runs": ["a", "b"]})
    assert sorted(study.people.image_id) == sorted(
        data.load("LSP", "test", study_root(), source="sample").image_id[[0, 3, 4]]
    )
    assert np.nanmin(study.contenders[0].points) == 100  # rows are those of the truth
    assert "3 people whom all have, of [4, 4]" in study.text()


def study_root():
    return ensure_sample("LSP", smoke=True)


@pytest.mark.parametrize("other", [
    {"dataset": "COCO"}, {"source": "real"}, {"split": "train"}, {"metric": "PCK@0.1 torso"},
])  # fmt: skip
def test_protocols_are_not_mixed(leave, other, monkeypatch):
    read = setup.run_predictions
    monkeypatch.setattr(  # whatever it says of itself, its people are those of the sample
        setup,
        "run_predictions",
        lambda spec, folder, *_: read(spec, folder, "test", "sample", study_root()),
    )
    monkeypatch.setattr(setup, "data_root", lambda given: study_root())
    dataset = other.pop("dataset", "LSP")
    folders = [leave("a"), leave("b", dataset=dataset, **other)]
    with pytest.raises(PosekitError, match="cannot be compared") as refusal:
        setup.start({"runs": [str(folder) for folder in folders]})
    assert all(str(folder) in str(refusal.value) for folder in folders)
    assert setup.start({}).contenders[0].folder is None  # nor are the newest two taken


def test_what_cannot_be_compared_is_refused_by_name(leave, reports):
    folder = leave("a")
    with pytest.raises(PosekitError, match="nosuch is no run"):
        setup.start({"runs": ["a", "nosuch"]})
    with pytest.raises(PosekitError, match="name two or more"):
        setup.start({"runs": "a"})
    shutil.copytree(folder, reports / "b")
    (reports / "b" / "predictions.npz").unlink()
    with pytest.raises(PosekitError, match="predictions.npz is missing"):
        setup.start({"runs": "a b"})
    leave("c", metric="", metrics={})
    with pytest.raises(PosekitError, match="c is no run with a score"):
        setup.start({"runs": "a c"})


def test_three_runs_leave_a_report(leave):
    names = [leave("a", 3.0).name, leave("b", 6.0).name, leave("c").name]
    study = setup.start({"runs": names, "people": 2})
    tables.runs(study), tables.parameters(study)
    assert set(tables.differences(study)["run"]) == {"B net", "C net"}
    for draw in (figures.differences, figures.thresholds, figures.wins, figures.side_by_side):
        assert draw(study).data
    said = tables.finish(study)
    assert "C net minus A net: +" in said
    left = {path.name for path in study.run.folder.iterdir()}
    assert {
        "report.html",
        "table.csv",
        "table.md",
        "table.tex",
        "runs.csv",
        "parameters.md",
    } <= left
    assert study.run.record.status == "finished" and study.run.record.is_sample


def test_people_are_gone_through_from_the_largest_difference_down(leave):
    leave("a", 1000.0)
    leave("b", 1000.0, joints=slice(0, 7))
    study = setup.start({"interactive": True})
    controls, shown = figures.wins(study).children
    better, person = controls.children
    gains = []
    for person.value in range(len(study.people)):  # noqa: B020
        assert shown.children[0].value.startswith("LSP (generated sample), ")
        gains.append(float(shown.children[0].value.split(": ")[1]))
    assert gains == sorted(gains, reverse=True) and gains[0] > 0
    better.index = 1
    assert float(shown.children[0].value.split(": ")[1]) == max(gains)
    captions = [column.children[0].value for column in shown.children[1].children]
    assert captions[0] == "annotation" and captions[1] == "A net: 0 points"
    assert any("3-wins" in figure for figure in study.run.record.figures)


def test_without_runs_two_baselines_stand_in():
    study = setup.start({"dataset": "PennAction"})
    assert [one.record.model for one in study.contenders] == ["middle of the box", "mean pose"]
    assert "stand in" in study.text() and study.run.record.is_sample
    assert tables.parameters(study) == "the runs have the same parameters"
