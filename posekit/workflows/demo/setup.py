"""Parameters, media and networks of the demo notebook."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel

from ... import data
from ...config.knobs import Count, Pixels
from ...config.machine import choose_machine
from ...config.settings import Settings, check, knob
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...files.paths import smoke
from ...files.words import readable
from ...geometry.crops import union_box
from ...inference.box_sources import BoxSource, GivenBoxes, open_box_source
from ...inference.coco_boxes import CocoBoxes
from ...inference.estimator import PoseEstimator, number_equal_names
from ...inference.media import Media, open_media
from ...inference.open_network import open_estimator
from ...inference.pose_statistics import Jitter, ScoreStatistics
from ...inference.sampling import EvenSample
from ...models.mobilepose import TrainedOn
from ...reporting.lock import hold
from ...reporting.run_folder import Results, new_folder
from ..default_networks import default_networks

SHEET, HEATMAPS = 8, 4  # frames in the figure of poses, people in that of heat maps


class DemoSettings(Settings):
    """The parameters of the notebook."""

    input: str | None = knob("image, folder or video; None for the sample", None)
    sequence: bool = knob("the folder's images are frames of one video", False)
    boxes: str = knob("auto, detector, hog, whole, x1 y1 x2 y2 ..., or COCO json", "auto")
    network: str | None = knob("run folder, .onnx, weights, name@file; None for the newest", None)
    beside: str | None = knob("a second network, shown beside the first", None)
    skeleton: str | None = knob("joints of a file that does not say its own", None)
    image_size: tuple[Pixels, Pixels] | None = knob("crop [h, w] of such a file", None)
    trained_on: TrainedOn = None
    flip_test: bool = knob("average with the mirror image; not for streams", False)
    follow: bool = knob("the crop moves with the pose", True)
    threshold: float = knob("joints with a smaller score are not drawn", 0.2)
    max_frames: Count | None = knob("stop after these", None)
    gif_frames: int = knob("at most, in the GIF", 48, ge=2, le=300)
    device: str = knob("auto, cpu, cuda, cuda:1, mps", "auto")


class DemoRecord(BaseModel, extra="allow"):
    """What demo.json holds, beside what the steps add."""

    is_sample: bool
    figures: dict[str, str] = {}


class DemoResults(Results):
    """The folder of a demo."""

    record_file = "demo.json"


@dataclass
class Demo:
    """What every later step needs from the earlier ones.

    Attributes:
        settings: the checked parameters.
        media: the frames.
        boxes: where the people are; None before `open_networks` where they are to be looked for.
        sample: the media is generated.
        device: where the networks compute.
        sources: what names the networks.
        estimators: one network or two.
        results: their folder, after `open_networks`.
        speed: of the networks, a table.
        poses: a few drawn frames, with their names.
        gif: the frames of the GIF.
        heatmaps: of each network, name, crop and heat maps of a few people.
        scores: of each network, the scores of its joints.
        jitter: of all networks over the same joints.
    """

    settings: DemoSettings
    media: Media
    boxes: BoxSource | None
    sample: bool
    device: torch.device
    sources: list[str]
    estimators: list[PoseEstimator] = field(default_factory=list)
    results: DemoResults | None = None
    speed: pd.DataFrame | None = None
    poses: EvenSample = field(default_factory=lambda: EvenSample(2 * SHEET))
    gif: EvenSample = field(default_factory=lambda: EvenSample(2))
    heatmaps: list[EvenSample] = field(default_factory=list)
    scores: list[ScoreStatistics] = field(default_factory=list)
    jitter: Jitter | None = None

    @property
    def label(self) -> str:
        """The media as titles name it."""
        name = readable(self.media.path.name)
        return f"PennAction {name} (generated sample)" if self.sample else name

    def text(self) -> str:
        """What will be done, without names of folders."""
        media, settings = self.media, self.settings
        count = "an unknown number of" if media.count is None else f"{media.count:,}"
        kind = f"frames of a video at {media.fps:g} a second" if media.is_video else "images"
        people = self.boxes.about if self.boxes else "looked for, see below"
        unasked = ", for a test" if smoke() else ", the newest finished runs"
        names = ", ".join(Path(source).name for source in self.sources)
        lines = [
            f"{self.label}: {count} {kind if media.count != 1 else kind.removesuffix('s')}",
            f"people: {people}{', followed' * (settings.follow and media.is_video)}",
            f"networks: {names}{'' if settings.network else unasked}",
            f"joints below {settings.threshold:g} are not drawn",
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in media.notes)])


def start(namespace: dict[str, Any]) -> Demo:
    """Check the notebook's parameters and open the media.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: what is wrong with the parameters, or cannot be read.
    """
    given = check(DemoSettings, namespace, "the demo notebook cannot run with this:")
    settings = DemoSettings(**given)
    if settings.beside and not settings.network:
        raise PosekitError("beside needs a network beside which it is shown: set network as well")
    sources = [source for source in (settings.network, settings.beside) if source]
    sources = sources or default_networks(["lpm", "cpm"], most=2)
    device, boxes = choose_machine(settings.device, "fp32", workers=0).device, None
    if sample := settings.input is None:
        media, boxes = _sample_clip(small=smoke())
    else:
        media = open_media(settings.input, settings.sequence)
    if settings.boxes.strip().lower() != "auto":
        boxes = open_box_source(settings.boxes, device)
    if isinstance(boxes, CocoBoxes):
        media = boxes.number_images(media)
    return Demo(settings, media, boxes, sample, device, sources)


def _sample_clip(small: bool) -> tuple[Media, BoxSource]:
    """A test sequence of the generated Penn Action, or of its miniature, with its annotated box."""
    root = ensure_sample("PennAction", smoke=small)
    people = data.load("PennAction", "test", root, source="sample")
    people = people.rows(people.sequence == people.sequence[0])
    media = open_media(Path(people.images.root, people.image[0]).parent, sequence=True)
    h, w = people.read(0).shape[:2]
    box = union_box(people.boxes).astype(float).clip(0, [w, h, w, h])
    return media, GivenBoxes(box[None])


def open_networks(demo: Demo) -> str:
    """Open the networks and the folder of the results; what they are, as text.

    Raises:
        PosekitError: a network cannot be opened.
    """
    settings, media = demo.settings, demo.media
    asked = settings.skeleton, settings.image_size, settings.flip_test, settings.trained_on
    estimators = [open_estimator(source, demo.device, *asked) for source in demo.sources]
    number_equal_names(estimators)
    if looked_for := demo.boxes is None:
        demo.boxes = open_box_source("auto", demo.device, estimators[0].skeleton.of_people)
    threshold, skeletons = settings.threshold, [e.skeleton for e in estimators]
    demo.estimators = estimators
    demo.scores = [ScoreStatistics(skeleton, threshold) for skeleton in skeletons]
    demo.jitter = Jitter(skeletons, threshold)
    demo.heatmaps = [EvenSample(2 * HEATMAPS) for _ in estimators]
    demo.gif = EvenSample(settings.gif_frames)
    stem = "".join(c if c.isalnum() else "-" for c in media.path.stem)[:40].strip("-")
    folder = new_folder(f"demo-{stem or 'images'}" + "-sample" * demo.sample)
    demo.results = DemoResults(folder, DemoRecord(is_sample=demo.sample), hold(folder))
    demo.results.update(
        paper="demo",
        model=f"Poses of {', '.join(e.name for e in estimators)}",
        dataset=demo.label.removesuffix(" (generated sample)"),
        source="sample" if demo.sample else "real",
        smoke=smoke(),
        input=demo.label,
        people=demo.boxes.about,
        networks=[e.story for e in estimators],
        trained=all(estimator.trained for estimator in estimators),
        status="running",
        started=dt.datetime.now().isoformat(timespec="seconds"),
        parameters=settings.model_dump(mode="json"),
    )
    kinds = {True: "a stream, frame after frame", False: "each frame by itself"}
    lines = [f"{e.story}; {kinds[e.recurrent and media.is_video]}" for e in estimators]
    lines += [f"people: {demo.boxes.about}"] * looked_for
    if not demo.results.record.trained:
        lines.append("NOT TRAINED: the poses below are random and mean nothing")
    return "\n".join(lines)
