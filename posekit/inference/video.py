"""Frames in and out: pictures, folders and videos of any length, one frame in memory at a time."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np

from ..errors import PosekitError
from ..files.images import is_whole
from ..files.words import readable

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_FOLDER_FPS, _VIDEO_FPS = 10.0, 25.0  # of a folder shown as a video, of a video that tells none
_SLOWEST, _FASTEST = 0.01, 600.0  # frames a second of an MP4
_TITLE_ROOM = 22  # pixels of text below a panel
Item = TypeVar("Item")


@dataclass(frozen=True)
class Frame:
    """One picture of the footage.

    Attributes:
        number: counted from 1; of pictures that are all named by numbers, the number; of those that
            a file of boxes lists, their image_id.
        name: for titles and files, in letters that both can show.
        picture: (h, w, 3) uint8 RGB, upright.
    """

    number: int
    name: str
    picture: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) pixels."""
        return self.picture.shape[:2]


@dataclass(frozen=True)
class Footage:
    """What is looked at, opened but not read.

    Attributes:
        path: picture, folder or video file.
        moving: the frames are those of one video.
        count: how many frames there are, None where the file does not say.
        fps: frames a second.
        source: opens the frames anew each time.
        files: the pictures, in the order in which they are shown; none of a video file.
        notes: remarks for the reader, more of them after reading.
    """

    path: Path
    moving: bool
    count: int | None
    fps: float
    source: Callable[[], Iterator[Frame]]
    files: Sequence[Path] = ()
    notes: list[str] = field(default_factory=list)

    def frames(self, limit: int | None = None) -> Iterator[Frame]:
        """The frames, one at a time.

        Raises:
            PosekitError: there is none, one cannot be read, or those of a video differ in size.
        """
        size, read = None, 0
        for frame in itertools.islice(self.source(), limit):
            if self.moving and frame.size != (size := size or frame.size):
                raise PosekitError(
                    f"{self.path}: {frame.name} is {frame.size[1]} x {frame.size[0]} pixels, the "
                    f"frames before it {size[1]} x {size[0]}: unset sequence for loose pictures"
                )
            read += 1
            yield frame
        if not read:
            raise PosekitError(f"{self.path}: no frame can be read: copy or encode the file again")
        wanted = min(self.count or read, limit or self.count or read)
        if read < wanted:
            self.notes.append(f"the file promises {self.count} frames, {read} could be read")

    def numbered(self, numbers: Sequence[int]) -> "Footage":
        """The same pictures under other numbers."""
        return replace(self, source=partial(_pictures, self.files, numbers))


def open_footage(path: str | os.PathLike, sequence: bool = False) -> Footage:
    """Open a picture, a folder of pictures, or a video file.

    Args:
        path: what to look at.
        sequence: the pictures of a folder are the frames of one video. Pictures come in the order
            of their numbers if numbers name them all, otherwise of their names.

    Raises:
        PosekitError: there is nothing, or nothing that can be read.
    """
    path = Path(os.path.expanduser(path))
    try:
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if _is_picture(p) and p.is_file())
            if not files:
                raise PosekitError(f"{path}: no picture ({', '.join(PICTURES)}) in this folder")
            return _album(path, files, sequence)
        if not path.is_file():
            raise PosekitError(f"{path}: there is no such picture, folder or video")
        path.open("rb").close()
    except OSError as error:
        raise PosekitError(
            f"{path} cannot be opened ({error.strerror}): name something that you may read"
        ) from error
    if _is_picture(path):
        return _album(path, [path], False)
    with _capture(path) as capture:
        count, fps = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
    known = np.isfinite(count) and 0 < count < 1e9
    notes = []
    if not (np.isfinite(fps) and fps > 0):
        fps = _VIDEO_FPS
        notes.append(f"the file does not tell its frames a second: {fps:g} are assumed")
    count = int(count) if known else None
    return Footage(path, True, count, fps, lambda: _video(path), notes=notes)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _album(path: Path, files: Sequence[Path], moving: bool) -> Footage:
    if numbers := sorted(numbers_of(files)):
        files = sorted(files, key=lambda file: int(file.stem))
    source = partial(_pictures, files, numbers or range(1, len(files) + 1))
    return Footage(path, moving, len(files), _FOLDER_FPS, source, files)


def numbers_of(files: Sequence[Path]) -> list[int]:
    """The numbers that name pictures; none where not all are named so, or two by the same."""
    numbers = [int(file.stem) for file in files if file.stem.isdecimal()]
    return numbers if len(set(numbers)) == len(files) else []


def _pictures(files: Sequence[Path], numbers: Sequence[int]) -> Iterator[Frame]:
    for number, file in zip(numbers, files, strict=True):
        yield Frame(number, readable(file.name), read_picture(file))


def read_picture(path: Path) -> np.ndarray:
    """A picture (h, w, 3) uint8 RGB, turned upright as the camera says.

    Raises:
        PosekitError: it cannot be read.
    """
    picture = None
    with contextlib.suppress(OSError, cv2.error):
        data = path.read_bytes()
        if is_whole(data):
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise PosekitError(f"{path} is not a readable picture: replace the file")
    return picture


@contextlib.contextmanager
def _capture(path: Path) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(os.fsencode(path), cv2.CAP_FFMPEG)  # as text, odd names crash it
    try:
        if not capture.isOpened():
            raise PosekitError(
                f"{path} is neither a picture ({', '.join(PICTURES)}) nor a video that OpenCV can "
                "read: copy the file again, or encode it as mp4"
            )
        yield capture
    finally:
        capture.release()


def _video(path: Path) -> Iterator[Frame]:
    with _capture(path) as capture:
        for number in itertools.count(1):
            there, picture = capture.read()
            if not there:
                return
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            yield Frame(number, f"{readable(path.stem)} frame {number}", picture)


class Few(Generic[Item]):
    """At most so many of any number of items, evenly spread over them.

    Every `step`-th item is kept; when there are too many, every second one is dropped and the
    step doubles.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.step = 1
        self.items: list[Item] = []
        self._seen = 0

    def add(self, make: Callable[[], Item]) -> None:
        """Offer the next item; it is only made when it is kept."""
        if self._seen % self.step == 0:
            if len(self.items) == self.limit:
                self.items, self.step = self.items[::2], 2 * self.step
            if self._seen % self.step == 0 and len(self.items) < self.limit:
                self.items.append(make())
        self._seen += 1

    def spread(self, count: int) -> list[Item]:
        """At most so many of the kept ones, evenly spread."""
        chosen = np.linspace(0, len(self.items) - 1, min(count, len(self.items)))
        return [self.items[round(place)] for place in chosen.tolist()]


def side_by_side(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Pictures of one size beside each other, each with a title on a strip below it."""
    panels = []
    for picture, title in zip(pictures, titles, strict=True):
        strip = np.zeros((_TITLE_ROOM, picture.shape[1], 3), np.uint8)
        place = (6, _TITLE_ROOM - 7)
        cv2.putText(strip, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
        panels.append(np.concatenate([picture, strip]))
    return np.concatenate(panels, 1)


class Mp4:
    """An MP4 file (MPEG-4 part 2), written frame by frame; it appears when it is whole.

    Args:
        path: the file.
        fps: frames a second; the format takes 0.01 to 600, with few decimals.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self.fps = round(min(max(fps, _SLOWEST), _FASTEST), 3 if fps < 60 else 2)
        self._partial = path.with_name(f".{path.stem}.partial.mp4")
        self._writer: cv2.VideoWriter | None = None

    def add(self, picture: np.ndarray) -> None:
        """Append a picture (h, w, 3) RGB of the first one's size; odd sides lose a pixel.

        Raises:
            PosekitError: the file cannot be written.
        """
        h, w = (side - side % 2 for side in picture.shape[:2])
        if self._writer is None:
            code = cv2.VideoWriter_fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._partial), code, self.fps, (w, h))
            if not self._writer.isOpened():
                raise PosekitError(f"cannot write {self.path}: no room, or OpenCV without mp4v")
        self._writer.write(cv2.cvtColor(picture[:h, :w], cv2.COLOR_RGB2BGR))

    def close(self, keep: bool) -> None:
        """End the file and put it in its place, or drop it."""
        if self._writer is None:
            return
        self._writer.release()
        if keep:
            os.replace(self._partial, self.path)
        else:
            self._partial.unlink(missing_ok=True)
