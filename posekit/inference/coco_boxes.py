"""Boxes of people in a json file of COCO's annotations or detections, and their images."""

import itertools
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.reading import column, id_column, load_json
from ..geometry.crops import clean_boxes
from ..metrics.coco_ap import PERSON
from .media import Frame, Media, numbers_of

# In place of a record that is no person, so that errors count the records of the file.
_IGNORED = {"image_id": 0, "bbox": (0, 0, 0, 0), "score": 0}


class CocoBoxes:
    """A source of boxes: those of a json file in one of COCO's formats.

    Raises:
        PosekitError: the file is no such file, or a record of it is damaged.
    """

    every = 1

    def __init__(self, path: Path) -> None:
        content = load_json(path)
        annotated = self._annotated = isinstance(content, dict)
        records = _records(path, content.get("annotations") if annotated else content)
        images = _records(path, content.get("images", []) if annotated else [])
        counted = np.array([_is_person(record) for record in records], bool)
        people = [
            {"score": 1.0, **record} if person else _IGNORED
            for record, person in zip(records, counted.tolist(), strict=True)
        ]
        self.path = path
        self._image = id_column(path, people, "image_id")[counted]
        self._boxes = column(path, people, "bbox", (4,))[counted]
        self._scores = column(path, people, "score", ())[counted]
        self._ids: dict[str, list[int]] = {}  # file name -> image ids
        for record, number in zip(images, id_column(path, images, "id", "image"), strict=True):
            name = PureWindowsPath(str(record.get("file_name"))).name
            self._ids.setdefault(name, []).append(int(number))
        kind = "annotated" if annotated else "detected"
        self.about = f"{counted.sum()} {kind} boxes of {path.name}"

    def number_images(self, media: Media) -> Media:
        """The media with its images numbered by their image_id.

        That is the id under which the file lists an image, or else the number that names it.

        Raises:
            PosekitError: the file does not say which image is which.
        """
        files, known = media.files, np.unique(self._image).tolist()
        ids = [self._ids.get(file.name, []) for file in files]
        listed = [*itertools.chain(*ids)]
        if not listed:
            if not files or numbers_of(files):
                return media
            if len(files) == len(known) == 1:
                return media.numbered(known)
            raise PosekitError(
                f"{self.path} does not say which of its images is {files[0].name}: name images by "
                "their image_id, such as 7.png, or list them in the file under `images`, beside "
                "`annotations`, each with its id and file_name"
            )
        if len(set(listed)) < len(listed) or max(map(len, ids)) > 1:
            raise PosekitError(
                f"{self.path} lists two images by the name or the id of one image of "
                f"{media.path}: leave one of them in the file"
            )
        if unlisted := ids.count([]):
            media.notes.append(
                f"{unlisted:,} of {len(files):,} images have no people: {self.path.name} does not "
                "list them"
            )
        unused = itertools.count(1 + max([*listed, *known]))
        return media.numbered([own[0] if own else next(unused) for own in ids])

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `BoxSource`; a frame that the file does not know has nobody in it.

        Annotated boxes are cut to the image and detected ones are not, as COCO's readers have it.
        """
        rows = self._image == frame.number
        given = self._boxes[rows]
        boxes, inside = clean_boxes(given, np.tile(frame.size, (rows.sum(), 1)))
        if not self._annotated:
            low, size = np.split(given, 2, axis=1)
            boxes, inside = np.concatenate([low, low + size], 1), inside & (size > 0).all(1)
        return boxes[inside], self._scores[rows][inside]


def _records(path: Path, records: Any) -> list[dict]:
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise PosekitError(
            f"{path}: holds no list of COCO annotations or detections with image_id and bbox: "
            "is this the right file?"
        )
    return records


def _is_person(record: dict) -> bool:
    """False for a crowd, a person without joints or box, and other categories."""
    return (
        not record.get("iscrowd")
        and record.get("num_keypoints") != 0
        and record.get("category_id", PERSON) == PERSON
        and record.get("bbox") != []
    )
