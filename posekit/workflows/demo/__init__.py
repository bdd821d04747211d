"""The steps of notebooks/demo.ipynb: poses on a picture, a folder or a video of any length."""

import datetime as dt
import math
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import data
from ...config.machine import choose_machine
from ...config.parameters import check
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...files.places import smoke
from ...files.progress import counted
from ...files.writing import whole_file
from ...geometry.crops import union_box
from ...inference.box_file import BoxFile
from ...inference.estimator import Estimator, Look
from ...inference.keypoint_files import Confidence, Jitter, KeypointFiles
from ...inference.open_network import Wanted, open_estimator, untrained
from ...inference.people import Boxes, GivenBoxes, People, choose_boxes
from ...inference.video import Few, Footage, Frame, Mp4, open_footage
from ...inference.video_estimator import VideoEstimator
from ...reporting import run_folder
from ...reporting.record import trained_runs
from .show import (
    LARGEST_PANEL,
    MAPS,
    PANEL,
    SMALL_PANEL,
    Demo,
    Wishes,
    animation,
    confidences,
    drawn,
    files,
    heatmaps,
    jitter,
    poses,
    save_record,
    streams,
    write_page,
    write_picture,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Wishes",
    "animation",
    "confidences",
    "finish",
    "heatmaps",
    "jitter",
    "networks",
    "poses",
    "start",
    "watch",
]


def start(namespace: dict[str, Any]) -> Demo:
    """Check the notebook's parameters and open the footage.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: what is wrong with the parameters, or cannot be read.
    """
    wishes = Wishes(**check(Wishes, namespace, "the demo notebook cannot run with this:"))
    if wishes.beside and not wishes.network:
        raise PosekitError("beside needs a network beside which it is shown: set network as well")
    wanted = SimpleNamespace(device=wishes.device, precision="fp32", workers=0)
    device = choose_machine(wanted).device
    if sample := wishes.input is None:
        footage, boxes = _sample_clip(small=smoke() or not (wishes.network or _latest_runs()))
    else:
        footage, boxes = open_footage(wishes.input, wishes.sequence), None
    if boxes is None or wishes.boxes != "auto":
        boxes = choose_boxes(wishes.boxes, device)
    if isinstance(boxes, BoxFile):
        footage = boxes.numbered(footage)
    return Demo(wishes, footage, boxes, sample, device)


def _sample_clip(small: bool) -> tuple[Footage, Boxes]:
    """A test sequence of the generated Penn Action, or of its miniature, with its annotated box."""
    root = ensure_sample("PennAction", smoke=small)
    people = data.load("PennAction", "test", root, source="sample")
    rows = np.flatnonzero(people.sequence == people.sequence[0])
    folder = (data.find("PennAction", root) / "frames" / str(people.image[0])[:4]).resolve()
    box = union_box(people.boxes[rows]).astype(float)
    h, w = people.read(int(rows[0])).shape[:2]
    return open_footage(folder, True), GivenBoxes(box.clip(0, [w, h, w, h])[None])


def networks(demo: Demo) -> str:
    """Open the networks and the folder of the results; what they are, as text.

    Raises:
        PosekitError: a network cannot be opened.
    """
    wishes = demo.wishes
    wanted = Wanted(wishes.skeleton, wishes.image_size, wishes.flip_test, demo.device)
    sources = [s for s in (wishes.network, wishes.beside) if s] or _latest_runs()
    if sources:
        found = [open_estimator(source, wanted) for source in sources]
    else:
        found = [untrained(name, wanted) for name in ("lpm", "cpm")]
    names = [e.name for e in found]
    for place, estimator in enumerate(found):
        if names.count(estimator.name) > 1:
            estimator.name += f"-{place + 1}"
    demo.estimators = found
    demo.confidences = [Confidence(e.skeleton, wishes.threshold) for e in found]
    demo.maps = [Few(2 * MAPS) for _ in found]
    demo.strip = Few(wishes.gif_frames)
    lines = [
        f"{e.about}; {'a stream, frame after frame' * streams(demo, e) or 'each frame by itself'}"
        for e in found
    ]
    demo.record = {
        "input": demo.label,
        "people": demo.boxes.about,
        "networks": [e.about for e in found],
        "status": "interrupted",
        "started": dt.datetime.now().isoformat(timespec="seconds"),
        "parameters": wishes.model_dump(mode="json"),
    }
    stem = "".join(c if c.isalnum() else "-" for c in demo.footage.path.stem)[:40].strip("-")
    demo.folder = run_folder.new_folder(f"demo-{stem or 'pictures'}" + "-sample" * demo.sample)
    save_record(demo)
    if not all(estimator.trained for estimator in found):
        lines.append("NOT TRAINED: the poses below are random and only show the machinery")
    return "\n".join(lines)


def _latest_runs() -> list[str]:
    """The newest finished runs of lpm and cpm, as far as there are any."""
    newest = {record.model: str(folder) for folder, record in reversed(trained_runs())}
    return [newest[name] for name in ("lpm", "cpm") if name in newest]


def watch(demo: Demo) -> "pd.DataFrame":
    """Look at every frame and write what is found, frame by frame; nothing grows with their number.

    Returns:
        How many frames and people the networks saw, and how fast.

    Raises:
        PosekitError: a frame cannot be read, or a box does not lie in it.
    """
    import pandas as pd

    footage, wishes, found = demo.footage, demo.wishes, demo.estimators
    total = min((n for n in (footage.count, wishes.max_frames) if n), default=None)
    demo.jitter = Jitter([e.skeleton for e in found])
    seconds, frames, estimator = np.zeros(len(found)), 0, _video_estimator(demo)
    with ExitStack() as stack:
        outputs = [_keypoint_files(stack, demo, e) for e in found]
        video = _video(stack, demo) if footage.moving else None
        for frame in counted(footage.frames(wishes.max_frames), total, "frames"):
            estimator = estimator if footage.moving else _video_estimator(demo)
            people, looks, spent = estimator.find(frame)
            frames, seconds = frames + 1, seconds + spent
            for output, look in zip(outputs, looks, strict=True):
                output.add(
                    frame.number,
                    frame.name,
                    people.numbers,
                    look.keypoints,
                    look.scores,
                    people.scores,
                )
            _keep(demo, frame, people, looks)
            if video:
                video.add(drawn(demo, frame, people, looks, PANEL))
            else:
                write_picture(demo, frame, drawn(demo, frame, people, looks, LARGEST_PANEL))
        for one, output in zip(found, outputs, strict=True):
            output.end()
            if output.lost:
                lost = f"{output.lost:,} joints are no finite numbers, 0 in the json"
                footage.notes.append(f"{one.name}: {lost}: has the network diverged?")
    people = [confidence.count for confidence in demo.confidences]
    demo.pace = pd.DataFrame(
        {
            "network": [e.name for e in found],
            "frames": frames,
            "people": people,
            "seconds": seconds.round(2),
            "ms a frame": (1000 * seconds / frames).round(1),
            "mean score": [round(float(np.mean(c.mean)), 3) for c in demo.confidences],
        }
    )
    save_record(demo, frames=frames, people=people, seconds=seconds.round(3).tolist())
    return demo.pace


def _video_estimator(demo: Demo) -> VideoEstimator:
    settings, moving = demo.wishes, demo.footage.moving
    return VideoEstimator(
        demo.estimators, demo.boxes, settings.follow, settings.threshold, moving=moving
    )


def _keypoint_files(stack: ExitStack, demo: Demo, estimator: Estimator) -> KeypointFiles:
    places = [demo.folder / f"keypoints-{estimator.name}.{kind}" for kind in ("json", "csv")]
    opened = [stack.enter_context(whole_file(place)) for place in places]
    return KeypointFiles(*opened, estimator.skeleton)


def _video(stack: ExitStack, demo: Demo) -> Mp4:
    fps = demo.footage.fps
    video = Mp4(demo.folder / "poses.mp4", fps)
    stack.push(lambda kind, *_: video.close(keep=kind is None))
    if not math.isclose(video.fps, fps, rel_tol=0.001):
        demo.footage.notes.append(f"poses.mp4 shows {video.fps:g} frames a second, not {fps:g}")
    return video


def _keep(demo: Demo, frame: Frame, people: People, looks: list[Look]) -> None:
    """Keep a bounded number of small pictures and sums."""
    small = partial(drawn, demo, frame, people, looks)
    demo.sheet.add(lambda: (frame.name, small(PANEL)))
    if demo.footage.moving:
        demo.strip.add(lambda: small(SMALL_PANEL))
    shown = MAPS if demo.footage.count == 1 else 1
    for kept, confidence, look in zip(demo.maps, demo.confidences, looks, strict=True):
        confidence.add(look.scores)
        for row, number in enumerate(people.numbers[:shown].tolist()):
            name = f"person {number}" if demo.footage.count == 1 else f"{frame.number}"
            kept.add(partial(lambda *item: item, name, look.crops[row], look.maps[row]))
    if demo.footage.moving:
        sure = [look.scores >= demo.wishes.threshold for look in looks]
        demo.jitter.add(people.numbers, [look.keypoints for look in looks], sure, people.sizes)


def finish(demo: Demo) -> str:
    """Write the page with everything on it; where the results are, as text."""
    path = write_page(demo)
    save_record(demo, status="finished", files=files(demo))
    notes = [f"note: {note}" for note in demo.footage.notes]
    return "\n".join(
        [*notes, f"results {demo.folder}", f"files   {', '.join(files(demo))}", f"report  {path}"]
    )
