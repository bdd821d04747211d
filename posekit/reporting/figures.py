"""Figures. Every function returns a Figure (or the bytes of a GIF) and shows nothing.

Colours tell the person's sides apart: right is vermilion, left is blue, the middle is green.
Backgrounds are transparent and texts of a grey that can be read on white and on black.
Images are (h, w, 3) uint8 RGB; keypoints are (K, 2) pixels of the image they are drawn on.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ..geometry.skeletons import Skeleton

Images = Sequence[np.ndarray]
_RIGHT, _LEFT, _MIDDLE = "#d55e00", "#0072b2", "#009e73"
_GREY, _JOINTS = "#7a7a7a", 7  # the colour of texts, joints beside each other
_GREYS = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"
_CLEAR = "figure.facecolor", "axes.facecolor", "legend.facecolor"
STYLE = dict.fromkeys(_GREYS, _GREY) | dict.fromkeys(_CLEAR, "none") | {"axes.titlecolor": _GREY}


def side_colour(skeleton: Skeleton, *joints: str) -> str:
    sides = {skeleton.sides.get(joint) for joint in joints}
    return _RIGHT if sides == {"right"} else _LEFT if sides == {"left"} else _MIDDLE


def _limbs(skeleton: Skeleton, shown: np.ndarray) -> Iterator[tuple[list[int], str]]:
    """The joints (a, b) and the colour of each limb between joints that are shown."""
    for limb, names in zip(skeleton.limb_indices, skeleton.limbs, strict=True):
        if all(shown[list(limb)]):
            yield list(limb), side_colour(skeleton, *names)


def _draw_skeleton(
    axes: Axes, keypoints: np.ndarray, shown: np.ndarray, skeleton: Skeleton, dotted: bool = False
) -> None:
    """Draw joints and limbs on an axes that shows an image."""
    style, alpha = (":", 0.8) if dotted else ("-", 1.0)
    limbs = [*_limbs(skeleton, shown)]
    lines, colours = [keypoints[limb] for limb, _ in limbs], [colour for _, colour in limbs]
    drawn = LineCollection(lines, linewidths=1.6, colors=colours, linestyles=style, alpha=alpha)
    axes.add_collection(drawn, autolim=False)
    colours = [side_colour(skeleton, skeleton.joints[joint]) for joint in np.flatnonzero(shown)]
    axes.scatter(*keypoints[shown].T, s=4, c=colours, alpha=alpha, zorder=2, linewidths=0.5)


@rc_context(STYLE)
def picture_grid(
    images: Images, labels: Sequence[str], title: str, columns: int, width: float = 0.0
) -> Figure:
    """Images of any sizes in rows.

    Args:
        images: N images.
        labels: N texts above the images; none for no texts.
        title: of the figure.
        columns: images in a row.
        width: of an image, inches; 0 for rows of 11 inches.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    h, w = np.max([image.shape[:2] for image in images], 0)
    width = width or 11.0 / columns
    height = width * h / w + (0.3 if len(labels) else 0)
    figure = Figure(figsize=(columns * width, rows * height + 0.5), layout="constrained")
    figure.subplots(rows, columns, subplot_kw={"frame_on": False, "xticks": (), "yticks": ()})
    for ax, image in zip(figure.axes, images, strict=False):
        ax.imshow(image)
        ax.autoscale(False)
    for ax, label in zip(figure.axes, labels, strict=False):
        ax.set_title(label, fontsize=8, parse_math=False)
    figure.suptitle(title, parse_math=False, wrap=True)
    return figure


def skeleton_grid(
    images: Images,
    keypoints: Sequence[np.ndarray],
    visible: Sequence[np.ndarray],
    skeleton: Skeleton,
    title: str,
    columns: int = 6,
    labels: Sequence[str] = (),
    others: Sequence[np.ndarray] = (),
) -> Figure:
    """Images with skeletons, in rows.

    Args:
        images: N images.
        keypoints: N x (K, 2).
        visible: N x (K,) bool.
        skeleton: the joints.
        title: of the figure.
        columns: images in a row.
        labels: N texts above the images.
        others: N x (K, 2), a second pose drawn dotted and pale (the ground truth).
    """
    figure = picture_grid(images, labels, title, columns, width=1.9)
    for n, ax in enumerate(figure.axes[: len(images)]):
        shown = visible[n]
        if len(others):
            _draw_skeleton(ax, others[n], shown, skeleton, dotted=True)
            shown = np.ones_like(shown)
        _draw_skeleton(ax, keypoints[n], shown, skeleton)
    return figure


def overlay(image: np.ndarray, heatmap: np.ndarray, top: float = 1.0) -> np.ndarray:
    """Lay a heat map (H, W) over an image: grey where it is 0, bright where it reaches `top`."""
    from matplotlib import colormaps

    size = image.shape[1::-1]
    large = cv2.resize(heatmap.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    strength = np.nan_to_num(large / top).clip(0, 1)[..., None]
    grey = image.mean(-1, keepdims=True) * 0.6
    colours = colormaps["inferno"](strength[..., 0])[..., :3] * 255
    return (grey * (1 - strength) + colours * strength).astype(np.uint8)


@rc_context(STYLE)
def heatmap_grid(
    images: Images, maps: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str
) -> Figure:
    """Heat maps laid over their images, one row per stage or frame, one column per joint.

    Many joints stand in several blocks, one below the other.

    Args:
        images: R images of one size.
        maps: (R, C, H, W).
        rows: R labels.
        columns: C labels.
        title: of the figure.
    """
    names = [column.replace("_", " ") for column in columns]
    blocks = [range(c, min(c + _JOINTS, len(names))) for c in range(0, len(names), _JOINTS)]
    h, w = np.add(images[0].shape[:2], gap := max(1, images[0].shape[1] // 20))
    wide = len(blocks[0])
    size = 1.5 * wide + 0.3, len(blocks) * (1.5 * len(rows) * h / w + 0.3) + 0.4
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(blocks), squeeze=False, subplot_kw={"frame_on": False})[:, 0]
    for ax, block in zip(axes, blocks, strict=True):  # one picture is drawn faster than many
        sheet = np.zeros((len(rows), wide, h, w, 4), np.uint8)
        for row, image, joints in zip(sheet, images, maps, strict=True):
            row[: len(block), gap:, gap:, :3] = [overlay(image, joints[c]) for c in block]
        sheet[:, : len(block), gap:, gap:, 3] = 255
        ax.imshow(sheet.swapaxes(1, 2).reshape(len(rows) * h, -1, 4))
        ax.set_xticks((np.arange(len(block)) + 0.5) * w, [names[c] for c in block])
        ax.set_yticks((np.arange(len(rows)) + 0.5) * h, rows, rotation=90, va="center")
        ax.tick_params(length=0, labelsize=8, labeltop=True, labelbottom=False)
    figure.suptitle(title, parse_math=False)
    return figure


@rc_context(STYLE)
def panels(
    title: str, size: tuple[float, float], columns: int, sharey: bool = False
) -> tuple[Figure, np.ndarray]:
    """A figure of a size in inches, and its axes in a row."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(1, columns, sharey=sharey, squeeze=False)[0]


@rc_context(STYLE)
def intervals(rows: Sequence[str], series: dict[str, np.ndarray], label: str, title: str) -> Figure:
    """Values with their intervals, one line a row; pale where 0 lies inside.

    Args:
        rows: R names.
        series: name -> (3, R) value, low end, high end.
        label: of the values.
        title: of the figure.
    """
    height = 1.2 + 0.1 * len(rows) * (1.6 + len(series))
    figure, (ax,) = panels(title, (8, height), 1)
    for number, (name, (values, low, high)) in enumerate(series.items()):
        places = np.arange(len(rows)) + 0.25 * (number - (len(series) - 1) / 2)
        sure = (low > 0) | (high < 0)
        style = {"fmt": "o", "capsize": 2, "markersize": 4, "color": f"C{number}"}
        for chosen, alpha, told in ((sure, 1.0, name), (~sure, 0.35, None)):
            reach = np.stack([values - low, high - values])[:, chosen]
            shown = values[chosen], places[chosen]
            ax.errorbar(*shown, xerr=reach, alpha=alpha, label=told, **style)
    ax.axvline(0, color="0.4", linewidth=1)
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    ax.grid(alpha=0.3, axis="x")
    ax.legend(fontsize=8)
    return figure


@rc_context(STYLE)
def curves(records: Sequence[dict], metric: str, title: str) -> Figure:
    """Training loss, validation score and learning rate over the epochs of a log.

    Dotted lines mark where a further round of iterative training begins.
    """
    figure, axes = panels(title, (10, 2.8), 3)
    series = {"loss": "training loss", "val": metric, "lr": "learning rate"}
    starts = [b for a, b in pairwise(records) if a.get("round") != b.get("round")]
    for ax, (key, label) in zip(axes, series.items(), strict=True):
        points = [(r["epoch"], r[key]) for r in records if key in r]
        ax.plot(*zip(*points, strict=True), ".-" if len(points) < 40 else "-", color=_LEFT)
        ax.set(xlabel="epoch", title=label)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(alpha=0.3)
        for record in starts:
            ax.axvline(record["epoch"] - 0.5, color="0.5", linewidth=1, linestyle=":")
    if all(r["loss"] > 0 for r in records):
        axes[0].set_yscale("log")
    axes[1].set_ylim(0, 100)
    return figure


def paint_skeleton(
    image: np.ndarray, keypoints: np.ndarray, shown: np.ndarray, skeleton: Skeleton, width: int = 2
) -> None:
    """Draw the limbs between joints into the pixels of an image.

    Args:
        image: (h, w, 3) uint8 RGB, changed.
        keypoints: (K, 2) pixels of the image.
        shown: (K,) bool, the joints to draw.
        skeleton: the joints.
        width: of the lines, pixels.
    """
    from matplotlib.colors import to_rgb

    points = np.nan_to_num(keypoints).round().clip(-9999, 9999).astype(int)
    for limb, colour in _limbs(skeleton, shown):
        rgb = [round(255 * c) for c in to_rgb(colour)]
        cv2.line(image, *points[limb].tolist(), rgb, width, cv2.LINE_AA)


@rc_context(STYLE)
def tradeoff(
    points: list[tuple[str, float, float, float, float]], metric: str, baseline: float, title: str
) -> Figure:
    """Score against parameters, multiply-adds and time, one point a network.

    Args:
        points: name, score, million parameters, GMACs, milliseconds; the first one stands out.
        metric: name of the score.
        baseline: a score to draw as a line.
        title: of the figure.
    """
    figure, axes = panels(title, (11, 3.6 + 0.18 * len(points)), 3, sharey=True)
    colours = [_RIGHT] + [_LEFT] * (len(points) - 1)
    names, scores, *sizes = zip(*points, strict=True)
    labels = "million parameters", "GMACs", "milliseconds"
    for ax, label, values in zip(axes, labels, sizes, strict=True):
        ax.scatter(values, scores, s=64, c=colours)
        for number, place in enumerate(zip(values, scores, strict=True), start=1):
            ax.annotate(str(number), place, (6, 4), textcoords="offset points", fontsize=9)
        ax.axhline(baseline, color="0.5", linewidth=1, linestyle=":")
        ax.set(xscale="log", xlabel=label)
        ax.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
        ax.margins(0.15)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(metric)
    lines = "\n".join(f"{number}  {name}" for number, name in enumerate(names, start=1))
    figure.supxlabel(lines, fontsize=8, ha="left", x=0.05)
    return figure


def portrait(
    image: np.ndarray, keypoints: np.ndarray, skeleton: Skeleton, side: int = 384
) -> np.ndarray:
    """An image with its skeleton, enlarged or reduced until its longer side has so many pixels."""
    scale = side / max(image.shape[:2])
    drawn = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    points, everyone = (keypoints + 0.5) * scale - 0.5, np.ones(len(keypoints), bool)
    paint_skeleton(drawn, points, everyone, skeleton, width=max(2, side // 128))
    return drawn


def gif(images: Images, seconds: float) -> bytes:
    """Images as an animated GIF, each shown for so many seconds."""
    from PIL import Image

    octree = Image.Quantize.FASTOCTREE  # ten times faster than the default at the same look
    first, *others = (Image.fromarray(image).quantize(method=octree) for image in images)
    kept = {"append_images": others, "duration": round(1000 * seconds), "loop": 0}
    first.save(buffer := io.BytesIO(), "GIF", save_all=True, **kept)
    return buffer.getvalue()
