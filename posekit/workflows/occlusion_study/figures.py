"""Figures of the occlusion study: examples, drops by joint and size, and one occluded person."""

from typing import Any

import ipywidgets as w
import numpy as np
import torch
from IPython.display import Image
from matplotlib import rc_context
from matplotlib.figure import Figure

from ...data.occlusion.regions import EFFECTS, disc, occlude_region
from ...geometry.body_parts import PARTS
from ...inference.evaluate import average_heatmaps
from ...metrics.bootstrap import nan_mean
from ...reporting import figures
from ...reporting.run_folder import encoded
from ..training.panels import Panels, controlled, heated, views, wanted
from ..training.pictures import crop_of, name_of
from .measure import occlude
from .setup import DISC, UNOCCLUDED, Occlusion, Study
from .tables import intervals

_EFFECT_NAMES = {"mean": "mean colour", "black": "black", "blur": "blurred"}


def before_and_after(study: Study) -> Image | str:
    """People with nothing, and with one part each occluded, with predictions over the truth."""
    clips = study.clips[0]
    worst = {
        one: int(np.nan_to_num(study.drop(0, one), nan=-np.inf).argmax())
        for one in study.occlusions()
        if study.occluded[one].any()
    }
    if not worst:
        return "nobody has a part that could be occluded"
    cells = [(UNOCCLUDED, row) for row in worst.values()] + list(worst.items())
    rows = [row for _, row in cells]
    changes = [round(-study.drop(0, one)[row]) for one, row in worst.items()]
    labels = [f"{o.target}: {c:+d}" if c else o.target for o, c in zip(worst, changes, strict=True)]
    figure = figures.skeleton_grid(
        [_crop(study, 0, row, one) for one, row in cells],
        [clips.to_crop(study.predictions[0][one].keypoints)[row] for one, row in cells],
        clips.visible[rows],
        clips.skeleton,
        f"{study.names[0]}, nothing and one part occluded: {study.run.label}",
        columns=len(worst),
        labels=["nothing"] * len(worst) + [label.replace("_", " ") for label in labels],
        others=clips.to_crop(clips.keypoints)[rows],
    )
    one, row = max(worst.items(), key=lambda case: study.drop(0, case[0])[case[1]])
    joints, part = clips.to_crop(study.predictions[0][one].keypoints)[row], one.target
    image = figures.portrait(_crop(study, 0, row, one), joints, clips.skeleton)
    study.run.picture("0-best.png", encoded(image), f"The worst case: {part} occluded.")
    caption = (
        "Above as they are, below with the named part occluded and the change in points: the worst "
        "case of each part. Lines are predictions, dots the annotation."
    )
    return study.run.figure("1-before-and-after", figure, caption)


def _crop(study: Study, network: int, row: int, occlusion: Occlusion) -> np.ndarray:
    """The crop (h, w, 3) of a person as a network sees it."""
    clips = study.clips[network]
    crop = crop_of(clips, row).copy()
    if occlusion == UNOCCLUDED:
        return crop
    if occlusion.target != DISC:
        matrices = clips.matrices[clips.clip_of_row[[row]]]
        return occlude(clips.people, [row], crop[None], matrices, occlusion)[0][0]
    h, w = crop.shape[:2]
    centre, radius = np.array(occlusion.position) * [w - 1, h - 1], occlusion.size * w / 10
    occlude_region(crop, disc(centre, max(1.0, radius), (h, w)), occlusion.effect)
    return crop


def drop_by_part(study: Study) -> Image:
    """What each network loses by each part, with intervals: the answer of the study."""
    table = intervals(study)
    rows = table["occluded"].unique()
    networks = table.groupby("network", sort=False)[["drop", "low", "high"]]
    series = {name: values.to_numpy().T for name, values in networks}
    effect = _EFFECT_NAMES[study.settings.effects[0]]
    title = f"Lost when a part is occluded ({effect}): {study.run.label}"
    words = [row.replace("_", " ") for row in rows]
    figure = figures.intervals(words, series, f"lost {study.metric}", title)
    caption = "The points that a person loses on average, with 95 % intervals; pale ones hold 0."
    return study.run.figure("1-answer", figure, caption)


@rc_context(figures.STYLE)
def drop_by_joint(study: Study, joints: bool = False) -> Image | str:
    """A figure of which joints lose how much when which part, or which joint, is occluded."""
    if joints and not study.settings.joints:
        return "no single joint was occluded: set joints to True to see this"
    what = "joint" if joints else "part"
    occlusions = study.occlusions(joints=joints)
    rows = [o.target.removeprefix("joint ").replace("_", " ") for o in occlusions]
    columns = study.people.skeleton.words
    drops = [mean_drop_by_joint(study, n, occlusions) for n in range(len(study.names))]
    size = (1.5 + 0.36 * len(columns)) * len(drops) + 1, 1.9 + 0.3 * len(rows)
    effect = _EFFECT_NAMES[study.settings.effects[0]]
    title = f"Drop by joint when a {what} is occluded ({effect}): {study.run.label}"
    figure, axes = figures.panels(title, size, len(drops))
    top = max(5.0, np.nan_to_num(drops, nan=0.0).max())
    for ax, values, name in zip(axes, drops, study.names, strict=True):
        shown = ax.imshow(values, vmin=-top, vmax=top, cmap="RdBu_r", aspect="auto")
        ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
        ax.set_yticks(range(len(rows)), rows, fontsize=8)
        ax.set(title=name, ylabel=f"occluded {what}")
        if not joints:
            for r, c in zip(*np.nonzero(~np.isnan(values)), strict=True):
                colour = "white" if abs(values[r, c]) > 0.6 * top else "black"
                style = {"ha": "center", "va": "center", "fontsize": 6, "color": colour}
                ax.text(c, r, f"{round(values[r, c]) + 0}", **style)
    figure.colorbar(shown, ax=figure.axes, label=f"lost {study.metric}", fraction=0.03)
    caption = f"Row: occluded {what}; column: the joint that is scored; red: points lost."
    return study.run.figure("3-joints" if joints else "2-parts", figure, caption)


def mean_drop_by_joint(study: Study, network: int, occlusions: list[Occlusion]) -> np.ndarray:
    """(occlusions, K) mean drop of every joint."""
    return np.array([nan_mean(study.lost(network, occlusion)) for occlusion in occlusions])


@rc_context(figures.STYLE)
def drop_by_size(study: Study) -> Image:
    """How the drop grows with the occluded area, one line a network and effect."""
    settings, sizes = study.settings, sorted(set(study.settings.sizes))
    title, count = f"Drop by size, mean over the parts: {study.run.label}", len(settings.effects)
    figure, axes = figures.panels(title, (3.6 * count + 1, 3.2), count, sharey=True)
    for ax, effect in zip(axes, settings.effects, strict=True):
        for number, name in enumerate(study.names):
            drops = [
                [nan_mean(study.drop(number, one)) for one in study.occlusions(effect, size)]
                for size in sizes
            ]
            ax.plot(sizes, nan_mean(drops, 1), "o-", label=name)
        ax.set(title=_EFFECT_NAMES[effect], xlabel="sides of the occluded area, relative")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(f"lost {study.metric}")
    axes[-1].legend(fontsize=8)
    caption = "The occluded area's sides relative to the part's box; mean drop over all parts."
    return study.run.figure("4-sizes", figure, caption)


@torch.inference_mode()
def occluded(
    study: Study, occlusions: list[Occlusion], network: int, row: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A person under N occlusions.

    Returns:
        crops (N, h, w, 3), joints (N, K, 2) in their pixels, the highest of all maps (N, H, W).
    """
    estimator, clips = study.estimators[network], study.clips[network]
    crops = np.stack([_crop(study, network, row, one) for one in occlusions])
    images = torch.from_numpy(crops).to(estimator.device).permute(0, 3, 1, 2)[:, None]
    maps = average_heatmaps(estimator.task, images, estimator.flip_test)
    joints = estimator.task.decode(maps, clips.image_size)[0][:, 0].cpu().numpy()
    return crops, joints, maps[:, 0].amax(1).cpu().numpy()


def preview(study: Study, occlusions: list[Occlusion], network: int = 0, row: int = 0) -> Figure:
    """One person under some occlusions: prediction over truth, and the highest of all heat maps.

    Args:
        study: after `setup.start`.
        occlusions: also those with the target `DISC`.
        network: its number.
        row: number of the person.
    """
    estimator, clips = study.estimators[network], study.clips[network]
    crops, joints, heatmaps = occluded(study, occlusions, network, row)
    images, labels = [], []
    for crop, highest, one in zip(crops, heatmaps, occlusions, strict=True):
        images += [crop, heated(crop, highest)]
        labels += [one.target.replace("_", " "), "heat maps"]
    return figures.skeleton_grid(
        images,
        joints.repeat(2, 0),
        [clips.visible[row]] * len(images),
        clips.skeleton,
        f"{estimator.name}: {study.run.label}",
        columns=len(images),
        labels=labels,
        others=[clips.to_crop(clips.keypoints)[row]] * len(images),
    )


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

    panels = Panels()

    def draw(
        network: int, row: int, target: str, effect: str, size: float, x: float, y: float
    ) -> None:
        one = Occlusion(target, effect, size, position=(x, y))
        crop, joints, highest = (found[0] for found in occluded(study, [one], network, row))
        clips, story = study.clips[network], study.estimators[network].story
        poses = clips.to_crop(clips.keypoints)[row], clips.visible[row], joints
        headline = f"{study.run.label}, {name_of(study.people, row)}: {story}"
        panels.show(headline, views(crop, poses, clips.skeleton, highest))

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
    return controlled(controls, draw, panels.widget)
