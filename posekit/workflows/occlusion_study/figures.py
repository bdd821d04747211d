"""Figures of the occlusion study: examples, drops by joint and size, and one occluded person."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from ...data.occlusion.regions import disc, occlude_region
from ...geometry.body_parts import PARTS
from ...reporting import figures
from ...reporting.run_folder import png
from ..training.pictures import crop_of
from .measure import heatmaps_of, occlude
from .setup import UNOCCLUDED, Occlusion, Study, nan_mean

if TYPE_CHECKING:
    from IPython.display import Image

_EFFECT_NAMES = {"mean": "mean colour", "black": "black", "blur": "blurred"}


def before_and_after(study: Study, columns: int = 7) -> "Image | str":
    """People with nothing, and with one part each occluded, with predictions over the truth."""
    clips, pairs = study.clips[0], []
    for occlusion in study.occlusions()[:columns]:
        if study.occluded[occlusion].any():
            drop = np.nan_to_num(study.drop(0, occlusion), nan=-np.inf)
            pairs.append((int(drop.argmax()), occlusion))
    if not pairs:
        return "nobody has a part that could be occluded"
    cells = [(row, UNOCCLUDED) for row, _ in pairs] + pairs
    labels = ["nothing occluded"] * len(pairs)
    labels += [f"{o.target}: {-study.drop(0, o)[row]:+.0f}" for row, o in pairs]
    figure = figures.skeleton_grid(
        [_crop(study, 0, row, occlusion) for row, occlusion in cells],
        [study.predictions[0][occlusion][row] for row, occlusion in cells],
        [clips.visible[row] for row, _ in cells],
        clips.skeleton,
        f"{study.names[0]}, nothing and one part occluded: {study.run.label}",
        columns=len(pairs),
        labels=[label.replace("_", " ") for label in labels],
        others=[clips.to_crop(clips.keypoints)[row] for row, _ in cells],
    )
    caption = (
        "Above as they are, below with the named part occluded and the change in points: the worst "
        "case of each part. Lines are predictions, dots the annotation."
    )
    return study.run.figure("1-before-and-after", figure, caption)


def _crop(study: Study, network: int, row: int, occlusion: Occlusion) -> np.ndarray:
    """The crop (h, w, 3) of a person as a network sees it."""
    clips, people = study.clips[network], study.people
    crop = crop_of(clips, row)
    if occlusion is UNOCCLUDED:
        return crop
    joints = clips.to_crop(people.keypoints)[row][None]
    visible = people.visible[row][None]
    return occlude(crop[None], joints, visible, occlusion, people.skeleton)[0][0]


def drop_by_joint(study: Study, joints: bool = False) -> "Image | str":
    """A figure of which joints lose how much when which part, or which joint, is occluded."""
    if joints and not study.settings.joints:
        return "no single joint was occluded: set joints to True to see this"
    what = "joint" if joints else "part"
    occlusions = study.occlusions(joints)
    rows = [o.target.removeprefix("joint ").replace("_", " ") for o in occlusions]
    columns = [j.replace("_", " ") for j in study.people.skeleton.joints]
    drops = [mean_drop_by_joint(study, n, occlusions) for n in range(len(study.names))]
    size = (1.5 + 0.36 * len(columns)) * len(drops) + 1, 1.9 + 0.3 * len(rows)
    figure = Figure(figsize=size, layout="constrained")
    top = max(5.0, np.nan_to_num(drops, nan=0.0).max())
    axes = figure.subplots(1, len(drops), squeeze=False)[0]
    for ax, values, name in zip(axes, drops, study.names, strict=True):
        shown = ax.imshow(values, vmin=-top, vmax=top, cmap="RdBu_r", aspect="auto")
        ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
        ax.set_yticks(range(len(rows)), rows, fontsize=8)
        ax.set_title(name, fontsize=9)
        ax.set_ylabel(f"occluded {what}")
        if not joints:
            for r, c in zip(*np.nonzero(~np.isnan(values)), strict=True):
                colour = "white" if abs(values[r, c]) > 0.6 * top else "black"
                number = f"{round(values[r, c]) + 0}"
                ax.text(c, r, number, ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(shown, ax=figure.axes, label=f"lost {study.metric}", fraction=0.03)
    effect = _EFFECT_NAMES[study.settings.effects[0]]
    figure.suptitle(f"Drop by joint when a {what} is occluded ({effect}): {study.run.label}")
    caption = f"Row: occluded {what}; column: the joint that is scored; red: points lost."
    return study.run.figure("3-joints" if joints else "2-parts", figure, caption)


def mean_drop_by_joint(study: Study, network: int, occlusions: list[Occlusion]) -> np.ndarray:
    """(occlusions, K) mean drop of every joint."""
    return np.array([nan_mean(study.lost(network, occlusion)) for occlusion in occlusions])


def drop_by_size(study: Study) -> "Image":
    """How the drop grows with the occluded area, one line a network and effect."""
    settings, sizes = study.settings, sorted(set(study.settings.sizes))
    figure = Figure(figsize=(3.6 * len(settings.effects) + 1, 3.2), layout="constrained")
    axes = figure.subplots(1, len(settings.effects), sharey=True, squeeze=False)[0]
    for ax, effect in zip(axes, settings.effects, strict=True):
        for number, name in enumerate(study.names):
            drops = [
                [nan_mean(study.drop(number, Occlusion(part, effect, size))) for part in PARTS]
                for size in sizes
            ]
            ax.plot(sizes, nan_mean(np.array(drops), 1), "o-", label=name)
        ax.set_title(_EFFECT_NAMES[effect], fontsize=10)
        ax.set_xlabel("sides of the occluded area, relative")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(f"lost {study.metric}")
    axes[-1].legend(fontsize=8)
    figure.suptitle(f"Drop by size, mean over the parts: {study.run.label}")
    caption = "The occluded area's sides relative to the part's box; mean drop over all parts."
    return study.run.figure("4-sizes", figure, caption)


@torch.inference_mode()
def preview(
    study: Study,
    network: int = 0,
    row: int = 0,
    target: str = "nothing",
    effect: str = "mean",
    size: float = 1.0,
    position: tuple[float, float] = (0.5, 0.5),
) -> bytes:
    """One occluded person as PNG: prediction over truth, and the highest of all heat maps.

    Args:
        study: after `setup.start`.
        network: its number.
        row: number of the person.
        target: a part, "joint NAME", "disc" for a disc anywhere, or "nothing".
        effect: blur, black or mean.
        size: factor on the part's sides; of a disc, its radius as a tenth of the crop's width.
        position: of a disc, as shares of width and height.
    """
    estimator, clips = study.estimators[network], study.clips[network]
    if target == "disc":
        crop = crop_of(clips, row).copy()
        h, w = crop.shape[:2]
        region = disc(np.array(position) * [w - 1, h - 1], size * w / 10, (h, w))
        if region is not None:
            occlude_region(crop, region, effect)
    else:
        occlusion = UNOCCLUDED if target == "nothing" else Occlusion(target, effect, size)
        crop = _crop(study, network, row, occlusion)
    heatmaps = heatmaps_of(estimator, crop[None, None])[0]
    joints = estimator.task.decode(heatmaps[None], clips.image_size)[0][0, 0].cpu().numpy()
    highest = heatmaps[0].float().cpu().numpy().max(0)
    figure = figures.skeleton_grid(
        [crop, figures.overlay(crop, highest, max(1e-6, float(highest.max())))],
        [joints, joints],
        [clips.visible[row]] * 2,
        clips.skeleton,
        f"{estimator.name}: {target}"
        + ("" if target == "nothing" else f", {_EFFECT_NAMES[effect]}"),
        columns=2,
        others=[clips.to_crop(clips.keypoints)[row]] * 2,
    )
    return png(figure)
