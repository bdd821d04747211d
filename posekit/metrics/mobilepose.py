"""MobilePose-master's own definitions of PCK, kept to quote its tables beside the same definition.

| definition         | reference length                            | counted                       |
|--------------------|---------------------------------------------|-------------------------------|
| MobilePose-master  | extent of the truth *and the map's origin*  | visible; not the neck         |
| PENN_test.m        | longer side of a padded box in the 256 crop | visible                       |

Both are lenient and must not be compared with the official protocols of `pck`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry.skeletons import PENN_ACTION, POSE_MACHINE
from .pck import hits, score_of_hits
from .score import Score

PENN_TEST_ORDER = POSE_MACHINE.index("head_top", *PENN_ACTION.joints[1:])


def mobilepose_pck(
    predicted: NDArray, truth: NDArray, visible: NDArray, threshold: float = 0.2
) -> Score:
    """MobilePose-master's training and validation PCK (its utils/evaluation).

    The reference length is the longer side of the extent of the true joints *and the point (0, 0)*,
    because its always-empty background channel decodes to the map's origin: the further a person
    stands from the crop's corner, the more is forgiven.

    Args:
        predicted: (N, 14, 2) in pose-machine order, pixels or cells of the crop.
        truth: (N, 14, 2), same units.
        visible: (N, 14) bool.
        threshold: fraction of the reference length.
    """
    extent = (np.maximum(truth.max(1), 0) - np.minimum(truth.min(1), 0)).max(-1)
    counted = visible.astype(bool).copy()
    counted[:, POSE_MACHINE.index("neck")] = False
    sentence = (
        "MobilePose-master's lenient PCK@0.2: extent of the true joints and the crop's origin, "
        "visible joints without neck; not comparable with any PCK named otherwise"
    )
    correct = hits(predicted, truth, extent, threshold)
    return score_of_hits(correct, counted, POSE_MACHINE, "MobilePose-master PCK", sentence)


def penn_test(
    predicted: NDArray,
    truth: NDArray,
    visible: NDArray,
    box_side: NDArray,
    order: Sequence[int] = PENN_TEST_ORDER,
) -> Score:
    """MobilePose-master's PENN_test.m on Penn Action.

    Args:
        predicted: (N, 14, 2) in pose-machine order, pixels of the crop.
        truth: (N, 14, 2).
        visible: (N, 14) bool.
        box_side: (N,) longer side of its box in the crop: padded and rescaled, it is always the
            crop's own side, so that the threshold is 51.2 of 256 pixels.
        order: joint behind each printed column; the repository's own scores the neck and skips
            the right knee.
    """
    index = list(order)
    sentence = (
        "PENN_test.m of MobilePose-master: 0.2 of the padded box's longer side (51.2 of 256 crop "
        "pixels), visible joints; not comparable with PCK@0.2 of the annotated box"
    )
    correct = hits(predicted[:, index], truth[:, index], box_side, 0.2)
    counted = visible.astype(bool)[:, index]
    return score_of_hits(correct, counted, PENN_ACTION, "PENN_test.m", sentence)
