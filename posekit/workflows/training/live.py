"""A training that is watched in a live notebook: curves, one hard person, a button that stops."""

import _thread
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as w
import numpy as np
import torch
from IPython.display import display
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from ...data.scores import validation_score
from ...inference.evaluate import mean_pose
from ...reporting import figures
from ...reporting.run_folder import png
from ...train.hooks import Hook
from .building import batch_of
from .experiment import Experiment
from .panels import Panels, enlarged, heated, natural, painted, wanted
from .pictures import errors_of, place_of

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
        self.panels.show(*self._person())
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

    def _person(self) -> tuple[str, list[np.ndarray], list[str]]:
        """Annotation, prediction and heat maps of the hard person."""
        clips, row = self.exp.val, self.row
        clip, frame = place_of(clips, row)
        batch = batch_of(clips, [clip], self.exp.machine)
        maps, joints = (found[0, frame].cpu().numpy() for found in self.trainer.look(batch))
        crop = batch["images"][0, frame].permute(1, 2, 0).cpu().numpy()
        truth, visible = clips.to_crop(clips.keypoints)[row], clips.visible[row]
        skeleton = clips.skeleton
        pictures = [
            painted(crop, truth, visible, skeleton),
            painted(crop, joints, np.ones_like(visible), skeleton),
            heated(enlarged(crop), maps.max(0)),
        ]
        headline = f"{self.exp.run.label}: the held-out person farthest from the mean pose"
        return headline, pictures, ["annotation", "prediction", "heat maps, all joints"]
