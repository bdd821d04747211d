"""Live notebooks: a training that is watched and can be stopped, scored people to look through."""

import _thread
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ipywidgets as w
import numpy as np
import torch
from IPython.display import display
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from ...data import dataset
from ...data.scores import validation_score
from ...inference.evaluate import average_heatmaps, mean_pose
from ...inference.sampling import spread_rows
from ...reporting import figures
from ...reporting.run_folder import png
from ...train.hooks import Hook
from .building import batch_of
from .experiment import Experiment
from .panels import EVERY, Panels, controlled, natural, views, wanted
from .pictures import errors_of, name_of, place_of, prediction_picture

_IN_DATA = "as in the data"
_WIDTH = 800  # pixels of the curves
_PAUSE, _SHARE = 3.0, 0.05  # seconds between two pictures at least; of the time, for drawing


@contextmanager
def watched(exp: Experiment, metric: str) -> Iterator[list[Hook]]:
    """The hook that shows a training in a live front end; none elsewhere.

    Args:
        exp: after `build`.
        metric: name of the validation score.
    """
    if not wanted(exp.settings.interactive):
        yield []
        return
    hook = LiveTraining(exp, metric)
    try:
        yield [hook]
    finally:
        hook.close()


class LiveTraining(Hook):
    """Curves and the prediction for one hard person, which change in place, and a stop button.

    The person is the held-out one who is farthest from the mean pose. JupyterLab brings a click to
    a running cell; where a front end does not, its interrupt button does the same.
    """

    def __init__(self, exp: Experiment, metric: str) -> None:
        self.exp, self.metric = exp, metric
        mean, clips = mean_pose(exp.train, exp.val), exp.val
        self.baseline = validation_score(clips, mean)
        enough = clips.visible.sum(1) >= clips.visible.sum(1).max() / 2
        self.row = int(np.where(enough, errors_of(clips, mean), -1).argmax())
        self.losses: list[Tensor] = []
        self.records: list[dict[str, Any]] = list(exp.log.records)
        self.curves = w.Image(format="png", layout=natural(_WIDTH))
        self.panels = Panels()
        self.button = w.Button(description="Stop", icon="stop", tooltip="whole epochs are kept")
        self.button.on_click(self._stop)
        # ipykernel hands a click to the thread that made the button, which is training; JupyterLab
        # asks for another one, and gets it.
        self.button.comm._reply_subshell_for = lambda data, default: default
        self.next = 0.0
        display(w.VBox([self.button, self.curves, self.panels.widget]))

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """Keep the loss, and draw now and then."""
        self.losses.append(loss.reshape(1))
        if time.monotonic() > self.next:
            self._draw()

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Draw the new points."""
        self.records.append(record)
        self._draw()

    def close(self) -> None:
        """The training is over, or was stopped."""
        self.button.disabled, self.button.description = True, "Over"

    def _stop(self, _: Any) -> None:
        if self.button.disabled:  # a click that comes late
            return
        self.button.disabled, self.button.description = True, "Stopping"
        _thread.interrupt_main()

    def _draw(self) -> None:
        started = time.monotonic()
        self.losses = [torch.cat(self.losses)]
        self.curves.value = png(self._figure())
        self._show_person()
        ended = time.monotonic()
        self.next = ended + max(_PAUSE, (ended - started) / _SHARE)

    @rc_context(figures.STYLE)
    def _figure(self) -> Figure:
        figure, (left, right) = figures.panels(self.exp.run.label, (_WIDTH / 100, 2.4), 2)
        losses = self.losses[0].float().cpu().numpy()
        left.plot(np.arange(1, len(losses) + 1), losses, linewidth=0.8)
        left.set_yscale("log" if len(losses) > 1 and (losses > 0).all() else "linear")
        left.set(title="loss of each step", xlabel="step since the start of this cell")
        points = [(r["epoch"], r["val"]) for r in self.records if "val" in r]
        right.plot(*zip(*points, strict=True), ".-") if points else None
        right.axhline(self.baseline, color="0.5", linestyle=":", label="mean pose")
        right.set(title=f"{self.metric}, held-out people", xlabel="epoch", ylim=(0, 100))
        right.xaxis.get_major_locator().set_params(integer=True)
        right.legend(loc="lower right")
        for ax in (left, right):
            ax.grid(alpha=0.3)
        return figure

    def _show_person(self) -> None:
        clips, row = self.exp.val, self.row
        clip, frame = place_of(clips, row)
        batch = batch_of(clips, [clip], self.exp.machine)
        maps, joints = (found[0, frame].cpu().numpy() for found in self.trainer.look(batch))
        crop = batch["images"][0, frame].permute(1, 2, 0).cpu().numpy()
        poses = clips.to_crop(clips.keypoints)[row], clips.visible[row], joints
        headline = f"{self.exp.run.label}: the held-out person farthest from the mean pose"
        self.panels.show(headline, views(crop, poses, clips.skeleton, maps.max(0)))


def browse(exp: Experiment) -> Any:
    """Look through the scored people: annotation, prediction and heat map beside each other.

    In a live front end people are sorted by error, videos play, and the heat map is of one joint or
    of all; elsewhere, or if the parameter `interactive` is False, it is a strip of four people.

    Args:
        exp: after `evaluate`.
    """
    count = len(exp.test.people)
    if not wanted(exp.settings.interactive):
        rows = spread_rows(count, 4).tolist()
        caption = "Scored people: prediction (lines) over annotation (dotted)."
        return exp.run.figure("7-browse", prediction_picture(exp, rows), caption)
    rank, errors = _by_error(exp)
    order = w.Dropdown(options=list(rank), description="order")
    person = w.IntSlider(0, 0, count - 1, description="person", layout={"width": "400px"})
    joint = w.Dropdown(options=[EVERY, *exp.test.skeleton.joints], description="heat map")

    panels = Panels()

    def draw(order: str, person: int, joint: str) -> None:
        row = int(rank[order][person])
        headline = f"{exp.run.label}, {name_of(exp.test.people, row)}{errors[row]}"
        panels.show(headline, views(*_person(exp, row, joint), joint))

    def restart(_: Any) -> None:
        person.value = 0

    def in_sequence(change: Any) -> None:
        if change["new"]:
            order.value = _IN_DATA

    order.observe(restart, "value")
    play = w.Play(max=count - 1, interval=300, show_repeat=False)
    play.observe(in_sequence, "playing")
    w.jslink((play, "value"), (person, "value"))
    films = [play] if dataset(exp.settings.scored).video else []
    controls = {"order": order, "person": person, "joint": joint}
    return controlled(controls, draw, panels.widget, films)


def _by_error(exp: Experiment) -> tuple[dict[str, np.ndarray], list[str]]:
    """Orders of the scored rows, and the error of each in words; none where no truth is known."""
    in_data = np.arange(len(exp.test.people))
    if not exp.test.visible.any():
        return {_IN_DATA: in_data}, [""] * len(in_data)
    errors = errors_of(exp.test, exp.predictions.keypoints)
    worst = np.argsort(-errors, kind="stable")
    words = [f": joints are {100 * e:.1f} % of the crop away, on average" for e in errors]
    return {"worst first": worst, "best first": worst[::-1], _IN_DATA: in_data}, words


@torch.inference_mode()
def _person(exp: Experiment, row: int, joint: str) -> tuple:
    """Crop, poses, skeleton and heat map of a scored row, see `views`."""
    clips = replace(exp.test, frames=exp.settings.clip_length(exp.about))
    clip, frame = place_of(clips, row)
    exp.task.model.eval()
    images = batch_of(clips, [clip], exp.machine)["images"]
    maps = average_heatmaps(exp.task, images)[0, frame].cpu().numpy()
    if joint != EVERY:
        maps = maps[[clips.skeleton.joints.index(joint)]]
    crop, skeleton = images[0, frame].permute(1, 2, 0).cpu().numpy(), clips.skeleton
    truth, found = (clips.to_crop(k)[row] for k in (clips.keypoints, exp.predictions.keypoints))
    return crop, (truth, clips.visible[row], found), skeleton, maps.max(0)
