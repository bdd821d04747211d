"""Run folders: begun, continued, left alone."""

import json
import re
import subprocess
import sys

import pytest
from runs import config

from posekit.config.resolve import resolve
from posekit.reporting.pages import build_index
from posekit.reporting.record import read_record
from posekit.reporting.run_folder import Run


def test_an_interrupted_run_of_the_same_parameters_is_continued():
    first = Run.open(config())
    assert json.loads((first.folder / "metrics.json").read_text())["status"] == "running"
    assert re.fullmatch(r"lpm-PennAction-sample-\d{8}-\d{6}", first.folder.name)
    other = Run.open(config(epochs=7))
    first.end("interrupted")
    again = Run.open(config(device="cpu"), resume=True)  # the device does not change the numbers
    assert again.folder == first.folder and again.resumed
    assert other.folder != first.folder
    again.end("finished")
    assert Run.open(config(), resume=True).folder != first.folder
    other.end("interrupted")
    assert not Run.open(config(epochs=7)).resumed
    assert Run.open(config(epochs=7), resume=True).resumed


def in_another_process(lines):
    """Start Python lines that come after `run = Run.open(...)`; it prints its folder's name."""
    code = (
        "from posekit.config.resolve import resolve; from posekit.reporting.run_folder import Run;"
        "run = Run.open(resolve('lpm', {'source': 'sample'}), resume=True);"
        "print(run.folder.name, flush=True);"
    )
    command = [sys.executable, "-c", code + lines]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_run_that_is_still_going_is_left_alone():
    first = Run.open(config())
    with in_another_process("") as process:
        assert process.stdout.readline().strip() != first.folder.name
    assert process.returncode == 0
    assert read_record(first.folder).status == "running"


def test_a_run_is_running_until_its_process_is_killed(reports):
    with in_another_process("import time; time.sleep(600)") as process:
        try:
            folder = reports / process.stdout.readline().strip()
            assert read_record(folder).status == "running"
            assert '"status": "running"' in build_index().read_text()
            other = Run.open(config(), resume=True)
            assert other.folder != folder and not other.resumed
            other.end("finished")
        finally:
            process.kill()
    assert json.loads((folder / "metrics.json").read_text())["status"] == "running"
    assert read_record(folder).status == "interrupted"
    assert '"status": "interrupted"' in build_index().read_text()
    again = Run.open(config(), resume=True)
    assert again.folder == folder and again.resumed and again.record.status == "running"


def test_a_run_that_is_dropped_is_not_running():
    run = Run.open(config())
    folder, lock = run.folder, run.lock
    del run
    assert lock.closed and read_record(folder).status == "interrupted"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_an_error_is_noted_in_the_record(error, status):
    run = Run.open(config())
    with run.noting_errors():
        pass
    assert read_record(run.folder).status == "running"
    with pytest.raises(error), run.noting_errors():
        raise error
    assert read_record(run.folder).status == status
    run.end("finished")
    with pytest.raises(error), run.noting_errors():
        raise error
    assert read_record(run.folder).status == "finished"


def test_params_keep_their_origin():
    run = Run.open(config(lr=0.5))
    text = (run.folder / "params.yaml").read_text()
    assert "lr: 0.5  # you\n" in text and "  # sample.yaml\n" in text


def test_a_run_never_continues_on_other_data(tmp_path, capsys):
    def on(name):
        labels = tmp_path / name / "PennAction" / "labels"
        if not labels.exists():
            labels.mkdir(parents=True)
            (labels / "0001.mat").write_text(name)
        return resolve("lpm", {"data_root": str(tmp_path / name)})

    first = Run.open(on("a"))
    first.end("interrupted")
    other = Run.open(on("b"), resume=True)
    assert other.folder != first.folder and not other.resumed
    assert "other data: a new run begins" in capsys.readouterr().out
    other.end("interrupted")
    again = Run.open(on("a"), resume=True)
    assert again.folder == first.folder and again.resumed
    again.end("interrupted")
    (tmp_path / "a" / "PennAction" / "labels" / "0001.mat").write_text("changed")
    assert not Run.open(on("a"), resume=True).resumed
