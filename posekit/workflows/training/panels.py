"""Controls and pictures in a live notebook: a person's annotation, prediction and heat map."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import ipywidgets as w
import numpy as np

from ...files.progress import is_live
from ...geometry.skeletons import Skeleton
from ...reporting.figures import overlay, paint_skeleton

EVERY = "all joints"
_SHOWN = 260  # longer side on the screen
_SHARP = 2  # pixels of the file for one of the screen, for dense screens


def wanted(interactive: bool | None) -> bool:
    """Whether widgets are shown: as the parameter says, else in a live front end."""
    return is_live() if interactive is None else interactive


class Panels:
    """Pictures of a person in a row that wraps where it is narrow, and a line above them.

    Attributes:
        widget: what a notebook displays.
    """

    def __init__(self, count: int = 3) -> None:
        self.headline = w.Label()
        self.captions = [w.Label() for _ in range(count)]
        self.images = [w.Image(format="jpeg", layout=natural(_SHOWN)) for _ in range(count)]
        pairs = zip(self.captions, self.images, strict=True)
        columns = [w.VBox(pair, layout={"align_items": "flex-start"}) for pair in pairs]
        row = w.HBox(columns, layout={"flex_flow": "row wrap"})
        self.widget = w.VBox([self.headline, row])

    def show(self, headline: str, pictures: Mapping[str, np.ndarray]) -> None:
        """Show pictures, caption -> (h, w, 3) uint8 RGB, with a line above them."""
        self.headline.value = headline
        widgets = zip(self.captions, self.images, pictures.items(), strict=True)
        for label, image, (caption, picture) in widgets:
            label.value = caption
            image.layout = natural(picture.shape[1] / _SHARP)
            image.value = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()


def views(
    crop: np.ndarray,
    poses: tuple[np.ndarray, np.ndarray, np.ndarray],
    skeleton: Skeleton,
    heatmap: np.ndarray,
    joint: str = EVERY,
) -> dict[str, np.ndarray]:
    """A person's annotation, prediction and heat map, for `Panels.show`.

    Args:
        crop: (h, w, 3) uint8 RGB.
        poses: annotated joints (K, 2), pixels of the crop, which of them are visible (K,), and
            predicted joints (K, 2).
        skeleton: the joints.
        heatmap: (H, W).
        joint: whose heat map it is.
    """
    truth, visible, found = poses
    return {
        "annotation": painted(crop, truth, visible, skeleton),
        "prediction": painted(crop, found, np.ones_like(visible), skeleton),
        f"heat map, {joint}": heated(_enlarged(crop), heatmap),
    }


def natural(width: float) -> dict[str, str]:
    """The layout of an image of so many pixels that a box neither stretches nor cuts."""
    return {"width": f"{width:.0f}px", "max_width": "100%", "object_fit": "contain"}


def _enlarged(picture: np.ndarray) -> np.ndarray:
    """A picture in the size of a panel."""
    scale = _SHARP * _SHOWN / max(picture.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)


def painted(
    crop: np.ndarray, keypoints: np.ndarray, shown: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """A crop in the size of a panel, with the shown joints (K,) of a skeleton (K, 2)."""
    picture = _enlarged(crop)
    points = (keypoints + 0.5) * (picture.shape[0] / crop.shape[0]) - 0.5
    paint_skeleton(picture, points, shown, skeleton, width=3)
    for x, y in points[shown].round().astype(int).clip(-9999, 9999).tolist():
        cv2.circle(picture, (x, y), 5, (255, 255, 255), -1, cv2.LINE_AA)
    return picture


def heated(picture: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """A heat map (H, W) over a picture: grey where it is lowest, bright where it is highest."""
    lowest = float(heatmap.min())
    return overlay(picture, heatmap - lowest, max(1e-30, float(heatmap.max()) - lowest))


def controlled(
    controls: dict[str, w.Widget],
    draw: Callable[..., None],
    shown: w.Widget,
    others: Sequence[w.Widget] = (),
) -> w.Widget:
    """Controls above what is drawn anew with their values when one is moved.

    Args:
        controls: argument of `draw` -> widget.
        draw: changes what is shown.
        shown: stands below the controls.
        others: further widgets among the controls.
    """

    def renew(_: Any = None) -> None:
        draw(**{name: control.value for name, control in controls.items()})

    for control in controls.values():
        control.observe(renew, "value")
    renew()
    bar = w.HBox([*controls.values(), *others], layout={"flex_flow": "row wrap"})
    return w.VBox([bar, shown], layout={"align_items": "flex-start"})
