"""Run folders: begun, continued, left alone."""

import json
import re
import subprocess
import sys

from runs import bound

from posekit.config.recipes import bind
from posekit.reporting.pages import build_index
from posekit.reporting.record import read_record
from posekit.reporting.run_folder import Run


def test_an_interrupted_run_of_the_same_parameters_is_continued():
    first = Run.open(bound())
    assert json.loads((first.folder / "metrics.json").read_text())["status"] == "running"
    assert re.fullmatch(r"lpm-PennAction-sample-\d{8}-\d{6}", first.folder.name)
    other = Run.open(bound(epochs=7))
    first.end("interrupted")
    again = Run.open(bound(device="cpu"))  # the device does not change the numbers
    assert again.folder == first.folder and again.resumed
    assert other.folder != first.folder
    again.end("finished")
    assert Run.open(bound()).folder != first.folder
    assert not Run.open(bound(resume="never", epochs=7)).resumed


def in_another_process(lines):
    """Start Python lines that come after `run = Run.open(...)`; it prints its folder's name."""
    code = (
        "from posekit.config.recipes import bind; from posekit.reporting.run_folder import Run;"
        "run = Run.open(bind('lpm', {'source': 'sample'})); print(run.folder.name, flush=True);"
    )
    command = [sys.executable, "-c", code + lines]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_run_that_is_still_going_is_left_alone():
    first = Run.open(bound())
    with in_another_process("") as process:
        assert process.stdout.readline().strip() != first.folder.name
    assert process.returncode == 0
    assert read_record(first.folder).status == "running"


def test_a_run_is_running_until_its_process_is_killed(reports):
    with in_another_process("import time; time.sleep(600)") as process:
        try:
            folder = reports / process.stdout.readline().strip()
            assert read_record(folder).status == "running"
            assert ">running</span>" in build_index().read_text()
            other = Run.open(bound())
            assert other.folder != folder and not other.resumed
            other.end("finished")
        finally:
            process.kill()
    assert json.loads((folder / "metrics.json").read_text())["status"] == "running"
    assert read_record(folder).status == "interrupted"
    assert ">interrupted</span>" in build_index().read_text()
    again = Run.open(bound())
    assert again.folder == folder and again.resumed and again.record.status == "running"


def test_a_run_that_is_dropped_is_not_running():
    folder = Run.open(bound()).folder
    assert read_record(folder).status == "interrupted"


def test_params_keep_their_origin():
    run = Run.open(bound(lr=0.5))
    text = (run.folder / "params.yaml").read_text()
    assert "lr: 0.5  # you\n" in text and "  # sample.yaml\n" in text


def test_a_run_never_continues_on_other_data(tmp_path, capsys):
    def on(name):
        labels = tmp_path / name / "PennAction" / "labels"
        if not labels.exists():
            labels.mkdir(parents=True)
            (labels / "0001.mat").write_text(name)
        return bind("lpm", {"data_root": str(tmp_path / name)})

    first = Run.open(on("a"))
    first.end("interrupted")
    other = Run.open(on("b"))
    assert other.folder != first.folder and not other.resumed
    assert "other data: a new run begins" in capsys.readouterr().out
    other.end("interrupted")
    again = Run.open(on("a"))
    assert again.folder == first.folder and again.resumed
    again.end("interrupted")
    (tmp_path / "a" / "PennAction" / "labels" / "0001.mat").write_text("changed")
    assert not Run.open(on("a")).resumed
