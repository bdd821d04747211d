"""Boxes of people in a json file in one of COCO's formats, and which pictures they belong to."""

import itertools
import reprlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..errors import PosekitError
from ..files.reading import load_json
from ..geometry.crops import clean_boxes
from .video import Footage, Frame, numbers_of

_PERSON = 1  # category id
_HUGE = 1e15  # no pixel, score or number of an image gets there; NaN is not below it either
Item = TypeVar("Item")


class _Box(NamedTuple):
    """A person's box in a COCO file, x y w h."""

    image: int
    sides: tuple[float, ...]
    score: float


def _box_of(record: Mapping) -> _Box | None:
    """The box of one record; None for a crowd, a person without joints or box, and other things.

    Raises:
        PosekitError: naming the field that holds something else.
    """
    if record.get("iscrowd") or record.get("num_keypoints") == 0:
        return None
    if record.get("category_id", _PERSON) != _PERSON:
        return None
    image, sides = _whole(record, "image_id"), record.get("bbox")
    if sides == []:
        return None
    if not isinstance(sides, list) or len(sides) != 4 or not all(map(_is_number, sides)):
        raise PosekitError(f"has bbox={reprlib.repr(sides)}, not four finite numbers x y w h")
    score = record.get("score", 1.0)
    if not _is_number(score):
        raise PosekitError(f"has score={reprlib.repr(score)}, not a finite number")
    return _Box(image, tuple(map(float, sides)), float(score))


def _image_of(record: Mapping) -> tuple[str, int]:
    """The name of one image's file, without its folders, and its id."""
    return PureWindowsPath(str(record.get("file_name"))).name, _whole(record, "id")


def _whole(record: Mapping, name: str) -> int:
    value = record.get(name)
    if not _is_number(value) or value != int(value):
        raise PosekitError(f"has {name}={reprlib.repr(value)}, not a whole number")
    return int(value)


def _is_number(value: Any) -> bool:
    """Whether a value of a json file is a finite number; huge integers are none either."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _HUGE


def _each(path: Path, kind: str, records: list, read: Callable[[Mapping], Item]) -> Iterator[Item]:
    """What is read of each record of a list; an error names the record."""
    for number, record in enumerate(records):
        try:
            if not isinstance(record, Mapping):
                raise PosekitError(f"is {reprlib.repr(record)}, not a table of fields")
            yield read(record)
        except PosekitError as error:
            raise PosekitError(
                f"{path}: {kind} {number} {error}, so this is no file of COCO annotations or "
                "detections with image_id and bbox: repair the record or write the file again"
            ) from None


class BoxFile:
    """Boxes of a json file in one of COCO's formats, annotations or detections."""

    every = 1

    def __init__(self, path: Path) -> None:
        content = load_json(path)
        truth = isinstance(content, dict)
        records = content.get("annotations") if truth else content
        images = content.get("images", []) if truth else []
        if not isinstance(records, list) or not isinstance(images, list):
            raise PosekitError(
                f"{path}: holds no list of COCO annotations or detections with image_id and bbox: "
                "is this the right file?"
            )
        self.path = path
        self._of: dict[int, list[_Box]] = {}
        for box in filter(None, _each(path, "record", records, _box_of)):
            self._of.setdefault(box.image, []).append(box)
        self._ids: dict[str, list[int]] = {}
        for name, number in _each(path, "image", images, _image_of):
            self._ids.setdefault(name, []).append(number)
        count = sum(map(len, self._of.values()))
        self.about = f"{count} {'annotated' if truth else 'detected'} boxes of {path.name}"

    def numbered(self, footage: Footage) -> Footage:
        """The footage with its pictures numbered by their image_id.

        That is the id under which the file lists a picture, or else the number that names it.

        Raises:
            PosekitError: the file does not tell which picture is which image.
        """
        files, ids = footage.files, [self._ids.get(file.name, []) for file in footage.files]
        listed = [*itertools.chain(*ids)]
        if not listed and (not files or numbers_of(files)):
            return footage
        if not listed and len(files) == len(self._of) == 1:
            return footage.numbered([*self._of])
        if not listed:
            raise PosekitError(
                f"{self.path} does not tell which of its images is {files[0].name}: name pictures "
                "by their image_id, such as 7.png, or list them in the file under `images`, beside "
                "`annotations`, each with its id and file_name"
            )
        if len(set(listed)) < len(listed) or max(map(len, ids)) > 1:
            raise PosekitError(
                f"{self.path} lists two images by the name or the id of one picture of "
                f"{footage.path}: leave one of them in the file"
            )
        if unlisted := ids.count([]):
            about = f"nobody is looked for in pictures that {self.path.name} does not list"
            footage.notes.append(f"{about}: {unlisted:,} of {len(files):,}")
        fresh = itertools.count(1 + max([*listed, *self._of]))
        return footage.numbered([some[0] if some else next(fresh) for some in ids])

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `people.Boxes`; a frame that the file does not know has nobody in it."""
        found = self._of.get(frame.number, [])
        boxes = np.array([box.sides for box in found], float).reshape(-1, 4)
        scores = np.array([box.score for box in found], float)
        boxes, kept = clean_boxes(boxes, np.broadcast_to(frame.size, (len(boxes), 2)))
        return boxes[kept], scores[kept]
