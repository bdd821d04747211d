"""Widgets for a live JupyterLab; headless runs get a picture instead."""

from typing import Any

import numpy as np

from ..data.occlusion.regions import EFFECTS
from ..geometry.body_parts import PARTS
from ..inference.sampling import spread_rows
from ..reporting.run_folder import png
from .occlusion_study.figures import preview
from .occlusion_study.setup import Study
from .training.experiment import Experiment
from .training.pictures import prediction_picture


def browse(exp: Experiment) -> Any:
    """Look through the scored frames: prediction over truth, and the heat map of one joint.

    With the parameter `interactive` a slider and a joint menu; otherwise a strip of four frames.

    Args:
        exp: after `evaluate`.
    """
    count = len(exp.test.people)
    if not exp.settings.interactive:
        rows = spread_rows(count, 4).tolist()
        return exp.run.picture(
            "7-browse.png",
            png(prediction_picture(exp, rows)),
            "Test frames: prediction (lines) over annotation (dotted).",
        )
    import ipywidgets

    slider = ipywidgets.IntSlider(0, 0, count - 1, description="frame")
    picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})

    def show(_: Any = None) -> None:
        picture.value = png(prediction_picture(exp, [slider.value]))

    slider.observe(show, "value")
    show()
    # A box stretches what it holds to its own width by default.
    return ipywidgets.VBox([slider, picture], layout={"align_items": "flex-start"})


def occlude_by_hand(study: Study) -> Any:
    """Occlude a person and see heat maps and skeleton change.

    With the parameter `interactive`: choose a network, a person, and a part, a joint or a disc that
    sliders move and resize. Otherwise a strip: one person with nothing, discs and a part occluded.

    Args:
        study: after `setup.start`.
    """
    if not study.settings.interactive:
        examples = [("nothing", 1.0), ("disc", 1.0), ("disc", 2.0), ("left_arm", 1.0)]
        images = [preview(study, target=t, size=s, effect="black") for t, s in examples]
        caption = "One person, occluded by hand; lines are predictions."
        return study.run.picture("5-by-hand.png", _side_by_side(images), caption)
    import ipywidgets as w

    joints = [f"joint {joint}" for joint in study.people.skeleton.joints]
    names = list(zip(study.names, range(len(study.names)), strict=True))
    controls = {
        "network": w.Dropdown(options=names, description="network"),
        "row": w.IntSlider(0, 0, len(study.people) - 1, description="person"),
        "target": w.Dropdown(options=["disc", "nothing", *PARTS, *joints], description="occlude"),
        "effect": w.Dropdown(options=EFFECTS, description="with"),
        "size": w.FloatSlider(1.0, min=0.2, max=4.0, step=0.1, description="size"),
        "x": w.FloatSlider(0.5, min=0, max=1, step=0.02, description="disc x"),
        "y": w.FloatSlider(0.3, min=0, max=1, step=0.02, description="disc y"),
    }
    picture = w.Image(format="png", layout={"max_width": "100%"})

    def show(_: Any = None) -> None:
        values = {name: control.value for name, control in controls.items()}
        position = values.pop("x"), values.pop("y")
        picture.value = preview(study, position=position, **values)

    for control in controls.values():
        control.observe(show, "value")
    show()
    layout = {"align_items": "flex-start"}
    return w.HBox([w.VBox(list(controls.values())), picture], layout=layout)


def _side_by_side(pngs: list[bytes]) -> bytes:
    """PNG images of one height beside each other."""
    import cv2

    images = [cv2.imdecode(np.frombuffer(p, np.uint8), cv2.IMREAD_COLOR) for p in pngs]
    return cv2.imencode(".png", cv2.hconcat(images))[1].tobytes()
