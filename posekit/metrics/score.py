"""What a metric is, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..geometry.skeletons import Skeleton

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Protocol:
    """How a data set of the PCK family is scored officially.

    Attributes:
        dataset: canonical name, for messages.
        name: the metric as tables name it.
        skeleton: the joints that are scored.
        threshold: fraction of the reference length.
        sentence: the protocol in one sentence.
        unscored: joints left out of every number.
        extra_thresholds: name of a further mean over all joints -> its threshold.
    """

    dataset: str
    name: str
    skeleton: Skeleton
    threshold: float
    sentence: str
    unscored: tuple[str, ...] = ()
    extra_thresholds: Mapping[str, float] = field(default_factory=dict)


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
        joints: the data set's own joints, left and right apart -> percent, NaN where nobody
            counts; empty for COCO.
    """

    mean: float
    per_joint: dict[str, float]
    metric: str
    protocol: str
    n_people: int
    extra: dict[str, float] = field(default_factory=dict)
    joints: dict[str, float] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """What `mean` is called: AP on COCO, else Mean."""
        return "AP" if "AP" in self.per_joint else "Mean"

    @property
    def values(self) -> dict[str, float]:
        """Every column with its number, the headline among them."""
        return self.per_joint | {self.headline: self.mean} | self.extra

    @property
    def by_joint(self) -> dict[str, float]:
        """Every joint of the data set that counts, and the headline."""
        return {n: p for n, p in self.joints.items() if p == p} | {self.headline: self.mean}

    def table(self, sides: bool = False) -> "pd.DataFrame":
        """One row: `values`, or with `sides` `by_joint`, and the metric's name."""
        import pandas as pd

        return pd.DataFrame([{**(self.by_joint if sides else self.values), "metric": self.metric}])
