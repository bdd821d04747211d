"""Percentage of correct keypoints (PCK).

A joint is correct when its distance to the ground truth is at most `threshold` times a reference
length of that person (not more: the border counts). Joints that are not counted under a protocol
change nothing. A prediction that is NaN is wrong. Numbers are percentages; `Mean` is correct /
counted over all counted joints; a column such as Knee is the mean of its joints' percentages.

The protocol of a data set, its reference length included, is in its specification in `data`.
The lenient definitions of MobilePose-master are in `mobilepose`.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import PosekitError
from ..geometry.skeletons import Skeleton
from .score import Protocol, Score


def hits(predicted: NDArray, truth: NDArray, reference: NDArray, threshold: float) -> NDArray:
    """Which joints are within `threshold` of the reference length.

    Args:
        predicted: (N, K, 2), same pixels as `truth`.
        truth: (N, K, 2).
        reference: (N,) pixels.
        threshold: fraction of the reference length.

    Returns:
        (N, K) bool.
    """
    distance = np.linalg.norm(np.asarray(predicted, float) - np.asarray(truth, float), axis=-1)
    return distance <= threshold * np.asarray(reference, float)[:, None]


def pck_score(
    protocol: Protocol, predicted: NDArray, truth: NDArray, visible: NDArray, reference: NDArray
) -> Score:
    """Score keypoints under a data set's official protocol.

    Args:
        protocol: of the data set.
        predicted: (N, K, 2) in the data set's joint order and the truth's pixels.
        truth: (N, K, 2).
        visible: (N, K) bool, joints that are annotated.
        reference: (N,) reference length in pixels.

    Raises:
        PosekitError: shapes disagree, or a reference length is missing.
    """
    if np.shape(predicted) != np.shape(truth):
        raise PosekitError(
            f"{protocol.dataset}: predictions of shape {np.shape(predicted)}, but the ground truth "
            f"has {np.shape(truth)} (people, joints in the order of "
            f'posekit.skeleton("{protocol.skeleton.name}"), x y)'
        )
    if not (np.isfinite(reference).all() and (np.asarray(reference) > 0).all()):
        raise PosekitError(
            f"{protocol.dataset}: {protocol.name} needs a positive reference length a person"
        )
    counted = visible.copy()
    counted[:, protocol.skeleton.index(*protocol.unscored)] = False
    extra = {
        name: _mean(100 * hits(predicted, truth, reference, threshold)[counted])
        for name, threshold in protocol.extra_thresholds.items()
    }
    correct = hits(predicted, truth, reference, protocol.threshold)
    names = protocol.name, protocol.sentence
    return score_of_hits(correct, counted, protocol.skeleton, *names, extra)


def score_of_hits(
    correct: NDArray,
    counted: NDArray,
    skeleton: Skeleton,
    metric: str,
    sentence: str,
    extra: dict[str, float] | None = None,
) -> Score:
    """Sum up which joints (N, K) of a skeleton are correct, over those that are counted (N, K)."""
    correct, n = correct & counted, counted.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        percent = 100 * correct.sum(0) / n
    columns = {
        group: _mean(percent[skeleton.index(*joints)]) for group, joints in skeleton.groups.items()
    }
    mean = 100 * correct.sum() / n.sum() if n.sum() else float("nan")
    joints = dict(zip(skeleton.joints, percent.tolist(), strict=True))
    return Score(float(mean), columns, metric, sentence, len(counted), extra or {}, joints)


def _mean(values: NDArray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")
