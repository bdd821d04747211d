"""Figures of the occlusion study: who suffers, sizes, examples, and one covered person."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from ...data.occlusion.regions import disc, occlude_region
from ...geometry.body_parts import PARTS
from ...reporting import figures
from ...reporting.run_folder import png
from ..training import crop_of
from .measure import heatmaps_of, occlude
from .setup import CLEAN, Cover, Study
from .tables import suffering

if TYPE_CHECKING:
    from IPython.display import Image

_HOW = {"mean": "mean colour", "black": "black", "blur": "blurred"}


def before_and_after(study: Study, columns: int = 7) -> "Image | str":
    """People with nothing, and with one part each covered, with predictions over the truth."""
    clips, pairs = study.clips[0], []
    for cover in study.covers(False)[:columns]:
        lost = np.nan_to_num(study.drop(0, cover), nan=-np.inf)
        if study.touched[cover].any():
            pairs.append((int(lost.argmax()), cover))
    if not pairs:
        return "nobody has a part that could be covered"
    cells = [(row, CLEAN) for row, _ in pairs] + pairs
    labels = ["nothing covered"] * len(pairs)
    labels += [f"{c.target}: {-study.drop(0, c)[row]:+.0f}" for row, c in pairs]
    figure = figures.skeleton_grid(
        [_crop(study, 0, row, cover) for row, cover in cells],
        [study.found[0][cover][row] for row, cover in cells],
        [clips.visible[row] for row, _ in cells],
        clips.skeleton,
        f"{study.names[0]}, nothing and one part covered: {study.run.label}",
        columns=len(pairs),
        labels=[label.replace("_", " ") for label in labels],
        others=[clips.to_crop(clips.keypoints)[row] for row, _ in cells],
    )
    caption = (
        "Above as they are, below with the named part covered and the change in points: the worst "
        "case of each part. Lines are predictions, dots the annotation."
    )
    return study.run.figure("1-before-and-after", figure, caption)


def _crop(study: Study, network: int, row: int, cover: Cover) -> np.ndarray:
    """The crop (h, w, 3) of a person as a network sees it."""
    clips, people = study.clips[network], study.people
    crop = crop_of(clips, row)
    if cover is CLEAN:
        return crop
    joints = clips.to_crop(people.keypoints)[row][None]
    return occlude(crop[None], joints, people.visible[row][None], cover, people.skeleton)[0][0]


def who_suffers(study: Study, joints: bool = False) -> "Image":
    """A picture of which joints lose how much when which part, or which joint, is covered."""
    if joints and not study.recipe.joints:
        return _words(study, "no single joint was covered: set joints to True to see this")
    rows = [c.target.removeprefix("joint ").replace("_", " ") for c in study.covers(joints)]
    columns = [j.replace("_", " ") for j in study.people.skeleton.joints]
    maps = [suffering(study, n, joints) for n in range(len(study.names))]
    size = (1.5 + 0.36 * len(columns)) * len(maps) + 1, 1.9 + 0.3 * len(rows)
    figure = Figure(figsize=size, layout="constrained")
    top = max(5.0, max((np.nanmax(m) for m in maps if not np.isnan(m).all()), default=5.0))
    for ax, values, name in zip(
        figure.subplots(1, len(maps), squeeze=False)[0], maps, study.names, strict=True
    ):
        shown = ax.imshow(values, vmin=-top, vmax=top, cmap="RdBu_r", aspect="auto")
        ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
        ax.set_yticks(range(len(rows)), rows, fontsize=8)
        ax.set_title(name, fontsize=9)
        ax.set_ylabel("covered")
        if not joints:
            for r, c in zip(*np.nonzero(~np.isnan(values)), strict=True):
                ink = "white" if abs(values[r, c]) > 0.6 * top else "black"
                number = f"{round(values[r, c]) + 0}"
                ax.text(c, r, number, ha="center", va="center", fontsize=6, color=ink)
    figure.colorbar(shown, ax=figure.axes, label=f"lost {study.metric}", fraction=0.03)
    how = _HOW[study.recipe.effects[0]]
    what = "joint" if joints else "part"
    figure.suptitle(f"Which joints suffer when a {what} is covered ({how}): {study.run.label}")
    caption = f"Row: covered {what}; column: the joint that is scored; red: points lost."
    name = "3-joints" if joints else "2-parts"
    return study.run.figure(name, figure, caption)


def _words(study: Study, text: str) -> "Image":
    figure = Figure(figsize=(7, 0.8))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return study.run.figure("3-joints", figure, text)


def sizes(study: Study) -> "Image":
    """How the drop grows with the covered area, one line a network and effect."""
    recipe = study.recipe
    figure = Figure(figsize=(3.6 * len(recipe.effects) + 1, 3.2), layout="constrained")
    order = sorted(set(recipe.sizes))
    axes = figure.subplots(1, len(recipe.effects), sharey=True, squeeze=False)[0]
    for ax, effect in zip(axes, recipe.effects, strict=True):
        for number, name in enumerate(study.names):
            means = [
                np.nanmean([np.nanmean(d) for d in _drops(study, number, effect, size)])
                for size in order
            ]
            ax.plot(order, means, "o-", label=name)
        ax.set_title(_HOW[effect], fontsize=10)
        ax.set_xlabel("sides of the covered area, relative")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(f"lost {study.metric}")
    axes[-1].legend(fontsize=8)
    figure.suptitle(f"Drop by size, mean over the parts: {study.run.label}")
    caption = "The covered area's sides relative to the part's box; mean drop over all parts."
    return study.run.figure("4-sizes", figure, caption)


def _drops(study: Study, network: int, effect: str, size: float) -> list[np.ndarray]:
    each = [study.drop(network, Cover(part, effect, size)) for part in PARTS]
    return [drop for drop in each if not np.isnan(drop).all()]


@torch.inference_mode()
def glimpse(
    study: Study,
    network: int = 0,
    row: int = 0,
    target: str = "nothing",
    effect: str = "mean",
    size: float = 1.0,
    place: tuple[float, float] = (0.5, 0.5),
) -> bytes:
    """One covered person as PNG: prediction over truth, and the highest of all heat maps.

    Args:
        study: after `start`.
        network: its number.
        row: number of the person.
        target: a part, "joint NAME", "disc" for a disc anywhere, or "nothing".
        effect: blur, black or mean.
        size: factor on the part's sides; of a disc, its radius as a tenth of the crop's width.
        place: of a disc, as shares of width and height.
    """
    estimator, clips = study.estimators[network], study.clips[network]
    if target == "disc":
        crop = crop_of(clips, row).copy()
        h, w = crop.shape[:2]
        middle = np.array(place) * [w - 1, h - 1]
        where = disc(middle, size * w / 10, (h, w))
        if where is not None:
            occlude_region(crop, where, effect)
    else:
        cover = CLEAN if target == "nothing" else Cover(target, effect, size)
        crop = _crop(study, network, row, cover)
    maps = heatmaps_of(estimator, crop[None, None])[0]
    joints = estimator.task.decode(maps[None], clips.image_size)[0][0, 0].cpu().numpy()
    maps = maps[0].float().cpu().numpy()
    shown = figures.overlay(crop, maps.max(0), max(1e-6, float(maps.max())))
    figure = figures.skeleton_grid(
        [crop, shown],
        [joints, joints],
        [clips.visible[row]] * 2,
        clips.skeleton,
        f"{estimator.name}: {target}" + ("" if target == "nothing" else f", {_HOW[effect]}"),
        columns=2,
        others=[clips.to_crop(clips.keypoints)[row]] * 2,
    )
    return png(figure)
