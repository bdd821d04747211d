"""Penn Action: 2326 videos of sports, 13 joints a frame.

Facts of the files: x and y may be uint8 or uint16 (arithmetic on them wraps), the last row of bbox
is absent in two files and some boxes are a point, `train` is 1 or -1, `nframes` and `dimensions`
are not to be trusted. Frames are images in frames/ or in two LMDB stores.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.cache import cached
from ..files.reading import check_shape, load_mat
from ..files.words import few
from ..geometry.crops import keypoint_box
from ..geometry.skeletons import PENN_ACTION
from ..metrics.mobilepose import penn_test
from ..metrics.pck import pck_score
from ..metrics.score import Protocol, Score
from .annotations import Annotations, Folder, ImageSource
from .dataset import DataSet, Sample, dataset
from .frame_store import STORES, FrameStore
from .sample.penn_action import write_penn_action
from .scoring import PckScorer, numbers

_FIELDS = ("x", "y", "visibility", "bbox", "train")
_COLUMNS = ("sequence", "frame", "train", "keypoints", "visible", "boxes")
_CACHE_VERSION = 1


def read(folder: Path, split: str, source: str) -> Annotations:
    """The rows of one split, sorted by sequence and frame; images are not looked at.

    MATLAB's 1 is subtracted from coordinates and boxes: adding 1 gives the files' own again. The
    reference length is the longer side of the box.

    Args:
        folder: with labels/ and frames/ or the two LMDB stores.
        split: train or test, as the label files say.
        source: real or sample.
    """
    columns = _labels(folder)
    if (folder / "frames").is_dir():
        _check_every_clip_has_labels(folder, columns["sequence"])
    rows = columns["train"] == (split == "train")
    sequence, frame, boxes = (columns[name][rows] for name in ("sequence", "frame", "boxes"))
    pairs = zip(sequence.tolist(), frame.tolist(), strict=True)
    return Annotations(
        dataset="PennAction",
        split=split,
        source=source,
        skeleton=PENN_ACTION,
        keypoints=(columns["keypoints"][rows] - 1).astype(np.float32),
        visible=columns["visible"][rows],
        boxes=(boxes - 1).astype(np.float32),
        reference=_longer_side(boxes).astype(np.float32),
        sequence=sequence,
        frame=frame,
        group=sequence,
        image=np.array([f"{s:04d}/{f:06d}.jpg" for s, f in pairs], str),
        images=_images(folder, split),
    )


def labels(root: Path) -> dict[str, np.ndarray]:
    """The labels of all frames in the files' own 1-based coordinates; frames need not be there.

    Args:
        root: the data root, the folder that holds PennAction.

    Returns:
        Columns of N frames: sequence (N,) and frame (N,) int32, train (N,) bool, keypoints
        (N, 13, 2) and boxes (N, 4) float64 in 1-based pixels with boxes repaired, visible (N, 13).
    """
    return _labels(dataset("PennAction").need(root))


def actions(folder: Path, sequences: Iterable[int]) -> list[str]:
    """What is done in each of some sequences, as the label files say; empty where they do not."""
    from scipy.io import loadmat

    found = []
    for sequence in sequences:
        path = folder / "labels" / f"{sequence:04d}.mat"
        try:
            word = loadmat(path, variable_names=["action"]).get("action", "")
        except Exception as error:  # scipy has no common exception for damaged files
            raise PosekitError(
                f"{path} is not a readable MATLAB file ({error}): copy it again"
            ) from error
        found.append("".join(np.ravel(word).astype(str).tolist()).strip())
    return found


def _images(folder: Path, split: str) -> ImageSource:
    store = folder / STORES[split]
    if store.exists() and not (folder / "frames").is_dir():
        return FrameStore(store)
    return Folder(folder / "frames")


def _check_every_clip_has_labels(folder: Path, sequence: np.ndarray) -> None:
    clips = {n for n in os.listdir(folder / "frames") if re.fullmatch(r"\d{4}", n)}
    without = sorted(clips - {f"{s:04d}" for s in np.unique(sequence)})
    if without:
        raise PosekitError(
            f"{folder / 'labels'} lacks .mat files for frames/ {few(without)}: copy them there"
        )


def _labels(folder: Path) -> dict[str, np.ndarray]:
    files = _label_files(folder / "labels")
    return cached(
        "penn_action",
        folder,
        (_CACHE_VERSION, files),
        _COLUMNS,
        lambda: _read_labels([path for path, *_ in files]),
    )


def _label_files(folder: Path) -> list[tuple[Path, int, int]]:
    if not folder.is_dir():
        raise PosekitError(f"{folder} is missing: copy the labels of Penn Action there")
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(r"\d{4}\.mat", entry.name):
                stat = entry.stat()
                files.append((Path(entry.path), stat.st_size, stat.st_mtime_ns))
    if not files:
        raise PosekitError(f"{folder} holds no label such as 0001.mat: copy the labels there")
    return sorted(files)


def _read_labels(paths: list[Path]) -> dict[str, np.ndarray]:
    clips = [_read_clip(path) for path in paths]
    counts = [len(clip["keypoints"]) for clip in clips]
    columns = {
        name: np.concatenate([clip[name] for clip in clips])
        for name in ("keypoints", "visible", "boxes")
    }
    columns["sequence"] = np.repeat([int(path.stem) for path in paths], counts).astype(np.int32)
    columns["frame"] = np.concatenate([np.arange(1, n + 1, dtype=np.int32) for n in counts])
    columns["train"] = np.repeat([clip["train"] for clip in clips], counts)
    return columns


def _read_clip(path: Path) -> dict[str, np.ndarray]:
    fields = load_mat(path, _FIELDS)
    x, y, visible, boxes = (fields[name].astype(float) for name in _FIELDS[:4])
    check_shape(x, (None, len(PENN_ACTION)), path, "field x")
    for name in ("y", "visibility"):
        check_shape(fields[name], x.shape, path, f"field {name}")
    if not np.isin(visible, (0, 1)).all():
        raise PosekitError(f"{path}: field visibility holds values other than 0 and 1")
    if len(boxes) == len(x) - 1:
        boxes = np.concatenate([boxes, boxes[-1:]])
    check_shape(boxes, (len(x), 4), path, "field bbox")
    train = fields["train"].astype(float).ravel()
    if train.tolist() not in ([1], [-1]):
        raise PosekitError(f"{path}: field train is {train.tolist()} instead of 1 or -1")
    keypoints = np.stack([x, y], -1)
    visible = visible == 1
    boxes = _repair(boxes, keypoints, visible, path)
    return {"keypoints": keypoints, "visible": visible, "boxes": boxes, "train": train[0] > 0}


def _repair(
    boxes: np.ndarray, keypoints: np.ndarray, visible: np.ndarray, path: Path
) -> np.ndarray:
    """Replace boxes that locate nobody: a point (frames with one visible joint) or inside out.

    The extent of the frame's visible joints takes their place; where that is a point too, the box
    of the nearest frame does, the earlier of two.

    Args:
        boxes: (n, 4) of one clip, in frame order.
        keypoints: (n, 13, 2).
        visible: (n, 13).
        path: named in errors.

    Raises:
        PosekitError: no frame of the clip has a box or two visible joints.
    """
    good = _locates(boxes)
    if good.all():
        return boxes
    boxes = np.where(good[:, None], boxes, keypoint_box(keypoints, visible))
    good = np.flatnonzero(_locates(boxes))
    if not len(good):
        raise PosekitError(f"{path}: no row of field bbox is a box: copy the file again")
    nearest = np.abs(np.arange(len(boxes))[:, None] - good).argmin(1)
    return boxes[good[nearest]]


def _locates(boxes: np.ndarray) -> np.ndarray:
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides.max(-1) > 1) & (sides.min(-1) >= 0)


def _longer_side(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).max(-1)


class _Scorer(PckScorer):
    def score_predictions(
        self, spec: DataSet, predictions: Any, split: str | None, root: Path
    ) -> Score:
        """Score a mapping of sequence id to (n, 13, 2); without a split, those that are given."""
        columns = labels(root)
        if not isinstance(predictions, Mapping):
            raise PosekitError("Penn Action predictions are a mapping of sequence id to (n, 13, 2)")
        given = {}
        for key, value in predictions.items():
            if not str(key).isdecimal():
                raise PosekitError(f"Penn Action predictions: {key!r} is no sequence id")
            given[int(key)] = numbers(f"Penn Action sequence {key}", value)
        in_split = columns["train"] == (split == "train") if split else columns["sequence"] > 0
        known = np.unique(columns["sequence"][in_split]).tolist()
        _check_sequences(given, known, split)
        rows = np.isin(columns["sequence"], list(given))
        columns = {name: values[rows] for name, values in columns.items()}
        for key, value in given.items():
            shape = columns["keypoints"][columns["sequence"] == key].shape
            if value.shape != shape:
                raise PosekitError(
                    f"Penn Action sequence {key:04d}: predictions of shape {value.shape}, labels "
                    f"have {shape}"
                )
        result = pck_score(
            self.protocol,
            np.concatenate([given[key] for key in sorted(given)]),
            columns["keypoints"],
            columns["visible"],
            _longer_side(columns["boxes"]),
        )
        over = f"over the {len(given)} sequences given of {len(known)} labelled"
        return result if split else replace(result, protocol=f"{result.protocol}; {over}")

    def official(self, people: Annotations, keypoints: np.ndarray) -> dict[str, np.ndarray]:
        """One array (n, 13, 2) a sequence, named by its id."""
        sequences = np.unique(people.sequence).tolist()
        return {f"{s:04d}": keypoints[people.sequence == s] for s in sequences}

    def mobilepose(
        self, found: np.ndarray, truth: np.ndarray, visible: np.ndarray, side: float
    ) -> Score:
        return penn_test(found, truth, visible, np.full(len(found), side))


def _check_sequences(given: Iterable[int], known: list[int], split: str | None) -> None:
    strange = sorted(set(given) - set(known))
    if strange:
        raise PosekitError(
            f"Penn Action {split or 'labels'}: no labels for the predicted sequences {strange[:5]}"
        )
    lacking = sorted(set(known) - set(given))
    if (split and lacking) or not given:
        raise PosekitError(
            f"Penn Action {split or ''}: {len(lacking)} sequences have no prediction, among them "
            f"{lacking[:5]}"
        )


SPEC = DataSet(
    name="PennAction",
    folder="PennAction",
    page="http://dreamdragon.github.io/PennAction/",
    download="frames/ and labels/",
    skeleton=PENN_ACTION,
    read=read,
    scorer=_Scorer(
        Protocol(
            dataset="PennAction",
            name="PCK@0.2 box",
            skeleton=PENN_ACTION,
            threshold=0.2,
            sentence="PCK@0.2 of the longer side of the annotated person box, 13 joints, visible "
            "ones only",
        ),
        origin=1.0,
    ),
    unit="sequences",
    video=True,
    published={"train": 1258, "test": 1068},
    labels=("labels/*",),
    sample=Sample(write_penn_action, size=(560, 80), smoke_size=(10, 5)),
)
