"""A training that is watched, stopped and continued in one kernel; the browser of its results."""

import _thread
import json

import pytest
import torch

from posekit.errors import Stopped
from posekit.reporting.record import read_record
from posekit.train.hooks import Hook
from posekit.workflows import training
from posekit.workflows.training import live

TIMES = {"seconds", "clips_per_second", "memory_mb"}


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    monkeypatch.setenv("POSEKIT_SMOKE", "1")


def started(**given):
    exp = training.start("lpm", {"source": "sample", "workers": 0, "epochs": 3, **given})
    training.load(exp)
    training.build(exp)
    return exp


def log_of(exp):
    lines = (exp.run.folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


class Stop(Hook):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_start(self, epoch, steps):
        self.now = epoch

    def on_step(self, step, batch, loss):
        if self.now == self.epoch and step == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_stopped_training_goes_on_in_the_same_cell_with_the_same_numbers(epoch):
    whole = started(resume="never")
    training.train(whole)
    exp = started(resume="never")
    with pytest.raises(
        Stopped, match=f"^Whole epochs of {exp.run.folder.name} are kept: {epoch - 1};"
    ):
        training.train(exp, hooks=[Stop(epoch)])
    assert read_record(exp.run.folder).status == "interrupted"
    assert exp.run.lock.closed  # the same line, in another process, could go on
    training.train(exp)
    assert read_record(exp.run.folder).status == "running"
    assert log_of(exp) == log_of(whole)
    pairs = zip(exp.task.model.parameters(), whole.task.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_watched_training_shows_pictures_that_change_and_ends_the_same(monkeypatch):
    boxes, clicks, shown = [], [], []
    monkeypatch.setattr(live, "display", boxes.append)
    monkeypatch.setattr(live, "_PAUSE", 0.0)
    monkeypatch.setattr(live, "_SHARE", 1000.0)
    monkeypatch.setattr(_thread, "interrupt_main", lambda: clicks.append(1))
    plain = started(resume="never", epochs=1)
    exp = started(resume="never", epochs=1, interactive=True)
    training.train(plain)
    assert not boxes  # nobody watches a test

    class Watch(Hook):
        def on_step(self, step, batch, loss):
            (box,) = boxes
            _, curves, panels = box.children
            prediction = panels.children[1].children[1].children[1]
            shown.append((bytes(curves.value), bytes(prediction.value)))

    training.train(exp, hooks=[Watch()])
    button, curves, panels = boxes[0].children
    assert len({a for a, _ in shown}) == len(shown) and len({b for _, b in shown}) > 3
    assert "(generated sample)" in panels.children[0].value and curves.layout.width == "800px"
    assert button.disabled and button.description == "Over"
    button.click()  # from then on it must not end what else runs
    assert not clicks
    assert log_of(exp) == log_of(plain)


def test_the_stop_button_interrupts(monkeypatch):
    boxes, clicks = [], []
    monkeypatch.setattr(live, "display", boxes.append)
    monkeypatch.setattr(_thread, "interrupt_main", lambda: clicks.append(1))

    class Click(Hook):
        def on_step(self, step, batch, loss):
            boxes[0].children[0].click()

    training.train(started(interactive=True, epochs=1), hooks=[Click()])
    assert clicks == [1]  # once is enough


def test_the_browser_sorts_and_shows_annotation_prediction_and_heat_map():
    exp = started(interactive=True, epochs=1)
    training.evaluate(exp)
    controls, panels = training.browse(exp).children
    order, person, joint, play = controls.children
    headline, row = panels.children
    error = lambda: float(headline.value.partition("joints are ")[2].partition(" %")[0])  # noqa: E731
    worst = error()
    order.value = "best first"
    assert error() < worst and person.value == 0
    person.value = len(exp.test.people) - 1
    assert error() == worst and "PennAction (generated sample), " in headline.value
    pictures = [column.children[1] for column in row.children]
    assert all(p.layout.width == "260px" and p.layout.max_width == "100%" for p in pictures)
    before = bytes(pictures[2].value)
    joint.value = "left_wrist"
    assert bytes(pictures[2].value) != before
    assert row.children[2].children[0].value == "heat map, left_wrist"
    play.playing = True
    assert order.value == "as in the data" and ", frame 1" in headline.value
