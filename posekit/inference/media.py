"""Frames in and out: images, folders and videos of any length, one frame in memory at a time."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ..errors import PosekitError
from ..files.reading import MAX_IMAGE, decode, read_file
from ..files.words import readable
from ..files.writing import replacing

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_FOLDER_FPS, _VIDEO_FPS = 10.0, 25.0  # of a folder shown as a video, of a video that gives none
_MIN_FPS, _MAX_FPS = 0.01, 600.0  # of an MP4


@dataclass(frozen=True)
class Frame:
    """One image, or one frame of a video.

    Attributes:
        number: counted from 1; of images that are all named by numbers, the number; of those that
            a file of boxes lists, their image_id.
        name: for titles and files, printable.
        image: (h, w, 3) uint8 RGB, upright.
    """

    number: int
    name: str
    image: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) pixels."""
        return self.image.shape[:2]


@dataclass(frozen=True)
class Media:
    """An image, a folder of images or a video, opened but not read.

    Attributes:
        path: the file or folder.
        is_video: the frames are those of one video.
        count: how many frames there are, None where the file does not say.
        fps: frames a second.
        read: reads the frames, anew each time.
        files: the images, in their order; none of a video file.
        notes: remarks for the reader, more of them after reading.
    """

    path: Path
    is_video: bool
    count: int | None
    fps: float
    read: Callable[[], Iterator[Frame]]
    files: Sequence[Path] = ()
    notes: list[str] = field(default_factory=list)

    def frames(self, limit: int | None = None) -> Iterator[Frame]:
        """The frames, one at a time.

        Raises:
            PosekitError: there is none, one cannot be read, or those of a video differ in size.
        """
        size, count = None, 0
        for frame in itertools.islice(self.read(), limit):
            if self.is_video and frame.size != (size := size or frame.size):
                raise PosekitError(
                    f"{self.path}: {frame.name} is {frame.size[1]} x {frame.size[0]} pixels, the "
                    f"frames before it {size[1]} x {size[0]}: unset sequence for separate images"
                )
            count += 1
            yield frame
        if not count:
            raise PosekitError(f"{self.path}: no frame can be read: copy or encode the file again")
        if count < min(n for n in (self.count or count, limit) if n):
            self.notes.append(f"the file promises {self.count} frames, {count} could be read")

    def numbered(self, numbers: Sequence[int]) -> "Media":
        """The same images under other numbers."""
        return replace(self, read=partial(_read_images, self.files, numbers))


def open_media(path: str | os.PathLike, sequence: bool = False) -> Media:
    """Open an image, a folder of images, or a video file.

    Args:
        path: of the file or folder.
        sequence: the images of a folder are the frames of one video. Images come in the order of
            their numbers if numbers name them all, otherwise of their names.

    Raises:
        PosekitError: there is nothing, or nothing that can be read.
    """
    path = Path(os.path.expanduser(path))
    try:
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if _is_image(p) and p.is_file())
            if not files:
                raise PosekitError(f"{path}: no image ({', '.join(IMAGE_SUFFIXES)}) in this folder")
            return _open_images(path, files, sequence)
        if not path.is_file():
            raise PosekitError(f"{path}: there is no such image, folder or video")
        path.open("rb").close()
    except OSError as error:
        raise PosekitError(
            f"{path} cannot be opened ({error.strerror}): name a file or folder that you may read"
        ) from error
    return _open_images(path, [path], False) if _is_image(path) else _open_video(path)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _open_images(path: Path, files: Sequence[Path], is_video: bool) -> Media:
    if numbers := sorted(numbers_of(files)):
        files = sorted(files, key=lambda file: int(file.stem))
    read = partial(_read_images, files, numbers or range(1, len(files) + 1))
    return Media(path, is_video, len(files), _FOLDER_FPS, read, files)


def numbers_of(files: Sequence[Path]) -> list[int]:
    """The numbers that name images; none where not all are named so, or two by the same."""
    numbers = [int(file.stem) for file in files if file.stem.isdecimal()]
    return numbers if len(set(numbers)) == len(files) else []


def _read_images(files: Sequence[Path], numbers: Sequence[int]) -> Iterator[Frame]:
    for number, file in zip(numbers, files, strict=True):
        data = read_file(file, "image", MAX_IMAGE)
        yield Frame(number, readable(file.name), decode(data, str(file), True))


def _open_video(path: Path) -> Media:
    capture, notes = _capture(path), []
    count, fps = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
    count = int(count) if np.isfinite(count) and 0 < count < 1e9 else None
    if not (np.isfinite(fps) and fps > 0):
        fps = _VIDEO_FPS
        notes.append(f"the file does not give its frame rate: {fps:g} a second are assumed")
    return Media(path, True, count, fps, partial(_read_video, path), notes=notes)


def _capture(path: Path) -> cv2.VideoCapture:
    """An open video file; it is closed when nobody holds it any more."""
    capture = cv2.VideoCapture(os.fsencode(path), cv2.CAP_FFMPEG)  # as text, odd names crash it
    if not capture.isOpened():
        raise PosekitError(
            f"{path} is neither an image ({', '.join(IMAGE_SUFFIXES)}) nor a video that OpenCV can "
            "read: copy the file again, or encode it as mp4"
        )
    return capture


def _read_video(path: Path) -> Iterator[Frame]:
    capture = _capture(path)
    for number in itertools.count(1):
        there, image = capture.read()
        if not there:
            return
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        yield Frame(number, f"{readable(path.stem)} frame {number}", image)


def mp4_rate(fps: float) -> float:
    """The frame rate that an MP4 file can hold, 0.01 to 600 with few decimals."""
    return round(min(max(fps, _MIN_FPS), _MAX_FPS), 3 if fps < 60 else 2)


@contextlib.contextmanager
def write_video(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write an MP4 file (MPEG-4 part 2), which appears when it is whole, not after an error.

    Args:
        path: of the file.
        fps: frames a second, of `mp4_rate`.

    Yields:
        A function that appends an image (h, w, 3) RGB of the first one's size; odd sides lose a
        pixel. It raises a PosekitError where the file cannot be written.
    """
    with replacing(path) as partial:
        file, code = cv2.VideoWriter(), cv2.VideoWriter_fourcc(*"mp4v")

        def add(image: np.ndarray) -> None:
            h, w = (side - side % 2 for side in image.shape[:2])
            if not file.isOpened() and not file.open(str(partial), code, fps, (w, h)):
                raise PosekitError(f"cannot write {path}: no room, or OpenCV without mp4v")
            file.write(cv2.cvtColor(image[:h, :w], cv2.COLOR_RGB2BGR))

        try:
            yield add
        finally:
            file.release()
