"""What a run leaves that predicts a split without ground truth."""

from dataclasses import replace

import numpy as np
import pytest

from posekit.data import DATASETS, mpii
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.reporting.record import read_record
from posekit.workflows import evaluation as lab

NETWORK = {"model": "lpn_50", "width": 0.0625, "image_size": [64, 64], "workers": 0}


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def every_step(**knobs) -> lab.Evaluation:
    """The evaluate notebook, cell by cell."""
    exp = lab.start(NETWORK | knobs)
    exp.shown = [lab.load(exp), lab.build(exp), lab.evaluate(exp), lab.protocol(exp)]
    lab.error_gallery(exp)
    lab.heatmaps(exp)
    exp.shown.append(lab.finish(exp))
    return exp


def read_blind(folder, split):
    """The test people of MPII as though their joints were secret."""
    if split != "blind":
        return mpii.read(folder, split)
    columns = mpii.read(folder, "test")
    hidden = {"visible": np.zeros_like(columns["visible"]), "notes": ()}
    return columns | hidden | {"reference": np.full_like(columns["reference"], np.nan)}


def test_a_split_without_ground_truth_is_predicted_and_has_no_score(monkeypatch, reports):
    spec = replace(DATASETS["MPII"], read=read_blind, unscored={"blind": "annot/valid.json"})
    monkeypatch.setitem(DATASETS, "MPII", spec)
    root = ensure_sample("MPII", smoke=True)
    knobs = {"dataset": "MPII", "data_root": str(root)}
    exp = every_step(eval_split="blind", **knobs)
    record = read_record(exp.run.folder)
    assert (record.status, record.split, record.n_samples) == ("finished", "blind", 5)
    assert record.metrics == record.baseline == record.published == {} and record.metric == ""
    assert record.protocol.startswith("no score: the ground truth of blind is not public")
    table, summary = exp.shown[2], exp.shown[-1]
    assert table.loc[0, "file"] == "pred.mat" and (exp.run.folder / "pred.mat").is_file()
    assert "submit pred.mat to" in summary and "mean pose" not in summary
    assert "MPII (blind), predicted without a score" in (exp.run.folder / "report.html").read_text()
    assert "MPII: no score" in (reports / "index.html").read_text()
    with pytest.raises(PosekitError, match="eval_split='blnd': MPII has test, val, train, blind"):
        lab.start(NETWORK | knobs | {"eval_split": "blnd"})
    (source := knobs.copy()).pop("data_root")
    with pytest.raises(PosekitError, match="no annot/valid.json in the generated sample: get it"):
        lab.start(NETWORK | source | {"eval_split": "blind", "source": "sample"})
