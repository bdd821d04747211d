"""Widgets for a live JupyterLab; headless runs get a picture instead."""

from typing import Any

import numpy as np

from .experiment import Experiment, prediction_picture
from .results import png


def browse(experiment: Experiment) -> Any:
    """Look through the scored frames: prediction over truth, and the heat map of one joint.

    With the parameter `interactive` a slider and a joint menu; otherwise a strip of four frames.

    Args:
        experiment: after `evaluate`.
    """
    count = len(experiment.test.people)
    if not experiment.recipe.interactive:
        rows = np.linspace(0, count - 1, 4).astype(int).tolist()
        return experiment.run.picture(
            "7-browse.png",
            png(prediction_picture(experiment, rows)),
            "Test frames: prediction (lines) over annotation (dotted).",
        )
    import ipywidgets

    slider = ipywidgets.IntSlider(0, 0, count - 1, description="frame")
    picture = ipywidgets.Image(format="png")

    def show(_: Any = None) -> None:
        picture.value = png(prediction_picture(experiment, [slider.value]))

    slider.observe(show, "value")
    show()
    return ipywidgets.VBox([slider, picture])
