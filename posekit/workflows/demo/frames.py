"""The demo's work: estimate, draw and write frame after frame; nothing grows with their number."""

import math
from contextlib import ExitStack
from functools import partial

import cv2
import numpy as np
import pandas as pd

from ...files.progress import progress_lines
from ...files.writing import write_bytes
from ...inference.box_sources import HogDetector
from ...inference.estimator import PoseEstimate
from ...inference.keypoint_files import write_keypoints
from ...inference.media import Frame, mp4_rate, write_video
from ...inference.tracker import Tracks
from ...inference.video_estimator import VideoEstimator
from ...reporting import figures
from .setup import HEATMAPS, Demo

_VIDEO_SIDE, _GIF_SIDE, _IMAGE_SIDE = 720, 320, 1600  # longer side of a drawn panel, pixels
_MAX_SCALE = 4.0  # of a drawn frame
_TITLE_HEIGHT = 22  # pixels of text below a panel
_MAX_NAME = 200  # bytes of an image's name in the folder pictures/


def process(demo: Demo) -> pd.DataFrame:
    """Estimate the poses in every frame, and write what is found, frame by frame.

    Returns:
        How many frames and people the networks saw, and how fast.

    Raises:
        PosekitError: a frame cannot be read, or a box does not lie in it.
    """
    media, settings, estimators = demo.media, demo.settings, demo.estimators
    total = min((n for n in (media.count, settings.max_frames) if n), default=None)
    seconds, frames, poses = np.zeros(len(estimators)), 0, None
    begin = partial(VideoEstimator, estimators, demo.boxes, settings.follow, settings.threshold)
    tell = progress_lines("frames")
    with ExitStack() as stack:
        files = [write_keypoints(demo.results.folder, f"keypoints-{e.name}", e) for e in estimators]
        writers = [stack.enter_context(file) for file in files]
        if media.is_video:
            rate = mp4_rate(media.fps)
            add_to_video = stack.enter_context(write_video(demo.results.folder / "poses.mp4", rate))
            if not math.isclose(rate, media.fps, rel_tol=0.001):
                shown = f"poses.mp4 shows {rate:g} frames a second, not {media.fps:g}"
                media.notes.append(shown)
        for frame in media.frames(settings.max_frames):
            frames += 1
            if poses is None or not media.is_video:
                poses = begin(media.is_video)
            tracks, estimates = poses.process(frame)
            seconds += [estimate.seconds for estimate in estimates]
            for writer, estimate in zip(writers, estimates, strict=True):
                writer.add(frame, tracks, estimate)
            _collect(demo, frame, tracks, estimates)
            if media.is_video:
                add_to_video(draw_frame(demo, frame, tracks, estimates, _VIDEO_SIDE))
            else:
                _write_image(demo, frame, draw_frame(demo, frame, tracks, estimates, _IMAGE_SIDE))
            tell(frames, total)
    for estimator, writer in zip(estimators, writers, strict=True):
        if count := writer.not_finite:
            lost = f"{count:,} joints are not finite, 0 in the json"
            media.notes.append(f"{estimator.name}: {lost}: has the network diverged?")
    people = [scores.count for scores in demo.scores]
    columns = {
        "network": [e.name for e in estimators],
        "frames": frames,
        "people": people,
        "seconds": seconds.round(2),
        "ms a frame": (1000 * seconds / frames).round(1),
        "mean score": [round(float(np.mean(scores.mean)), 3) for scores in demo.scores],
    }
    demo.speed = pd.DataFrame(columns)
    demo.results.update(frames=frames, people=people, seconds=seconds.round(3).tolist())
    return demo.speed


def _collect(demo: Demo, frame: Frame, tracks: Tracks, estimates: list[PoseEstimate]) -> None:
    """Keep a bounded number of small images and sums."""
    draw = partial(draw_frame, demo, frame, tracks, estimates)
    demo.poses.add(lambda: (frame.name, draw(_VIDEO_SIDE)))
    single = demo.media.count == 1
    for kept, scores, estimate in zip(demo.heatmaps, demo.scores, estimates, strict=True):
        scores.add(estimate.scores)
        for row, person in enumerate(tracks.ids[: HEATMAPS if single else 1].tolist()):
            name = f"person {person}" if single else f"{frame.number}"
            kept.add(partial(tuple, (name, estimate.crops[row], estimate.heatmaps[row])))
    if demo.media.is_video:
        demo.gif.add(lambda: draw(_GIF_SIDE))
        demo.jitter.add(tracks, estimates)


def draw_frame(
    demo: Demo, frame: Frame, tracks: Tracks, estimates: list[PoseEstimate], side: int
) -> np.ndarray:
    """A frame with the people of each network, beside each other, each with a title below.

    Args:
        demo: the networks.
        frame: the frame.
        tracks: where the people are.
        estimates: their poses by each network.
        side: longer side of a panel, pixels.
    """
    scale = min(_MAX_SCALE, side / max(frame.size))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    fy, fx = (max(scale, 1 / length) for length in frame.size)  # at least one pixel
    small = cv2.resize(frame.image, None, fx=fx, fy=fy, interpolation=method)
    widths = (1 + scale * tracks.sizes / 150).round().clip(1, 4).astype(int).tolist()
    panels = []
    for estimator, estimate in zip(demo.estimators, estimates, strict=True):
        panel = small.copy()
        for points, scores, width in zip(estimate.keypoints, estimate.scores, widths, strict=True):
            confident = scores >= demo.settings.threshold
            points = (points + 0.5) * scale - 0.5
            figures.paint_skeleton(panel, points, confident, estimator.skeleton, width)
        for box, person, scores in zip(tracks.boxes, tracks.ids, estimate.scores, strict=True):
            if isinstance(demo.boxes, HogDetector):  # they are rough: show them
                low, high = ((box + 0.5) * scale - 0.5).astype(int).reshape(2, 2).tolist()
                cv2.rectangle(panel, low, high, (255, 255, 255), 1)
            corner = np.maximum((box[:2] + 0.5) * scale, [2, 14]).astype(int).tolist()
            for colour, width in ((0, 3), (255, 1)):
                _put_text(panel, f"{person}: {scores.mean():.2f}", corner, colour, width)
        title = np.zeros((_TITLE_HEIGHT, panel.shape[1], 3), np.uint8)
        kind = "" if estimator.trained else " untrained"
        kind += " as a stream" * (estimator.recurrent and demo.media.is_video)
        text = f"{'sample ' * demo.sample}{frame.number}: {estimator.name}{kind}"
        _put_text(title, text, (6, _TITLE_HEIGHT - 7), 255, 1)
        panels.append(np.concatenate([panel, title]))
    return np.concatenate(panels, 1)


def _put_text(image: np.ndarray, text: str, corner: tuple[int, int], grey: int, width: int) -> None:
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (grey,) * 3, width)


def _write_image(demo: Demo, frame: Frame, image: np.ndarray) -> None:
    """Save a drawn image in the folder pictures/ of the results as NAME.jpg.

    Every name gets the ending, also a.jpg, so that a.png and a.png.jpg stay apart.
    """
    folder, name = demo.results.folder / "pictures", frame.name
    if len(name.encode()) > _MAX_NAME:
        name = f"{name.encode()[:_MAX_NAME].decode(errors='ignore')}-{frame.number}"
    folder.mkdir(exist_ok=True)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_bytes(folder / f"{name}.jpg", content.tobytes())
