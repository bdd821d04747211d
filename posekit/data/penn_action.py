"""Penn Action: 2326 videos of sports, 13 joints a frame.

Facts of the files: x and y may be uint8 or uint16 (arithmetic on them wraps), the last row of bbox
is absent in two files and some boxes are a point, `train` is 1 or -1, `nframes` and `dimensions`
are not to be trusted. Frames are images in frames/ or in two LMDB stores.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.reading import check_shape, load_mat, reading
from ..files.words import few
from ..files.writing import cached
from ..geometry.crops import keypoint_box
from ..geometry.skeletons import PENN_ACTION
from ..metrics.mobilepose import penn_test
from ..metrics.pck import pck_score
from ..metrics.score import Protocol, Score
from .annotations import Annotations, Folder
from .dataset import SPLITS, DataSet, Sample
from .frame_store import STORES, FrameStore
from .predictions import numbers
from .sample.writers import write_penn_action
from .scoring import PckScorer

_FIELDS = ("x", "y", "visibility", "bbox", "train")


def read(folder: Path, split: str) -> dict[str, Any]:
    """The columns of one split, sorted by sequence and frame; images are not looked at.

    MATLAB's 1 is subtracted from coordinates and boxes: adding 1 gives the files' own again. The
    reference length is the longer side of the box.

    Args:
        folder: with labels/ and frames/ or the two LMDB stores.
        split: train or test, as the label files say.
    """
    columns = labels(folder)
    frames, store = folder / "frames", folder / STORES[split]
    if frames.is_dir():
        clips = {name for name in os.listdir(frames) if re.fullmatch(r"\d{4}", name)}
        if without := sorted(clips - {f"{s:04d}" for s in np.unique(columns["sequence"])}):
            problem = f"lacks .mat files for frames/ {few(without)}"
            raise PosekitError(f"{folder / 'labels'} {problem}: copy them there")
    rows = columns["train"] == (split == "train")
    sequence, frame, boxes = (columns[name][rows] for name in ("sequence", "frame", "boxes"))
    pairs = zip(sequence.tolist(), frame.tolist(), strict=True)
    return {
        "keypoints": (columns["keypoints"][rows] - 1).astype(np.float32),
        "visible": columns["visible"][rows],
        "boxes": (boxes - 1).astype(np.float32),
        "reference": _longer_side(boxes).astype(np.float32),
        "sequence": sequence,
        "frame": frame,
        "group": sequence,
        "image": np.array([f"{s:04d}/{f:06d}.jpg" for s, f in pairs], str),
        "images": Folder(frames) if frames.is_dir() or not store.exists() else FrameStore(store),
    }


def labels(folder: Path) -> dict[str, np.ndarray]:
    """The labels of all frames in the files' own 1-based coordinates; frames need not be there.

    Returns:
        Columns of N frames: sequence (N,) and frame (N,) int32, train (N,) bool, keypoints
        (N, 13, 2) and boxes (N, 4) float64 in 1-based pixels with boxes repaired, visible (N, 13).
    """
    files = sorted(folder.glob("labels/[0-9][0-9][0-9][0-9].mat"))
    if not files:
        raise PosekitError(f"{folder / 'labels'} holds no label such as 0001.mat: copy them there")

    def read_all() -> dict[str, np.ndarray]:
        clips = [_read_clip(path) for path in files]
        return {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]}

    return cached("penn_action", folder, 1, files, read_all)


def actions(folder: Path, sequences: Iterable[int]) -> list[str]:
    """What is done in each of some sequences, as the label files say; empty where they do not."""
    from scipy.io import loadmat

    found = []
    for sequence in sequences:
        path = folder / "labels" / f"{sequence:04d}.mat"
        with reading(path, "a readable MATLAB file"):
            word = loadmat(path, variable_names=["action"]).get("action", "")
        found.append("".join(np.ravel(word).astype(str).tolist()).strip())
    return found


def _read_clip(path: Path) -> dict[str, np.ndarray]:
    x, y, visible, boxes, train = (v.astype(float) for v in load_mat(path, _FIELDS).values())
    check_shape(x, (None, len(PENN_ACTION)), path, "field x")
    for name, values in (("y", y), ("visibility", visible)):
        check_shape(values, x.shape, path, f"field {name}")
    if not np.isin(visible, (0, 1)).all():
        raise PosekitError(f"{path}: field visibility holds values other than 0 and 1")
    if len(boxes) == len(x) - 1:
        boxes = np.concatenate([boxes, boxes[-1:]])
    check_shape(boxes, (len(x), 4), path, "field bbox")
    if train.ravel().tolist() not in ([1], [-1]):
        raise PosekitError(f"{path}: field train is {train.ravel().tolist()} instead of 1 or -1")
    keypoints = np.stack([x, y], -1)
    return {
        "sequence": np.full(len(x), int(path.stem), np.int32),
        "frame": np.arange(1, len(x) + 1, dtype=np.int32),
        "train": np.full(len(x), train.item() > 0),
        "keypoints": keypoints,
        "visible": visible == 1,
        "boxes": _repair(boxes, keypoints, visible == 1, path),
    }


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
    splits = SPLITS

    def score_given(self, spec: DataSet, given: Any, split: str | None, root: Path) -> Score:
        """Score a mapping of sequence id to (n, 13, 2); without a split, those that are given."""
        columns = labels(spec.need(root))
        if not isinstance(given, Mapping):
            raise PosekitError("Penn Action predictions are a mapping of sequence id to (n, 13, 2)")
        if strange := [key for key in given if not str(key).isdecimal()]:
            raise PosekitError(f"Penn Action predictions: {strange[0]!r} is no sequence id")
        given = {int(k): numbers(f"Penn Action sequence {k}", v) for k, v in given.items()}
        in_split = columns["train"] == (split == "train") if split else columns["sequence"] > 0
        lengths = Counter(columns["sequence"][in_split].tolist())
        _check_predictions(given, lengths, split)
        rows = np.isin(columns["sequence"], list(given))
        result = pck_score(
            self.protocol,
            np.concatenate([given[key] for key in sorted(given)]),
            columns["keypoints"][rows],
            columns["visible"][rows],
            _longer_side(columns["boxes"][rows]),
        )
        over = f"over the {len(given)} sequences given of {len(lengths)} labelled"
        return result if split else replace(result, protocol=f"{result.protocol}; {over}")

    def official(self, people: Annotations, keypoints: np.ndarray) -> dict[str, np.ndarray]:
        """One array (n, 13, 2) a sequence, named by its id."""
        sequences = np.unique(people.sequence).tolist()
        return {f"{s:04d}": keypoints[people.sequence == s] for s in sequences}

    def mobilepose(self, *joints: np.ndarray, side: float) -> Score:
        return penn_test(*joints, np.array([side]))


def _check_predictions(
    given: dict[int, np.ndarray], lengths: dict[int, int], split: str | None
) -> None:
    """Refuse predictions of other sequences or lengths, and a split that is not complete."""
    where = f"Penn Action {split or 'labels'}"
    if strange := sorted(given.keys() - lengths):
        raise PosekitError(f"{where}: no labels for the predicted sequences {strange[:5]}")
    lacking = sorted(lengths.keys() - given)
    if (split and lacking) or not given:
        count = f"{len(lacking)} sequences have no prediction"
        raise PosekitError(f"{where}: {count}, among them {lacking[:5]}")
    for key, found in given.items():
        shape = lengths[key], len(PENN_ACTION), 2
        if found.shape != shape:
            problem = f"predictions of shape {found.shape}, labels have {shape}"
            raise PosekitError(f"Penn Action sequence {key:04d}: {problem}")


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
