"""Scores of predicted keypoints. Every convention is stated here.

PCK family: a joint is correct when its distance to the ground truth is at most `threshold` times a
reference length of that person (not more: the border counts). Joints that are not counted under a
protocol change nothing. A prediction that is NaN is wrong. Percentages; `Mean` is correct / counted
over all counted joints; a column such as Knee is the mean of its joints' percentages.

| protocol           | reference length                            | counted                       |
|--------------------|---------------------------------------------|-------------------------------|
| LSP PCK@0.2 torso  | right hip to left shoulder of the truth     | all 14 joints, occluded or not|
| MPII PCKh@0.5      | 0.6 x diagonal of the annotated head box    | annotated; not pelvis, thorax |
| Penn PCK@0.2 box   | longer side of the annotated person box     | visible                       |
| MobilePose-master  | extent of the truth *and the map's origin*  | visible; not the neck         |
| PENN_test.m        | longer side of a padded box in the 256 crop | visible                       |

The last two are MobilePose-master's own and lenient: they exist to quote its tables beside the
same definition, and must not be compared with the others.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import PosekitError
from ..geometry.skeletons import LSP, MPII, PENN_ACTION, POSE_MACHINE, Skeleton

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Protocol:
    """How a data set is scored officially.

    Attributes:
        name: the metric as tables name it.
        skeleton: the joints that are scored.
        threshold: fraction of the reference length.
        sentence: the protocol in one sentence.
        unscored: joints left out of every number.
    """

    name: str
    skeleton: Skeleton
    threshold: float
    sentence: str
    unscored: tuple[str, ...] = ()


PROTOCOLS = {
    "LSP": Protocol(
        "PCK@0.2 torso", LSP, 0.2,
        "PCK@0.2 of the distance right hip to left shoulder, person-centric, all 14 joints",
    ),
    "MPII": Protocol(
        "PCKh@0.5", MPII, 0.5,
        "PCKh@0.5 of 0.6 times the head box diagonal, annotated joints, pelvis and thorax left out",
        unscored=("pelvis", "thorax"),
    ),
    "PennAction": Protocol(
        "PCK@0.2 box", PENN_ACTION, 0.2,
        "PCK@0.2 of the longer side of the annotated person box, 13 joints, visible ones only",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Score:
    """A score and what it means.

    Attributes:
        mean: the headline, percent for the PCK family, COCO's AP as 0..1.
        per_joint: column -> percent: Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle; for COCO the
            ten numbers of pycocotools.
        metric: the metric as tables name it.
        protocol: one sentence that defines the numbers.
        n_people: people (frames of people) scored.
        extra: numbers under further definitions, each named by its key.
    """

    mean: float
    per_joint: dict[str, float]
    metric: str
    protocol: str
    n_people: int
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """What `mean` is called: AP on COCO, else Mean."""
        return "AP" if "AP" in self.per_joint else "Mean"

    @property
    def values(self) -> dict[str, float]:
        """Every column with its number, the headline among them."""
        return self.per_joint | {self.headline: self.mean} | self.extra

    def table(self) -> "pd.DataFrame":
        """One row: the columns of `values`, and the metric's name."""
        import pandas as pd

        return pd.DataFrame([{**self.values, "metric": self.metric}])


def hits(
    predicted: np.ndarray, truth: np.ndarray, reference: np.ndarray, threshold: float
) -> np.ndarray:
    """Which joints are within `threshold` of the reference length.

    Args:
        predicted: (N, K, 2), same pixels as `truth`.
        truth: (N, K, 2).
        reference: (N,) pixels.

    Returns:
        (N, K) bool.
    """
    distance = np.linalg.norm(np.asarray(predicted, float) - np.asarray(truth, float), axis=-1)
    return distance <= threshold * np.asarray(reference, float)[:, None]


def pck_score(
    dataset: str,
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    reference: np.ndarray,
) -> Score:
    """Score keypoints under the official protocol of LSP, MPII or PennAction.

    Args:
        predicted: (N, K, 2) in the data set's joint order and the truth's pixels.
        truth: (N, K, 2).
        visible: (N, K) bool, joints that are annotated.
        reference: (N,) reference length in pixels.

    Raises:
        PosekitError: shapes disagree, or a reference length is missing.
    """
    protocol = PROTOCOLS[dataset]
    counted = _counted(dataset, predicted, truth, visible, reference)
    correct = hits(predicted, truth, reference, protocol.threshold) & counted
    score = _score(correct, counted, protocol.skeleton, protocol.name, protocol.sentence)
    if dataset == "MPII":
        return replace(score, extra=pckh_at(predicted, truth, visible, reference))
    return score


def pckh_at(
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    reference: np.ndarray,
    threshold: float = 0.1,
) -> dict[str, float]:
    """MPII's Mean at a stricter threshold, under both definitions that are in print.

    HRNet, SimpleBaseline and LPN publish the next step of their grid of 0.01 under the name
    Mean@0.1, that is 0.11: compare their tables with the legacy number.

    Args:
        predicted: (N, 16, 2) in MPII's joint order and the truth's pixels.
        truth: (N, 16, 2).
        visible: (N, 16) bool, joints that are annotated.
        reference: (N,) 0.6 times the head box diagonal, pixels.
        threshold: fraction of the reference length.

    Returns:
        Percent: `mean@0.1` at 0.10 and `mean@0.1_legacy` at 0.11.

    Raises:
        PosekitError: shapes disagree, or a reference length is missing.
    """
    counted = _counted("MPII", predicted, truth, visible, reference)
    limits = {"": threshold, "_legacy": threshold + 0.01}
    return {
        f"mean@{threshold:g}{kind}": _mean(100 * hits(predicted, truth, reference, limit)[counted])
        for kind, limit in limits.items()
    }


def _counted(
    dataset: str,
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    reference: np.ndarray,
) -> np.ndarray:
    """Joints (N, K) that count officially; refuses what cannot be scored."""
    protocol = PROTOCOLS[dataset]
    if np.shape(predicted) != np.shape(truth):
        raise PosekitError(
            f"{dataset}: predictions of shape {np.shape(predicted)}, but the ground truth has "
            f"{np.shape(truth)} (people, joints in the order of "
            f'posekit.skeleton("{protocol.skeleton.name}"), x y)'
        )
    if not (np.isfinite(reference).all() and (np.asarray(reference) > 0).all()):
        raise PosekitError(f"{dataset}: {protocol.name} needs a positive reference length a person")
    counted = visible.copy()
    counted[:, protocol.skeleton.index(*protocol.unscored)] = False
    return counted


def _score(
    correct: np.ndarray, counted: np.ndarray, skeleton: Skeleton, metric: str, sentence: str
) -> Score:
    """Sum (N, K) hits into a Score."""
    n = counted.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        percent = 100 * correct.sum(0) / n
    columns = {
        group: _mean(percent[skeleton.index(*joints)]) for group, joints in skeleton.groups.items()
    }
    mean = 100 * correct.sum() / n.sum() if n.sum() else float("nan")
    return Score(float(mean), columns, metric, sentence, len(counted))


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


# --- MobilePose-master's own definitions, kept to quote its tables honestly -----------------------

_NECK = POSE_MACHINE.joints.index("neck")
MOBILEPOSE = "MobilePose-master PCK"
PENN_TEST = "PENN_test.m"

PENN_TEST_ORDER = tuple(POSE_MACHINE.index(*("head_top", *PENN_ACTION.joints[1:])))
PENN_TEST_ORDER_AS_PRINTED = (0, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13)


def heatmap_accuracy(
    maps: np.ndarray, target: np.ndarray, threshold: float = 0.5, reference_mode: bool = False
) -> tuple[float, np.ndarray]:
    """The progress number that the top-down references print while training, no result.

    A joint is right when its peak lies less than `threshold` tenths of the map from the target's,
    x measured in widths and y in heights; targets in the first two rows or columns do not count.

    Args:
        maps: (B, K, H, W).
        target: (B, K, H, W).
        threshold: share of a tenth of the map.
        reference_mode: measure x in heights and y in widths, as the references do by mistake.

    Returns:
        The mean over the joints that count, and (K,) shares 0..1, NaN for those that do not.
    """
    height, width = maps.shape[-2:]

    def peaks(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(*values.shape[:2], -1)
        y, x = np.divmod(flat.argmax(-1), width)
        return np.stack([x, y], -1) * (flat.max(-1) > 0)[..., None]

    unit = np.array([height, width] if reference_mode else [width, height]) / 10
    found, wanted = peaks(maps), peaks(target)
    counted = (wanted > 1).all(-1)
    right = (np.linalg.norm((found - wanted) / unit, axis=-1) < threshold) & counted
    number = counted.sum(0)
    shares = np.where(number > 0, right.sum(0) / number.clip(1), np.nan)
    return (float(np.nanmean(shares)) if number.any() else float("nan")), shares


def mobilepose_pck(
    predicted: np.ndarray, truth: np.ndarray, visible: np.ndarray, threshold: float = 0.2
) -> Score:
    """MobilePose-master's training and validation PCK (its utils/evaluation).

    The reference length is the longer side of the extent of the true joints *and the point (0, 0)*,
    because its always-empty background channel decodes to the map's origin: the further a person
    stands from the crop's corner, the more is forgiven.

    Args:
        predicted: (N, 14, 2) in pose-machine order, pixels or cells of the crop.
        truth: (N, 14, 2), same units.
        visible: (N, 14) bool.
    """
    high = np.maximum(truth.max(1), 0)
    low = np.minimum(truth.min(1), 0)
    counted = visible.astype(bool).copy()
    counted[:, _NECK] = False
    correct = hits(predicted, truth, (high - low).max(-1), threshold) & counted
    sentence = (
        "MobilePose-master's lenient PCK@0.2: extent of the true joints and the crop's origin, "
        "visible joints without neck; not comparable with any PCK named otherwise"
    )
    return _score(correct, counted, POSE_MACHINE, MOBILEPOSE, sentence)


def penn_test(
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    box_side: np.ndarray,
    order: tuple[int, ...] = PENN_TEST_ORDER,
) -> Score:
    """MobilePose-master's PENN_test.m on Penn Action.

    Args:
        predicted: (N, 14, 2) in pose-machine order, pixels of the crop.
        truth: (N, 14, 2).
        visible: (N, 14) bool.
        box_side: (N,) longer side of its box in the crop: padded and rescaled, it is always the
            crop's own side, so that the threshold is 51.2 of 256 pixels.
        order: joint behind each printed column; `PENN_TEST_ORDER_AS_PRINTED` reproduces its wrong
            one, which scores the neck and skips the right knee.
    """
    index = list(order)
    counted = visible.astype(bool)[:, index]
    correct = hits(predicted[:, index], truth[:, index], box_side, 0.2) & counted
    sentence = (
        "PENN_test.m of MobilePose-master: 0.2 of the padded box's longer side (51.2 of 256 crop "
        "pixels), visible joints; not comparable with PCK@0.2 of the annotated box"
    )
    return _score(correct, counted, PENN_ACTION, PENN_TEST, sentence)
