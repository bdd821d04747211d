"""The record of a run."""

import json
import math

import pytest
from runs import config, scored

from posekit.reporting.record import RunRecord, read_record, trained_runs
from posekit.reporting.run_folder import Run

CONTRACT = (
    "paper model dataset source split protocol metrics baseline published n_samples params_count "
    "gmacs seed epochs_done train_seconds git_commit status"
)


def test_a_record_is_read_as_it_was_written():
    run = scored(Run.open(config()))
    run.update(metrics={"Head": math.nan, "AP": 0.5}, gmacs=math.nan, notes=["größer"])
    content = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    assert set(CONTRACT.split()) <= content.keys()
    assert content["metrics"] == {"Head": None, "AP": 0.5} and content["gmacs"] is None
    assert read_record(run.folder) == run.record
    assert run.record.headline == 0.5 and run.label == "PennAction (generated sample)"


@pytest.mark.parametrize(
    "fields",
    [{"n_sample": 4}, {"status": "done"}, {"metrics": {"Mean": "81"}}, {"seed": 1.5}],
    ids=lambda fields: next(iter(fields)),
)
def test_only_fields_of_the_record_are_written(fields):
    run = Run.open(config())
    before = (run.folder / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match=next(iter(fields))):
        run.update(**fields)
    assert (run.folder / "metrics.json").read_bytes() == before


def test_a_record_of_few_fields_is_of_a_run_that_just_began(tmp_path):
    (tmp_path / "metrics.json").write_text('{"model": "lpm", "of_later_versions": 1}')
    assert read_record(tmp_path) == RunRecord(model="lpm")
    (tmp_path / "metrics.json").write_text("[]")
    assert read_record(tmp_path) is None and read_record(tmp_path / "none") is None


def test_trained_runs_are_finished_and_have_weights():
    cases = [("finished", True), ("finished", False), ("failed", True)]
    folders = []
    for number, (status, weights) in enumerate(cases, start=1):
        run = Run.open(config(lr=number / 10))
        if weights:
            (run.folder / "weights.safetensors").touch()
        run.end(status)
        folders.append(run.folder)
    assert [folder for folder, _ in trained_runs()] == folders[:1]
