"""Widgets for a live JupyterLab; headless runs get an image instead."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as w
import numpy as np
import torch

from ..data import dataset
from ..data.occlusion.regions import EFFECTS
from ..geometry.body_parts import PARTS
from ..inference.evaluate import average_heatmaps
from ..inference.sampling import spread_rows
from .occlusion_study.figures import occluded, preview
from .occlusion_study.setup import DISC, UNOCCLUDED, Occlusion, Study
from .training.building import batch_of
from .training.experiment import Experiment
from .training.panels import Panels, enlarged, heated, painted, wanted
from .training.pictures import errors_of, name_of, place_of, prediction_picture

_EVERY = "all joints"
_IN_DATA = "as in the data"


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
    joint = w.Dropdown(options=[_EVERY, *exp.test.skeleton.joints], description="heat map")

    def draw(order: str, person: int, joint: str) -> tuple[str, list[np.ndarray], list[str]]:
        row = int(rank[order][person])
        headline = f"{exp.run.label}, {name_of(exp.test.people, row)}{errors[row]}"
        return (
            headline,
            _person(exp, row, joint),
            ["annotation", "prediction", f"heat map, {joint}"],
        )

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
    return _live({"order": order, "person": person, "joint": joint}, draw, films)


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
def _person(exp: Experiment, row: int, joint: str) -> list[np.ndarray]:
    """Annotation, prediction and heat map of a scored row."""
    clips = replace(exp.test, frames=exp.settings.clip_length(exp.about))
    clip, frame = place_of(clips, row)
    exp.task.model.eval()
    images = batch_of(clips, [clip], exp.machine)["images"]
    maps = average_heatmaps(exp.task, images)[0, frame].cpu().numpy()
    if joint != _EVERY:
        maps = maps[[clips.skeleton.joints.index(joint)]]
    crop, skeleton = images[0, frame].permute(1, 2, 0).cpu().numpy(), clips.skeleton
    truth, found = (clips.to_crop(k)[row] for k in (clips.keypoints, exp.predictions.keypoints))
    return [
        painted(crop, truth, clips.visible[row], skeleton),
        painted(crop, found, np.ones(len(skeleton), bool), skeleton),
        heated(enlarged(crop), maps.max(0)),
    ]


def occlude_by_hand(study: Study) -> Any:
    """Occlude a person and see heat maps and skeleton change.

    In a live front end: choose a network, a person, and a part, a joint or a disc that sliders move
    and resize. Elsewhere, or if the parameter `interactive` is False, a strip: one person with
    nothing, discs and a part occluded.

    Args:
        study: after `setup.start`.
    """
    if not wanted(study.settings.interactive):
        targets = [(DISC, 1.0), (DISC, 2.0), ("left_arm", 1.0)]
        occlusions = [UNOCCLUDED, *(Occlusion(target, "black", size) for target, size in targets)]
        caption = "One person, occluded by hand; lines are predictions."
        return study.run.figure("5-by-hand", preview(study, occlusions), caption)

    def draw(
        network: int, row: int, target: str, effect: str, size: float, x: float, y: float
    ) -> tuple[str, list[np.ndarray], list[str]]:
        one = Occlusion(target, effect, size, position=(x, y))
        crop, joints, highest = (found[0] for found in occluded(study, [one], network, row))
        clips, skeleton = study.clips[network], study.clips[network].skeleton
        truth, everything = clips.to_crop(clips.keypoints)[row], np.ones(len(skeleton), bool)
        pictures = [
            painted(crop, truth, clips.visible[row], skeleton),
            painted(crop, joints, everything, skeleton),
            heated(enlarged(crop), highest),
        ]
        headline = (
            f"{study.run.label}, {name_of(study.people, row)}: {study.estimators[network].story}"
        )
        return headline, pictures, ["annotation", "prediction", "heat maps, all joints"]

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


def _live(controls: dict[str, Any], draw: Callable[..., tuple], others: Sequence[Any] = ()) -> Any:
    """Controls above panels that are drawn anew with their values when one is moved.

    Args:
        controls: argument of `draw` -> widget.
        draw: the arguments of `Panels.show`.
        others: further widgets among the controls.
    """
    panels = Panels()

    def show(_: Any = None) -> None:
        panels.show(*draw(**{name: control.value for name, control in controls.items()}))

    for control in controls.values():
        control.observe(show, "value")
    show()
    bar = w.HBox([*controls.values(), *others], layout={"flex_flow": "row wrap"})
    return w.VBox([bar, panels.widget])
