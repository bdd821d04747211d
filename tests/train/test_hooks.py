"""What watches a training: log, progress, TensorBoard."""

import json

import pytest

from posekit.files import progress
from posekit.train.hooks import Log, Progress

RECORD = {"loss": 0.5, "lr": 0.01, "seconds": 1.0, "clips_per_second": 3.0, "memory_mb": 100.0}


def record(epoch, **more):
    return {"epoch": epoch, **RECORD, **more}


@pytest.mark.parametrize(
    "damage", [b'{"epoch": 3, "lo', b"\xff\xfe\n", b"[1]\n", b"{}\n", b'{"epoch": null}\n']
)
def test_records_before_a_damaged_line_are_kept(tmp_path, damage):
    path = tmp_path / "log.jsonl"
    good = [record(1), record(2)]
    path.write_bytes(b"".join(json.dumps(r).encode() + b"\n" for r in good) + damage)
    log = Log(path)
    assert log.records == good
    log.on_start(1)
    log.on_epoch(record(2, val=7.0))
    assert Log(path).records == log.records == [record(1), record(2, val=7.0)]
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_rewrite_keeps_the_log(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    log = Log(path)
    log.on_epoch(record(1))
    log.on_epoch(record(2))
    monkeypatch.setattr("os.replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        log.on_start(1)
    assert [r["epoch"] for r in Log(path).records] == [1, 2]


def test_a_line_an_epoch(capsys):
    progress.say("")
    capsys.readouterr()
    watched = Progress(10, "val PCK")
    for epoch in (4, 5):  # training goes on after three epochs
        watched.on_epoch_start(epoch, 2)
        for step in range(2):
            watched.on_step(step, {}, None)
        watched.started -= 60
        watched.on_epoch(record(epoch, round=2, **{"val": 50.0} if epoch == 5 else {}))
    first, second = capsys.readouterr().out.splitlines()
    line = "lr 1.00e-02  3 clips/s  100 MB"
    assert first == f"round 2  epoch  4/10  loss 0.5  {line}  6m00s left"
    assert second == f"round 2  epoch  5/10  loss 0.5  val PCK  50.0  {line}  5m00s left"


def test_a_line_now_and_then_within_an_epoch(capsys, monkeypatch):
    watched = Progress(4, "val PCK")
    watched.on_epoch_start(2, 100)  # training goes on after one epoch
    watched.started -= 60
    for step, due in enumerate([False] * 24 + [True, False]):
        monkeypatch.setattr("posekit.train.hooks.is_due", lambda due=due: due)
        watched.on_step(step, {}, 0.25)
    watched.bar.close()
    # A quarter of an epoch took a minute, two and three quarters are left.
    assert capsys.readouterr().out == "epoch 2/4  25 of 100 steps  loss 0.25  11m00s left\n"
