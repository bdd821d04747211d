"""What a demo holds, and what it shows of it: pictures with skeletons, heat maps, tables."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import numpy as np
import torch
from pydantic import Field

from ...config.knobs import Pixels
from ...config.parameters import Parameters
from ...files.words import readable
from ...files.writing import write_bytes, write_text
from ...inference.estimator import Estimator, Look
from ...inference.keypoint_files import Confidence, Jitter
from ...inference.people import Boxes, People
from ...inference.video import Few, Footage, Frame, side_by_side
from ...reporting import figures, pages
from ...reporting.run_folder import png

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import Image

PANEL, SMALL_PANEL, LARGEST_PANEL = 720, 320, 1600  # longer side in video, GIF, pictures; pixels
SHEET, MAPS = 8, 4  # frames in the figure of poses, people in that of heat maps
_ENLARGE = 4.0  # at most
_SHORTEST, _LONGEST_TOGETHER = 0.02, 655.0  # seconds of a GIF's picture, of all of them
_LONGEST_NAME = 200  # bytes of a picture's name in the folder pictures/


class Wishes(Parameters):
    """The parameters of the notebook."""

    input: str | None = Field(None, description="picture, folder or video; None for the sample")
    sequence: bool = Field(False, description="the folder's pictures are frames of one video")
    boxes: str = Field("auto", description="auto, detector, whole, x1 y1 x2 y2 ..., or COCO json")
    network: str | None = Field(None, description="run folder, .onnx, weights, name or name@file")
    beside: str | None = Field(None, description="a second network, shown beside the first")
    skeleton: str | None = Field(None, description="joints of a file that does not say its own")
    image_size: tuple[Pixels, Pixels] | None = Field(
        None, description="crop [h, w], for such a file"
    )
    flip_test: bool = Field(False, description="average with the mirror image; not for streams")
    follow: bool = Field(True, description="the crop moves with the pose")
    threshold: float = Field(0.2, description="joints with a smaller score are not drawn")
    max_frames: Annotated[int, Field(ge=1)] | None = Field(None, description="stop after these")
    gif_frames: Annotated[int, Field(ge=2, le=300)] = Field(48, description="at most, in the GIF")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")


@dataclass
class Demo:
    """What every later step needs from the earlier ones.

    Attributes:
        wishes: the checked parameters.
        footage: what is looked at.
        boxes: where the people are looked for.
        sample: the footage is generated.
        device: where the networks compute.
        estimators: one network or two.
        folder: of the results.
        pace: how fast the networks were, a table.
        record: the content of demo.json.
        figures: file -> caption, for the report.
        sheet: a few drawn frames, with their names.
        strip: the frames of the GIF.
        maps: of each network, name, crop and heat maps of a few people.
        confidences: of each network, the scores of its joints.
        jitter: the jitter of all networks over the same joints.
    """

    wishes: Wishes
    footage: Footage
    boxes: Boxes
    sample: bool
    device: torch.device
    estimators: list[Estimator] = field(default_factory=list)
    folder: Path | None = None
    pace: "pd.DataFrame | None" = None
    record: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    sheet: Few[tuple[str, np.ndarray]] = field(default_factory=lambda: Few(2 * SHEET))
    strip: Few[np.ndarray] = field(default_factory=lambda: Few(2))
    maps: list[Few[tuple[str, np.ndarray, np.ndarray]]] = field(default_factory=list)
    confidences: list[Confidence] = field(default_factory=list)
    jitter: Jitter | None = None

    @property
    def label(self) -> str:
        """The footage as titles name it."""
        name = readable(self.footage.path.name)
        return f"PennAction {name} (generated sample)" if self.sample else name

    def text(self) -> str:
        """What will be done, without names of folders."""
        footage, wishes = self.footage, self.wishes
        count = "an unknown number of" if footage.count is None else f"{footage.count:,}"
        kind = f"frames of a video at {footage.fps:g} a second" if footage.moving else "pictures"
        network = wishes.network and Path(wishes.network).name
        lines = [
            f"{self.label}: {count} {kind if footage.count != 1 else kind.removesuffix('s')}",
            f"people: {self.boxes.about}{', followed' * (wishes.follow and footage.moving)}",
            f"network: {network or 'the latest finished runs of lpm and cpm, else untrained ones'}",
        ]
        lines.append(f"joints below {wishes.threshold:g} are not drawn")
        return "\n".join([*lines, *(f"note: {note}" for note in footage.notes)])

    def picture(self, name: str, content: bytes, caption: str) -> "Image":
        """Save an encoded picture (PNG or GIF) and return it for display."""
        from IPython.display import Image

        path = self.folder / "figures" / name
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, content)
        caption += " Generated sample data." * self.sample
        self.figures[name] = caption
        return Image(data=content, format=path.suffix[1:], alt=caption)

    def figure(self, name: str, figure: Any, caption: str) -> "Image":
        """Save a figure of viz and return it for display."""
        if self.sample:
            figure.text(0.998, 0.995, "generated sample data", ha="right", va="top", size=7)
        return self.picture(f"{name}.png", png(figure), caption)


def streams(demo: Demo, estimator: Estimator) -> bool:
    """Whether a network carries its memory from frame to frame here."""
    return estimator.streams and demo.footage.moving


def drawn(demo: Demo, frame: Frame, people: People, looks: list[Look], side: int) -> np.ndarray:
    """A frame with the people of each network, beside each other.

    Args:
        demo: the networks.
        frame: the frame.
        people: where they looked.
        looks: what they found.
        side: longer side of a panel, pixels.
    """
    scale = min(_ENLARGE, side / max(frame.size))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    fy, fx = (max(scale, 1 / length) for length in frame.size)  # at least one pixel
    small = cv2.resize(frame.picture, None, fx=fx, fy=fy, interpolation=method)
    panels, titles = [], []
    for estimator, look in zip(demo.estimators, looks, strict=True):
        panel = small.copy()
        widths = (1 + scale * people.sizes / 150).round().clip(1, 4).astype(int).tolist()
        for points, scores, width in zip(look.keypoints, look.scores, widths, strict=True):
            sure = scores >= demo.wishes.threshold
            points = (points + 0.5) * scale - 0.5
            figures.paint_skeleton(panel, points, sure, estimator.skeleton, width)
        for box, number, scores in zip(people.boxes, people.numbers, look.scores, strict=True):
            place = np.maximum((box[:2] + 0.5) * scale, [2, 14]).astype(int).tolist()
            text = f"{number}: {scores.mean():.2f}"
            for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, thick)
        panels.append(panel)
        kind = "" if estimator.trained else " untrained"
        kind += " as a stream" * streams(demo, estimator)
        titles.append(f"{'sample ' * demo.sample}{frame.number}: {estimator.name}{kind}")
    return side_by_side(panels, titles)


def write_picture(demo: Demo, frame: Frame, picture: np.ndarray) -> None:
    """Save a drawn picture in the folder pictures/ of the results as NAME.jpg.

    Every name gets the ending, also a.jpg, so that a.png and a.png.jpg stay apart.
    """
    folder, name = demo.folder / "pictures", frame.name
    if len(name.encode()) > _LONGEST_NAME:
        name = f"{name.encode()[:_LONGEST_NAME].decode(errors='ignore')}-{frame.number}"
    folder.mkdir(exist_ok=True)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_bytes(folder / f"{name}.jpg", content.tobytes())


def poses(demo: Demo) -> "Image":
    """A figure of some frames with the skeletons of every network."""
    names, pictures = zip(*demo.sheet.spread(SHEET), strict=True)
    across = 1 if len(pictures) == 1 else 2 if len(demo.estimators) > 1 else 4
    figure = figures.picture_grid(pictures, names, f"Poses: {demo.label}", across)
    words = "right side vermilion, left side blue; number and mean score of each person"
    return demo.figure("1-poses", figure, f"Frames with the joints that are sure enough: {words}.")


def animation(demo: Demo) -> "Image | str":
    """The video with its skeletons as a GIF of a bounded number of frames."""
    if not demo.footage.moving:
        return "loose pictures: there is nothing to animate"
    step, kept = demo.strip.step, len(demo.strip.items)
    seconds = step / demo.footage.fps
    shown = min(max(seconds, _SHORTEST), _LONGEST_TOGETHER / kept)
    every = "all frames" if step == 1 else f"every {step}th frame, {kept} in all"
    every += f", at {seconds / shown:.2g} times its speed" * (shown != seconds)
    content = figures.gif(demo.strip.items, shown)
    return demo.picture("2-video.gif", content, f"The video with its skeletons, {every}.")


def heatmaps(demo: Demo, network: int = 0) -> "Image | str":
    """A figure of the heat maps of some people over what the network saw of them.

    Args:
        demo: after `watch`.
        network: 0 for the first one, 1 for the second.
    """
    network = min(network, len(demo.estimators) - 1)
    estimator, items = demo.estimators[network], demo.maps[network].spread(MAPS)
    if not items:
        return "nobody was looked at"
    names, crops, maps = zip(*items, strict=True)
    title = f"Heat maps of {estimator.name}: {demo.label}"
    figure = figures.heatmap_grid(crops, np.stack(maps), names, estimator.skeleton.joints, title)
    caption = "Heat maps over the crops that the network saw, one row a person, one column a joint."
    return demo.figure(f"3-heatmaps-{estimator.name}", figure, caption)


def confidences(demo: Demo) -> "pd.DataFrame":
    """How sure the networks are of each joint."""
    import pandas as pd

    tables = [
        confidence.table().assign(network=estimator.name)
        for estimator, confidence in zip(demo.estimators, demo.confidences, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["network", *table.columns.drop("network")]]


def jitter(demo: Demo) -> "pd.DataFrame | str":
    """How much the joints of each network shake from frame to frame."""
    if not demo.footage.moving:
        return "loose pictures: nothing moves"
    return demo.jitter.table([estimator.name for estimator in demo.estimators])


def save_record(demo: Demo, **fields: Any) -> None:
    """Change fields of demo.json."""
    demo.record |= fields
    write_text(demo.folder / "demo.json", json.dumps(demo.record, indent=1, default=float))


def write_page(demo: Demo) -> Path:
    """Write report.html, one page without outside resources, from what was kept."""
    return pages.write_page(
        demo.folder / "report.html",
        "demo.html",
        title=f"Poses on {demo.label}",
        demo=demo,
        trained=all(estimator.trained for estimator in demo.estimators),
        tables={"Networks": demo.pace, "Jitter": jitter(demo), "Scores": confidences(demo)},
        files=files(demo),
        parameters=json.dumps(demo.record["parameters"], indent=1),
    )


def files(demo: Demo) -> list[str]:
    """Names of the results in the folder; of many pictures only their folder."""
    return sorted(
        path.name + "/" * path.is_dir()
        for path in demo.folder.iterdir()
        if not path.name.startswith(".") and path.name not in ("figures", "report.html")
    )
