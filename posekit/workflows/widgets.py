"""Widgets for a live JupyterLab; headless runs get an image instead."""

from collections.abc import Callable
from typing import Any

import ipywidgets as w
from matplotlib.figure import Figure

from ..data.occlusion.regions import EFFECTS
from ..geometry.body_parts import PARTS
from ..inference.sampling import spread_rows
from ..reporting.run_folder import png
from .occlusion_study.figures import preview
from .occlusion_study.setup import DISC, UNOCCLUDED, Occlusion, Study
from .training.experiment import Experiment
from .training.pictures import prediction_picture


def browse(exp: Experiment) -> Any:
    """Look through the scored frames: prediction over truth.

    With the parameter `interactive` a slider; otherwise a strip of four frames.

    Args:
        exp: after `evaluate`.
    """
    count = len(exp.test.people)
    if not exp.settings.interactive:
        rows = spread_rows(count, 4).tolist()
        caption = "Test frames: prediction (lines) over annotation (dotted)."
        return exp.run.figure("7-browse", prediction_picture(exp, rows), caption)
    slider = w.IntSlider(0, 0, count - 1, description="frame")
    return _live({"row": slider}, lambda row: prediction_picture(exp, [row]))


def occlude_by_hand(study: Study) -> Any:
    """Occlude a person and see heat maps and skeleton change.

    With the parameter `interactive`: choose a network, a person, and a part, a joint or a disc that
    sliders move and resize. Otherwise a strip: one person with nothing, discs and a part occluded.

    Args:
        study: after `setup.start`.
    """
    if not study.settings.interactive:
        targets = [(DISC, 1.0), (DISC, 2.0), ("left_arm", 1.0)]
        occlusions = [UNOCCLUDED, *(Occlusion(target, "black", size) for target, size in targets)]
        caption = "One person, occluded by hand; lines are predictions."
        return study.run.figure("5-by-hand", preview(study, occlusions), caption)

    def draw(target: str, effect: str, size: float, x: float, y: float, **chosen: int) -> Figure:
        return preview(study, [Occlusion(target, effect, size, position=(x, y))], **chosen)

    joints = [f"joint {joint}" for joint in study.people.skeleton.joints]
    targets = [DISC, UNOCCLUDED.target, *PARTS, *joints]
    names = list(zip(study.names, range(len(study.names)), strict=True))
    controls = {
        "network": w.Dropdown(options=names, description="network"),
        "row": w.IntSlider(0, 0, len(study.people) - 1, description="person"),
        "target": w.Dropdown(options=targets, description="occlude"),
        "effect": w.Dropdown(options=EFFECTS, description="with"),
        "size": w.FloatSlider(1.0, min=0.2, max=4.0, step=0.1, description="size"),
        "x": w.FloatSlider(0.5, min=0, max=1, step=0.02, description="disc x"),
        "y": w.FloatSlider(0.3, min=0, max=1, step=0.02, description="disc y"),
    }
    return _live(controls, draw)


def _live(controls: dict[str, Any], draw: Callable[..., Figure]) -> Any:
    """Controls beside a figure that is drawn anew with their values when one is moved."""
    image = w.Image(format="png", layout={"max_width": "100%"})

    def show(_: Any = None) -> None:
        image.value = png(draw(**{name: control.value for name, control in controls.items()}))

    for control in controls.values():
        control.observe(show, "value")
    show()
    # A box stretches what it holds to its own width by default.
    return w.HBox([w.VBox(list(controls.values())), image], layout={"align_items": "flex-start"})
