"""Pictures of a data set: people, crops, augmentation and targets; with sliders where they live."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ...config.families import PoseMachineTraining
from ...data.framing import Framing
from ...data.occlusion.occluder import KINDS
from ...geometry.crops import invert, transform
from ...inference.sampling import spread_rows
from ...reporting import figures
from ...reporting.run_folder import png
from ..training.panels import controlled
from .setup import Exploration

_VIEW = Framing((320, 320), 1.5)  # the surroundings of a person
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])

_FITS = {"max_width": "100%", "max_height": "40rem", "object_fit": "contain"}


def people(exp: Exploration) -> Any:
    """People with their box, joints and crop: a slider over all of them, or a sheet of some."""
    rows = spread_rows(len(exp.people), 2 * exp.asked.people).tolist()
    figure = pose_sheet(exp, rows, f"People: {exp.run.label}", columns=exp.asked.people)
    caption = (
        "Box (white), the crop of the recipe (yellow) and annotated joints, hidden ones as rings; "
        "right is vermilion, left is blue."
    )
    sheet = exp.run.figure("1-people", figure, caption)
    if not exp.is_live:
        return sheet
    slider = w.IntSlider(0, 0, len(exp.people) - 1, description="person")
    return _live({"row": slider}, lambda row: pose_sheet(exp, [row], exp.run.label))


def pose_sheet(
    exp: Exploration, rows: Sequence[int], title: str, labels: Sequence[str] = (), columns: int = 6
) -> Figure:
    """People and their surroundings with box, crop and skeleton.

    Args:
        exp: after `start`.
        rows: of the people.
        title: of the figure.
        labels: texts above the pictures; their numbers by default.
        columns: pictures in a row.
    """
    chosen, clips = exp.people.rows(np.asarray(rows)), exp.clips
    matrices = _VIEW.matrix(*_VIEW.place(chosen.boxes))
    h, w_ = clips.image_size
    crops = transform(invert(clips.matrices[clips.clip_of_row[rows]]), _CORNERS * [w_, h] - 0.5)
    figure = figures.skeleton_grid(
        [_VIEW.cut(chosen.read(n), matrix) for n, matrix in enumerate(matrices)],
        points := transform(matrices, chosen.keypoints),
        chosen.visible,
        chosen.skeleton,
        title,
        min(columns, len(rows)),
        labels or [f"{s}, {f}" if exp.is_video else f"{s}" for s, f in _numbers(chosen)],
    )
    boxes = chosen.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    for corners, colour in (
        (transform(matrices, boxes), "white"),
        (transform(matrices, crops), "gold"),
    ):
        for ax, outline in zip(figure.axes, corners, strict=False):
            ax.add_patch(Polygon(outline, fill=False, edgecolor=colour, linewidth=1))
    for ax, place, hidden in zip(figure.axes, points, chosen.occluded, strict=False):
        ax.scatter(*place[hidden].T, s=36, facecolors="none", edgecolors="white", linewidths=1)
    figure.set_size_inches((4.8, 5.3) if len(rows) == 1 else figure.get_size_inches() * 1.25)
    return figure


def _numbers(people: Any) -> list[tuple[int, int]]:
    return list(zip(people.sequence.tolist(), people.frame.tolist(), strict=True))


def video(exp: Exploration) -> Any:
    """A sequence frame by frame: a slider with a play button, or a strip of frames."""
    if not exp.is_video:
        return f"{exp.people.dataset} has still images: there is no video to look through"
    sequences, starts, counts = np.unique(
        exp.people.sequence, return_index=True, return_counts=True
    )
    longest = counts.argmax()
    rows = starts[longest] + spread_rows(counts[longest], exp.asked.people)
    figure = pose_sheet(exp, rows.tolist(), f"Sequence {sequences[longest]}: {exp.run.label}")
    strip = exp.run.figure("2-video", figure, "Frames of the longest sequence.")
    if not exp.is_live:
        return strip
    names = [(f"{number:04d}", n) for n, number in enumerate(sequences.tolist())]
    chosen = w.Dropdown(options=names, description="sequence")
    frame = w.IntSlider(0, 0, int(counts[0]) - 1, description="frame")
    play = w.Play(max=int(counts[0]) - 1, interval=300)
    w.jslink((play, "value"), (frame, "value"))

    def renew(change: dict) -> None:
        frame.value, play.max = 0, int(counts[change["new"]]) - 1
        frame.max = play.max

    chosen.observe(renew, "value")

    def draw(clip: int, frame: int) -> Figure:
        return pose_sheet(exp, [int(starts[clip]) + frame], exp.run.label)

    return _live({"clip": chosen, "frame": frame}, draw, play)


def augmentation(exp: Exploration) -> Any:
    """A person as tested and as trained on: sliders for strength and chance, or a sheet."""
    draws = exp.asked.people - 1
    figure = drawn(exp, spread_rows(len(exp.clips), 4).tolist(), draws)
    caption = "The crop of testing at the left, then draws of the recipe's augmentation."
    sheet = exp.run.figure("3-augmentation", figure, caption)
    if not exp.is_live:
        return sheet
    usual = exp.settings
    size = usual.scale_range[1] - 1 if _uniform(exp) else usual.scale_factor
    strengths = {  # value, largest, step
        "rotation": (usual.rotation, 180, 5),
        "size": (size, 0.9, 0.05),
        "colour_jitter": (usual.colour_jitter, 1, 0.05),
        "flip_prob": (usual.flip_prob, 1, 0.05),
    }
    controls = {
        "clip": w.IntSlider(0, 0, len(exp.clips) - 1, description="person"),
        "draw": w.IntSlider(0, 0, 99, description="draw"),
    }
    for name, (value, most, step) in strengths.items():
        slider = w.FloatSlider(value, min=0, max=most, step=step, description=name.split("_")[0])
        controls[name] = slider
    kinds = {"options": list(KINDS), "value": usual.occlusion}
    controls["occlusion"] = w.Dropdown(**kinds, description="occlusion")
    return _live(controls, lambda clip, draw, **how: drawn(exp, [clip], draws, draw, **how))


def drawn(
    exp: Exploration,
    chosen: list[int],
    draws: int,
    draw: int = 0,
    size: float | None = None,
    **knobs: Any,
) -> Figure:
    """Crops of people as tested, and draws of an augmentation.

    Args:
        exp: after `start`.
        chosen: numbers of the people's clips, one a row.
        draws: columns of draws.
        draw: other numbers give other draws.
        size: spread of the random factor on the size; None for the recipe's.
        **knobs: of the recipe, in place of its values.
    """
    clips = exp.clips
    if size is not None:
        knobs |= {"scale_range": (1 - size, 1 + size)} if _uniform(exp) else {"scale_factor": size}
    transforms = exp.settings.model_copy(update=knobs).transforms(clips.skeleton)
    samples = []
    for clip in chosen:
        samples.append(clips[0, clip])
        clips.transforms = transforms
        samples += [clips[draw * draws + number, clip] for number in range(draws)]
        clips.transforms = []
    return figures.skeleton_grid(
        [sample["images"][0].transpose(1, 2, 0) for sample in samples],
        [sample["keypoints"][0] for sample in samples],
        [sample["visible"][0] for sample in samples],
        clips.skeleton,
        f"As tested, and as trained on: {exp.run.label}",
        columns=draws + 1,
    )


def _uniform(exp: Exploration) -> bool:
    """Whether the recipe draws sizes from a range, as those of pose machines do."""
    return isinstance(exp.settings, PoseMachineTraining)


def targets(exp: Exploration) -> Any:
    """What a network is taught of a person, by the width of the Gaussian."""
    usual, most = exp.settings.sigma, len(exp.clips) - 1
    clearest = int(exp.clips.visible[exp.clips.rows[:, 0]].sum(1).argmax())
    figure = target_sheet(exp, clearest, [usual * factor for factor in (0.5, 1, 2)])
    caption = f"Target maps of one person, one row a sigma; the recipe has {usual:g}."
    sheet = exp.run.figure("4-targets", figure, caption)
    if not exp.is_live:
        return sheet
    step = usual / 8
    sigma = w.FloatSlider(usual, min=step, max=4 * usual, step=step, description="sigma")
    controls = {"clip": w.IntSlider(clearest, 0, most, description="person"), "sigma": sigma}
    return _live(controls, lambda clip, sigma: target_sheet(exp, clip, [sigma]))


def target_sheet(exp: Exploration, clip: int, sigmas: Sequence[float], most: int = 8) -> Figure:
    """The target maps of some joints of a person, one row a sigma, one column a joint."""
    clips, settings = exp.clips, exp.settings
    sample, (model, cells) = clips[0, clip], exp.network
    joints = [torch.from_numpy(sample[name][None, :1]) for name in ("keypoints", "visible")]
    seen = np.flatnonzero(sample["visible"][0])
    shown = seen[spread_rows(len(seen), most)] if len(seen) else np.arange(most)
    maps = []
    for sigma in sigmas:
        task = settings.model_copy(update={"sigma": sigma}).task(model, clips.skeleton)
        taught, _ = task.targets(*joints, clips.image_size, cells)
        maps.append(taught[0, 0, shown].numpy())
    images = [sample["images"][0].transpose(1, 2, 0)] * len(sigmas)
    names = [clips.skeleton.joints[joint] for joint in shown]
    rows = [f"sigma {sigma:g}" for sigma in sigmas]
    return figures.heatmap_grid(images, np.stack(maps), rows, names, f"Targets: {exp.run.label}")


def _live(controls: dict[str, Any], draw: Callable[..., Figure], *others: Any) -> Any:
    """Controls above a figure that is drawn anew with their values when one is moved."""
    image = w.Image(format="png", layout=_FITS)

    def show(**values: Any) -> None:
        image.value = png(draw(**values))

    return controlled(controls, show, image, others)
