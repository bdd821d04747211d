"""Figures. Every function returns a Figure (or the bytes of a GIF) and shows nothing.

Colours tell the person's sides apart: right is vermilion, left is blue, the middle is green.
Images are (h, w, 3) uint8 RGB; keypoints are (K, 2) pixels of the image they are drawn on.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..geometry.skeletons import Skeleton

Images = Sequence[np.ndarray]
_RIGHT, _LEFT, _MIDDLE = "#d55e00", "#0072b2", "#009e73"


def _side_colour(skeleton: Skeleton, *joints: str) -> str:
    sides = {skeleton.sides.get(joint) for joint in joints}
    return _RIGHT if sides == {"right"} else _LEFT if sides == {"left"} else _MIDDLE


def _limbs(skeleton: Skeleton, shown: np.ndarray) -> Iterator[tuple[list[int], str]]:
    """The joints (a, b) and the colour of each limb between joints that are shown."""
    for limb, names in zip(skeleton.limb_indices, skeleton.limbs, strict=True):
        if all(shown[list(limb)]):
            yield list(limb), _side_colour(skeleton, *names)


def _draw_skeleton(
    axes: Axes, keypoints: np.ndarray, shown: np.ndarray, skeleton: Skeleton, dotted: bool = False
) -> None:
    """Draw joints and limbs on an axes that shows an image."""
    style, alpha = (":", 0.8) if dotted else ("-", 1.0)
    limbs = [*_limbs(skeleton, shown)]
    lines, colours = [keypoints[limb] for limb, _ in limbs], [colour for _, colour in limbs]
    drawn = LineCollection(lines, linewidths=1.6, colors=colours, linestyles=style, alpha=alpha)
    axes.add_collection(drawn, autolim=False)
    colours = [_side_colour(skeleton, skeleton.joints[joint]) for joint in np.flatnonzero(shown)]
    axes.scatter(*keypoints[shown].T, s=4, c=colours, alpha=alpha, zorder=2, linewidths=0.5)


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
    figure.suptitle(title, parse_math=False)
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


def heatmap_grid(
    images: Images, maps: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str
) -> Figure:
    """Heat maps laid over their images, one row per stage or frame, one column per joint.

    Args:
        images: R images of one size.
        maps: (R, C, H, W).
        rows: R labels.
        columns: C labels.
        title: of the figure.
    """
    cells = [
        [overlay(image, heatmap) for heatmap in joints[: len(columns)]]
        for image, joints in zip(images, maps, strict=True)
    ]
    h, w = np.add(images[0].shape[:2], gap := max(1, images[0].shape[1] // 20))
    sheet = np.full((len(rows), len(columns), h, w, 3), 255, np.uint8)
    sheet[:, :, gap:, gap:] = cells
    figure = Figure(
        figsize=(1.25 * len(columns), 1.25 * len(rows) * h / w + 0.6), layout="constrained"
    )
    ax = figure.subplots(subplot_kw={"frame_on": False})  # one picture is drawn faster than many
    ax.imshow(sheet.swapaxes(1, 2).reshape(len(rows) * h, -1, 3))
    names = [column.replace("_", " ") for column in columns]
    ax.set_xticks((np.arange(len(columns)) + 0.5) * w, names)
    ax.set_yticks((np.arange(len(rows)) + 0.5) * h, rows, rotation=90, va="center")
    ax.tick_params(length=0, labelsize=8, labeltop=True, labelbottom=False)
    figure.suptitle(title, parse_math=False)
    return figure


def panels(
    title: str, size: tuple[float, float], columns: int, sharey: bool = False
) -> tuple[Figure, np.ndarray]:
    """A figure of a size in inches, and its axes in a row."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(1, columns, sharey=sharey, squeeze=False)[0]


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
    names = [f"{number}  {name}" for number, name in enumerate(names, start=1)]
    figure.supxlabel("\n".join(names), fontsize=8, ha="left", x=0.05)
    return figure


def survival(kept: Sequence[float], drawn: Sequence[float], title: str) -> Figure:
    """Chance to keep each block of a network of stochastic depth, and the share that was kept.

    Args:
        kept: chances, one a block along the depth.
        drawn: shares over many draws.
        title: of the figure.
    """
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    ax = figure.subplots()
    blocks = range(1, len(kept) + 1)
    ax.bar(blocks, drawn, color=_LEFT, alpha=0.5, label="share kept in the draws")
    ax.plot(blocks, kept, ".-", color=_RIGHT, label="chance to be kept")
    ax.set(xlabel="block, along the depth", ylim=(0, 1.05), title=title)
    ax.legend(loc="lower left")
    return figure


def skeleton_gif(frames: Images, keypoints: np.ndarray, skeleton: Skeleton, label: str) -> bytes:
    """A clip with its skeleton as an animated GIF, 320 pixels long, five frames a second.

    Args:
        frames: T images.
        keypoints: (T, K, 2).
        skeleton: the joints.
        label: text in the lower left corner.
    """
    images = []
    for frame, points in zip(frames, keypoints, strict=True):
        scale = 320 / max(frame.shape[:2])
        image = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        paint_skeleton(image, (points + 0.5) * scale - 0.5, np.ones(len(points), bool), skeleton)
        cv2.putText(image, label, (6, len(image) - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, [255] * 3)
        images.append(image)
    return gif(images, 0.2)


def gif(images: Images, seconds: float) -> bytes:
    """Images as an animated GIF, each shown for so many seconds."""
    from PIL import Image

    first, *others = (Image.fromarray(image) for image in images)
    buffer, pause = io.BytesIO(), round(1000 * seconds)
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=pause, loop=0)
    return buffer.getvalue()
