"""Keypoints of images in three lines, and in the files of the tools where people go on."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..config.machine import choose_machine
from ..data.own import coco_file, deeplabcut, sleap
from ..errors import PosekitError
from ..files.writing import write_text
from ..geometry.skeletons import Skeleton
from .box_sources import GivenBoxes, open_box_source
from .media import Frame, Media, open_media
from .open_network import open_estimator
from .video_estimator import VideoEstimator

_FOLLOW, _THRESHOLD = True, 0.2  # as in the demo


@dataclass(frozen=True)
class Keypoints:
    """What was found: N people or animals of one image or of several.

    Attributes:
        xy: (N, K, 2) float32 pixels of the image.
        confidence: (N, K) float32, the height of each peak.
        boxes: (N, 4) x1 y1 x2 y2, where they were looked for.
        image: (N,) names of the images.
        person: (N,) numbers, the same for one person in all frames of a video.
        skeleton: of the K joints.
    """

    xy: np.ndarray
    confidence: np.ndarray
    boxes: np.ndarray
    image: np.ndarray
    person: np.ndarray
    skeleton: Skeleton

    def __len__(self) -> int:
        return len(self.xy)

    def table(self) -> pd.DataFrame:
        """One row a joint: image, person, joint, x, y, score."""
        n, k = self.confidence.shape
        columns = {"image": self.image.repeat(k), "person": self.person.repeat(k)}
        columns |= {"joint": np.tile(self.skeleton.joints, n), "x": self.xy[..., 0].ravel()}
        return pd.DataFrame(
            columns | {"y": self.xy[..., 1].ravel(), "score": self.confidence.ravel()}
        )

    def save(self, path: str | os.PathLike, form: str = "auto") -> Path:
        """Write them to a file.

        Args:
            path: of the file.
            form: coco (json), table (csv, a row a joint), deeplabcut (csv or h5 with likelihoods),
                sleap (.slp, predicted instances); auto by the ending, table for .csv.

        Raises:
            PosekitError: the form is none of these, or lacks a package.
        """
        path = Path(path)
        usual = {".json": "coco", ".csv": "table", ".slp": "sleap", ".h5": "deeplabcut"}
        form = usual.get(path.suffix.lower(), form) if form == "auto" else form
        what = path, self.skeleton, self.image, self.xy.astype(float)
        if form == "coco":
            flag = np.full(self.confidence.shape, 2)
            coco_file.write(*what, flag, self.boxes, self.confidence.mean(1))
        elif form == "table":
            write_text(path, self.table().to_csv(index=False, float_format="%.4f"))
        elif form == "deeplabcut":
            rank = pd.Series(self.image).groupby(self.image).cumcount().to_numpy()
            deeplabcut.write(*what, self.confidence, rank if rank.any() else None)
        elif form == "sleap":
            sleap.write(*what, self.confidence)
        else:
            raise PosekitError(f"{path}: form={form!r}: choose coco, table, deeplabcut or sleap")
        return path


class Estimator:
    """A network that finds keypoints in pictures.

    Args:
        source: a run folder, an ONNX file, weights, or a network's name, see the demo notebook.
        boxes: where to look: auto, detector, hog, whole, or a COCO json of boxes.
        device: auto, cpu, cuda, cuda:1, mps.
        flip_test: average with the mirror image; None as it was tested.

    Raises:
        PosekitError: there is no such network.
    """

    def __init__(
        self,
        source: str | os.PathLike,
        boxes: str = "auto",
        device: str = "auto",
        flip_test: bool | None = False,
    ) -> None:
        place = choose_machine(device, "fp32", workers=0).device
        self.network = open_estimator(os.fspath(source), place, flip_test=flip_test)
        self.boxes = open_box_source(boxes, place, self.network.skeleton.of_people)

    def __call__(
        self, images: str | os.PathLike | np.ndarray, boxes: np.ndarray | None = None
    ) -> Keypoints:
        """Find the keypoints.

        Args:
            images: an image (h, w, 3) uint8 RGB, or the path of one, of a folder or of a video.
            boxes: (P, 4) x1 y1 x2 y2 of the people in every image; None looks for them.

        Raises:
            PosekitError: there is nothing that can be read, or a box outside the image.
        """
        source = (
            self.boxes if boxes is None else GivenBoxes(np.asarray(boxes, float).reshape(-1, 4))
        )
        media = _media(images)
        found, poses = [], None
        for frame in media.frames():
            if poses is None or not media.is_video:
                one = [self.network], source, _FOLLOW and boxes is None, _THRESHOLD
                poses = VideoEstimator(*one, is_video=media.is_video)
            tracks, (estimate,) = poses.process(frame)
            names = np.full(len(tracks.ids), frame.name)
            found.append((estimate.keypoints, estimate.scores, tracks.boxes, names, tracks.ids))
        xy, scores, places, names, ids = (np.concatenate(part) for part in zip(*found, strict=True))
        kinds = xy.astype(np.float32), scores.astype(np.float32), places.astype(np.float32)
        return Keypoints(*kinds, names, ids, self.network.skeleton)


def _media(images: str | os.PathLike | np.ndarray) -> Media:
    if not isinstance(images, np.ndarray):
        return open_media(images)
    if images.ndim != 3 or images.shape[2] != 3 or images.dtype != np.uint8:
        raise PosekitError("an image is an array (h, w, 3) of uint8, RGB")
    return Media(Path("image"), False, 1, 1.0, lambda: iter([Frame(1, "image", images)]))
