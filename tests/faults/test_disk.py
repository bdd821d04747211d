"""Disks that are full, folders that cannot be written or vanish, neighbours, several at once.

Each is one message: what happened, what is kept, what to do.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults import STOP, content, partials, runs, slow

WORDS = "train lpm PennAction -p source sample -p epochs 2 -p eval_every 1 -p workers"
KEPT = "what was written before is kept: make room or the folder writable"


def one_message(ended) -> str:
    """The last line that a command printed, which has to be all that it says of the error."""
    assert "Traceback" not in ended.said and "Error" not in ended.said, ended.said
    return ended.said.splitlines()[-1]


def ends_well(commands, reports) -> None:
    """The same command goes on and finishes the one run."""
    ended = commands.run(f"{WORDS} 0", reports)
    assert ended.status == 0, ended.said
    (record,) = runs(reports).values()
    assert record["status"] == "finished" and record["epochs_done"] == 2 and not partials(reports)


@pytest.mark.parametrize("largest", [300_000, 3_000])
def test_a_file_that_finds_no_room(commands, tmp_path, largest):
    """A checkpoint of a megabyte; then the log and the pictures, too."""
    ended = commands.run(f"{WORDS} 0", tmp_path, largest=largest)
    assert ended.status == 2 and KEPT in one_message(ended) and not partials(tmp_path)
    assert [record["status"] for record in runs(tmp_path).values()] in (["failed"], ["running"], [])
    if largest > 100_000:
        ends_well(commands, tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk(commands, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is refused here")
    try:
        ended = commands.run(f"{WORDS} 0", tmp_path)
        said = one_message(ended)
        assert ended.status == 2 and "No space left on device" in said and KEPT in said
        assert not partials(tmp_path)
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path)], check=True)
        ends_well(commands, tmp_path)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_folder_that_cannot_be_made(commands, tmp_path):
    (tmp_path / "file").touch()
    for reports in (tmp_path / "file" / "reports", "/proc/reports"):
        ended = commands.run(f"{WORDS} 0", reports)
        assert ended.status == 2 and "cannot write" in one_message(ended)


VANISH = """
import shutil
from posekit.train.trainer import Trainer
validate = Trainer.validate
def gone(self):
    shutil.rmtree({folder!r})
    return validate(self)
Trainer.validate = gone
"""


def test_a_folder_that_vanishes(commands, tmp_path):
    ended = commands.run(
        f"{WORDS} 0", tmp_path / "a", code=VANISH.format(folder=str(tmp_path / "a"))
    )
    said = one_message(ended)
    assert ended.status == 2 and "No such file or directory" in said and KEPT in said
    assert not (tmp_path / "a").exists()  # half a run is not made anew


# One loading process is lost in training, the others while the record is written.
LOSE = """
import multiprocessing, os, signal, time
from posekit.reporting.run_folder import Run
from posekit.train.trainer import Trainer
step, update, steps = Trainer.train_step, Run.update, []
def lose(processes):
    for one in processes:
        os.kill(one.pid, signal.SIGKILL)
    time.sleep(0.2)
def losing(self, batch):
    steps.append(1)
    if len(steps) == 12:
        children = multiprocessing.active_children()
        assert len(children) == 2
        lose(children[:1])
    return step(self, batch)
def writing(self, **fields):
    if fields.get("status") == "failed":
        lose(multiprocessing.active_children())
    return update(self, **fields)
Trainer.train_step, Run.update = losing, writing
"""


def test_a_loading_process_that_is_killed(commands, tmp_path):
    ended = commands.run(f"{WORDS} 1", tmp_path, code=LOSE)
    assert ended.status == 2 and "a loading process was killed" in one_message(ended)
    assert [record["status"] for record in runs(tmp_path).values()] == ["failed"]
    ends_well(commands, tmp_path)


SPOIL = """
import torch
from posekit.train.trainer import Trainer
step, steps = Trainer.train_step, []
def last(self, batch):
    loss = step(self, batch)
    steps.append(1)
    if len(steps) == 2 * len(self.batches):
        with torch.no_grad():
            next(self.task.model.parameters()).view(-1)[0] = float("nan")
    return loss
Trainer.train_step = last
"""


def test_a_weight_that_is_no_number_after_the_last_iteration(commands, tmp_path):
    ended = commands.run(f"{WORDS} 0", tmp_path, code=SPOIL)
    assert ended.status == 2 and "no longer a number" in one_message(ended)
    ((folder, record),) = runs(tmp_path).items()
    assert record["status"] == "failed" and record["epochs_done"] == 1
    assert not (tmp_path / folder / "weights.safetensors").exists()
    ends_well(commands, tmp_path)


DAMAGE = {
    "checkpoints/last.pt": [b"", b"PK\3\4 no checkpoint", "list", "width", "epoch", "bare"],
    "checkpoints/best.pt": [b"", None, "list"],
    "log.jsonl": [b"\xff\xfe\n", b"[]\n{}\n1\n", b'{"epoch": "x"}\n', None, "odd lines"],
    "params.yaml": [None, b"\xff"],
}


def damage(path, how) -> None:
    import torch

    if how is None:
        path.unlink()
    elif isinstance(how, bytes):
        path.write_bytes(how)
    elif how == "odd lines":
        first, *others = path.read_bytes().splitlines(keepends=True)
        odd = b'{"epoch": 1, "loss": "low", "lr": 1, "seconds": 1}\n'
        path.write_bytes(b"\xff\n" + odd + first + b"[" * 5000 + b"\n" + b"".join(others))
    else:
        state = torch.load(path, weights_only=True)
        name, value = next(iter(state["model"].items()))
        changed = {
            "list": [1, 2],
            "width": state | {"model": state["model"] | {name: value[:1].repeat(99, 1, 1, 1)}},
            "epoch": state | {"epoch": 99},
            "bare": {"model": state["model"], "epoch": "x"},
        }
        torch.save(changed[how], path)


@pytest.fixture(scope="module")
def stopped(commands, tmp_path_factory):
    """A run that was stopped after its first epoch, and what it leaves when it goes on."""
    folder = tmp_path_factory.mktemp("stopped")
    whole = commands.run(f"{WORDS} 0", folder / "whole")
    ended = commands.run(f"{WORDS} 0", folder / "stopped", code=STOP)
    assert whole.status == 0 and ended.status == 130, ended.said
    (name,) = runs(folder / "whole")
    return folder / "stopped", content(folder / "whole" / name)


@pytest.mark.parametrize(
    ("file", "how"),
    [
        pytest.param(file, how, marks=[slow] * (n > 0 and how not in ("width", "odd lines")))
        for file, ways in DAMAGE.items()
        for n, how in enumerate(ways)
    ],
)
def test_what_a_stopped_run_left_is_damaged(commands, stopped, tmp_path, file, how):
    """A checkpoint that cannot be used is one error before any work; the rest is made again."""
    before, expected = stopped
    shutil.copytree(before, tmp_path / "a")
    ((name, _),) = runs(tmp_path / "a").items()
    damage(tmp_path / "a" / name / file, how)
    ended = commands.run(f"{WORDS} 0", tmp_path / "a")
    if file.endswith(".pt"):
        said = one_message(ended)
        assert ended.status == 2 and file in said and "resume=never" in said
        assert "epoch 2/2" not in ended.said
        return
    assert ended.status == 0, ended.said
    record, log, *others = content(tmp_path / "a" / name)
    assert [record, *others] == [expected[0], *expected[2:]]
    assert log == expected[1][-len(log) :] and log[-1]["epoch"] == 2
    if how == "odd lines":
        assert log == expected[1]


NEIGHBOURS = {
    "text": b"no json", "nothing": b"", "list": b"[1]", "no count": b'{"params_count": null}',
    "text for a number": b'{"gmacs": "many"}', "list of metrics": b'{"metric": [1]}',
    "digits": b'{"epochs_done": ' + b"9" * 400 + b"}", "surrogate": b'{"model": "\\ud800"}',
    "markup": b'{"model": "<script>alert(1)</script>", "status": "finished"}',
}  # fmt: skip


def test_damaged_neighbours_and_folders_of_odd_names(commands, tmp_path):
    for name, text in NEIGHBOURS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_bytes(text)
    odd = tmp_path / "javascript:alert(1)"
    odd.mkdir()
    (odd / "metrics.json").write_bytes(NEIGHBOURS["markup"])
    (odd / "report.html").touch()
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "metrics.json")
    ended = commands.run(f"{WORDS} 0", tmp_path)
    assert ended.status == 0, ended.said
    index = (tmp_path / "index.html").read_text()
    assert "<script>alert" not in index and 'href="javascript:' not in index
    damaged = index[index.index("<h2>Damaged") :]
    assert all(f"{name}<br>" in damaged for name in [*NEIGHBOURS, "pipe"] if name != "markup")
    data = json.loads(re.search(r'application/json" id="data">(.*?)</script>', index)[1])
    shown = {run["name"]: run for run in data["runs"]}
    assert shown["markup"]["model"] == "<script>alert(1)</script>"
    assert shown[odd.name]["link"] == "./javascript%3Aalert%281%29"


BUILD = """
from posekit.reporting.pages import build_index
for _ in range(20):
    build_index()
"""


def test_two_runs_and_builders_at_once(commands, tmp_path):
    """The folder of a run belongs to one process, and an index is whole at every moment."""
    job = {"code": BUILD, "copies": 2}
    with ThreadPoolExecutor(1) as thread:
        at_once = thread.submit(commands.run, f"{WORDS} 0", tmp_path, **job)
        while not at_once.done():
            with contextlib.suppress(FileNotFoundError):  # not built yet
                assert (tmp_path / "index.html").read_text().endswith("</html>")
            time.sleep(0.01)
    assert at_once.result().status == 0, at_once.result().said
    first, second = (content(tmp_path / folder) for folder in runs(tmp_path))
    assert first == second and not partials(tmp_path)
