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

from .skeletons import Skeleton

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
    figure.suptitle(title)
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


def overlay(image: np.ndarray, heatmap: np.ndarray, top: float = 1.0) -> np.ndarray:
    """Lay a heat map (H, W) over a picture: grey where it is 0, bright where it reaches `top`."""
    from matplotlib import colormaps

    h, w = image.shape[:2]
    large = cv2.resize(heatmap.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    strength = np.clip(large / top, 0, 1)[..., None]
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


def skeleton_gif(
    frames: Sequence[np.ndarray],
    keypoints: np.ndarray,
    skeleton: Skeleton,
    label: str = "",
    size: int = 320,
    seconds_per_frame: float = 0.2,
) -> bytes:
    """A clip with its skeleton as an animated GIF.

    Args:
        frames: T pictures.
        keypoints: (T, K, 2).
        skeleton: the joints.
        label: text in the lower left corner.
        size: longer side of the GIF, pixels.
        seconds_per_frame: speed.
    """
    from matplotlib.colors import to_rgb
    from PIL import Image

    pictures = []
    for frame, points in zip(frames, keypoints, strict=True):
        scale = size / max(frame.shape[:2])
        picture = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        points = np.round((points + 0.5) * scale - 0.5).astype(int)
        for (a, b), names in zip(skeleton.limb_indices, skeleton.limbs, strict=True):
            colour = [round(255 * c) for c in to_rgb(_side_colour(*names))]
            ends = points[a].tolist(), points[b].tolist()
            cv2.line(picture, *ends, colour, 2, cv2.LINE_AA)
        place = (6, picture.shape[0] - 8)
        cv2.putText(picture, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
        pictures.append(Image.fromarray(picture))
    buffer = io.BytesIO()
    duration = int(1000 * seconds_per_frame)
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0
    )
    return buffer.getvalue()
