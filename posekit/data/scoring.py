"""PCK: the scorer of most data sets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..metrics.pck import hits, pck_score
from ..metrics.score import Protocol, Score
from .annotations import Annotations
from .dataset import DataSet, NoScore, Scorer
from .predictions import Predictions, numbers, save_arrays


class Truth(NamedTuple):
    """The ground truth of the test split in the coordinates of the data set's own files.

    Attributes:
        keypoints: (N, K, 2) float64 pixels.
        visible: (N, K) bool, the joint is annotated.
        reference: (N,) pixels, the length that PCK divides by.
    """

    keypoints: np.ndarray
    visible: np.ndarray
    reference: np.ndarray


@dataclass(frozen=True)
class PckScorer(Scorer):
    """PCK: a joint is correct within a fraction of a reference length of the person.

    Attributes:
        protocol: threshold, joints and sentence.
        truth: data root -> ground truth of the test split in the coordinates of the data set's own
            files; None where they are those of `Annotations`.
        origin: the centre of the first pixel in these coordinates.
    """

    protocol: Protocol
    truth: Callable[[Path], Truth] | None = None
    origin: float = 0.0

    @property
    def name(self) -> str:
        return self.protocol.name

    def score(self, people: Annotations, found: Predictions, root: Path | None = None) -> Score:
        known = people.reference > 0  # False for NaN: training annotations may lack a reference
        if not known.any():
            why = "; ".join(people.notes) or f"copy the label files of {people.dataset} again"
            raise NoScore(f"no score: nobody has a reference length: {why}")
        columns = (found.keypoints, people.keypoints, people.visible, people.reference)
        result = pck_score(self.protocol, *(column[known] for column in columns))
        if known.all():
            return result
        lost = f"{(~known).sum()} people without a reference length left out"
        return replace(result, protocol=f"{result.protocol}; {lost}")

    def points(self, people: Annotations, keypoints: np.ndarray) -> np.ndarray:
        right = hits(keypoints, people.keypoints, people.reference, self.protocol.threshold)
        scored = ~np.isin(people.skeleton.joints, self.protocol.unscored)
        return np.where(scored, 100.0 * right, np.nan)

    def score_given(self, spec: DataSet, given: Any, split: str | None, root: Path) -> Score:
        if self.truth is None:
            return super().score_given(spec, given, split, root)
        found = numbers(f"{spec.name} predictions", given)
        return pck_score(self.protocol, found, *self.truth(root))

    def save(self, folder: Path, people: Annotations, found: Predictions) -> Path:
        path = folder / f"{self.protocol.dataset.lower()}_predictions.npz"
        save_arrays(path, self.official(people, found.keypoints + self.origin))
        return path

    def official(self, people: Annotations, keypoints: np.ndarray) -> Mapping[str, np.ndarray]:
        """The arrays of the prediction file, of keypoints in the files' own coordinates."""
        return {"predictions": keypoints, "image_id": people.image_id}
