"""Figures. Every function returns a Figure (or the bytes of a GIF) and shows nothing.

Colours tell the person's sides apart: right is vermilion, left is blue, the middle is green.
Pictures are (h, w, 3) uint8 RGB; keypoints are (K, 2) pixels of the picture they are drawn on.
"""

import io
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..geometry.skeletons import Skeleton

_RIGHT, _LEFT, _MIDDLE = "#d55e00", "#0072b2", "#009e73"


def _side_colour(*joints: str) -> str:
    if all(joint.startswith("right_") for joint in joints):
        return _RIGHT
    if all(joint.startswith("left_") for joint in joints):
        return _LEFT
    return _MIDDLE


def draw_skeleton(
    axes: Axes,
    keypoints: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    style: str = "-",
    alpha: float = 1.0,
) -> None:
    """Draw limbs between visible keypoints on an axes that shows a picture."""
    for (a, b), names in zip(skeleton.limb_indices, skeleton.limbs, strict=True):
        if visible[a] and visible[b]:
            x, y = keypoints[[a, b]].T
            axes.plot(x, y, style, color=_side_colour(*names), linewidth=1.6, alpha=alpha)
    for joint, (x, y), seen in zip(skeleton.joints, keypoints, visible, strict=True):
        if seen:
            axes.plot(x, y, ".", color=_side_colour(joint), markersize=4, alpha=alpha)


def _grid(rows: int, columns: int, cell: float, title: str) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(columns * cell, rows * cell + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    figure.suptitle(title, parse_math=False)
    return figure, axes


def _picture(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image)
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)


def skeleton_grid(
    images: Sequence[np.ndarray],
    keypoints: Sequence[np.ndarray],
    visible: Sequence[np.ndarray],
    skeleton: Skeleton,
    title: str,
    columns: int = 6,
    labels: Sequence[str] = (),
    others: Sequence[np.ndarray] = (),
) -> Figure:
    """Pictures with skeletons, in rows.

    Args:
        images: N pictures.
        keypoints: N x (K, 2).
        visible: N x (K,) bool.
        skeleton: the joints.
        title: of the figure.
        columns: pictures in a row.
        labels: N texts above the pictures.
        others: N x (K, 2), a second pose drawn dotted and pale (the ground truth).
    """
    figure, axes = _grid(-(-len(images) // columns), columns, 1.9, title)
    for n, ax in enumerate(axes.flat[: len(images)]):
        _picture(ax, images[n])
        if len(others):
            draw_skeleton(ax, others[n], visible[n], skeleton, ":", 0.8)
        shown = np.ones_like(visible[n]) if len(others) else visible[n]
        draw_skeleton(ax, keypoints[n], shown, skeleton)
        if len(labels):
            ax.set_title(labels[n], fontsize=8)
    return figure


def picture_grid(
    images: Sequence[np.ndarray], labels: Sequence[str], title: str, columns: int
) -> Figure:
    """Pictures of any sizes in rows, each with a label above it."""
    h, w = np.max([image.shape[:2] for image in images], 0)
    columns = min(columns, len(images))
    width = 11.0 / columns
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(11, rows * (width * h / w + 0.3) + 0.4), layout="constrained")
    figure.suptitle(title, parse_math=False)
    for ax in (axes := figure.subplots(rows, columns, squeeze=False)).flat:
        ax.set_axis_off()
    for ax, image, label in zip(axes.flat, images, labels, strict=False):
        _picture(ax, image)
        ax.set_title(label, fontsize=8, parse_math=False)
    return figure


def overlay(image: np.ndarray, heatmap: np.ndarray, top: float = 1.0) -> np.ndarray:
    """Lay a heat map (H, W) over a picture: grey where it is 0, bright where it reaches `top`."""
    from matplotlib import colormaps

    h, w = image.shape[:2]
    large = cv2.resize(heatmap.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    strength = np.nan_to_num(large / top).clip(0, 1)[..., None]
    grey = image.mean(-1, keepdims=True) * 0.6
    colours = colormaps["inferno"](strength[..., 0])[..., :3] * 255
    return (grey * (1 - strength) + colours * strength).astype(np.uint8)


def heatmap_grid(
    images: Sequence[np.ndarray],
    maps: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
) -> Figure:
    """Heat maps laid over their pictures, one row per stage or frame, one column per joint.

    Args:
        images: R pictures.
        maps: (R, C, H, W).
        rows: R labels.
        columns: C labels.
        title: of the figure.
    """
    figure, axes = _grid(len(rows), len(columns), 1.25, title)
    for r, c in np.ndindex(axes.shape):
        axes[r, c].imshow(overlay(images[r], maps[r, c]))
        if r == 0:
            axes[r, c].set_title(columns[c].replace("_", " "), fontsize=8)
        if c == 0:
            h, w = images[r].shape[:2]
            axes[r, c].text(
                -0.06 * w, h / 2, rows[r], ha="right", va="center", rotation=90, fontsize=8
            )
    return figure


def curves(records: Sequence[dict], metric: str, title: str) -> Figure:
    """Training loss, validation score and learning rate over the epochs of a log.

    Dotted lines mark where a further round of iterative training begins.
    """
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    axes = figure.subplots(1, 3)
    series = {"loss": "training loss", "val": metric, "lr": "learning rate"}
    starts = [b for a, b in pairwise(records) if a.get("round") != b.get("round")]
    for ax, (key, label) in zip(axes, series.items(), strict=True):
        points = [(r["epoch"], r[key]) for r in records if key in r]
        ax.plot(*zip(*points, strict=True), ".-" if len(points) < 40 else "-", color=_LEFT)
        ax.set_xlabel("epoch")
        ax.set_title(label, fontsize=10)
        ax.grid(alpha=0.3)
        for record in starts:
            ax.axvline(record["epoch"] - 0.5, color="0.5", linewidth=1, linestyle=":")
    if all(r["loss"] > 0 for r in records):
        axes[0].set_yscale("log")
    axes[1].set_ylim(0, 100)
    figure.suptitle(title)
    return figure


def paint_skeleton(
    picture: np.ndarray,
    keypoints: np.ndarray,
    seen: np.ndarray,
    skeleton: Skeleton,
    width: int = 2,
) -> None:
    """Draw the limbs between seen joints into the pixels of a picture.

    Args:
        picture: (h, w, 3) uint8 RGB, changed.
        keypoints: (K, 2) pixels of the picture.
        seen: (K,) bool.
        skeleton: the joints.
        width: of the lines, pixels.
    """
    from matplotlib.colors import to_rgb

    points = np.nan_to_num(keypoints).round().clip(-9999, 9999).astype(int)
    for (a, b), names in zip(skeleton.limb_indices, skeleton.limbs, strict=True):
        if seen[a] and seen[b]:
            colour = [round(255 * c) for c in to_rgb(_side_colour(*names))]
            ends = points[a].tolist(), points[b].tolist()
            cv2.line(picture, *ends, colour, width, cv2.LINE_AA)


def tradeoff(
    points: Sequence[tuple[str, float, float, float, float]],
    metric: str,
    baseline: float,
    title: str,
) -> Figure:
    """Score against parameters, multiply-adds and time, one point a network.

    Args:
        points: name, score, million parameters, GMACs, milliseconds; the first one stands out.
        metric: name of the score.
        baseline: a score to draw as a line.
        title: of the figure.
    """
    figure = Figure(figsize=(11, 3.6 + 0.18 * len(points)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    colours = [_RIGHT] + [_LEFT] * (len(points) - 1)
    labels = ("million parameters", "GMACs", "milliseconds")
    for column, (ax, label) in enumerate(zip(axes, labels, strict=True), start=2):
        for number, (point, colour) in enumerate(zip(points, colours, strict=True), start=1):
            ax.plot(point[column], point[1], "o", color=colour, markersize=8)
            place = {"xytext": (6, 4), "textcoords": "offset points", "fontsize": 9}
            ax.annotate(str(number), (point[column], point[1]), color=colour, **place)
        ax.axhline(baseline, color="0.5", linewidth=1, linestyle=":")
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.margins(0.15)
        ax.set_xlabel(label)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(metric)
    names = [f"{number}  {point[0]}" for number, point in enumerate(points, start=1)]
    figure.supxlabel("\n".join(names), fontsize=8, ha="left", x=0.05)
    figure.suptitle(title)
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
    ax.set_xlabel("block, along the depth")
    ax.set_ylim(0, 1.05)
    ax.legend(loc="lower left")
    figure.suptitle(title)
    return figure


def skeleton_gif(
    frames: Sequence[np.ndarray],
    keypoints: np.ndarray,
    skeleton: Skeleton,
    label: str = "",
) -> bytes:
    """A clip with its skeleton as an animated GIF, 320 pixels long, five frames a second.

    Args:
        frames: T pictures.
        keypoints: (T, K, 2).
        skeleton: the joints.
        label: text in the lower left corner.
    """
    pictures = []
    for frame, points in zip(frames, keypoints, strict=True):
        scale = 320 / max(frame.shape[:2])
        picture = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        paint_skeleton(picture, (points + 0.5) * scale - 0.5, np.ones(len(points), bool), skeleton)
        place = (6, picture.shape[0] - 8)
        cv2.putText(picture, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
        pictures.append(picture)
    return gif(pictures, 0.2)


def gif(pictures: Sequence[np.ndarray], seconds: float) -> bytes:
    """Pictures as an animated GIF, each shown for so many seconds."""
    from PIL import Image

    first, *others = (Image.fromarray(picture) for picture in pictures)
    buffer = io.BytesIO()
    milliseconds = round(1000 * seconds)
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return buffer.getvalue()
