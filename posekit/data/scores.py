"""Scores of predictions: of a network's clips, of files made by anything, of a run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PosekitError
from ..files.places import data_root
from ..files.reading import load_json
from ..geometry.skeletons import POSE_MACHINE, convert
from ..metrics.score import Score
from . import load
from .annotations import Annotations
from .clips import Clips
from .dataset import DataSet, EmptySplit, dataset
from .predictions import (
    FILE,
    PredictionTable,
    prediction_table,
    read_predictions,
    write_predictions,
)
from .sample import ensure_sample
from .scoring import Poses


def poses_of(
    clips: Clips, keypoints: np.ndarray, scores: np.ndarray, soft_nms: bool = False
) -> Poses:
    """Predictions (N, K, 2) and (N, K) of every row, in the joints of the data set."""
    areas = clips.framing.areas(clips.sides)[clips.clip_of_row]
    ours = _converted(keypoints, clips.skeleton, clips.people)
    return Poses(ours, scores, areas=areas, soft_nms=soft_nms)


def official_score(clips: Clips, poses: Poses, root: Path | None = None) -> Score:
    """Score predictions under the data set's own protocol.

    Args:
        clips: the split.
        poses: of every row.
        root: the data root, for protocols that read files of the data set.
    """
