"""What an occlusion study is: its parameters, an occlusion, and what the steps share.

Everybody is scored twice, as they are and with one joint or part occluded, in points of 0..100 per
visible joint: on COCO the joint's term of OKS, elsewhere whether it is within the data set's PCK
threshold. A drop is the difference over the people who have what is occluded, all their visible
joints counted, the occluded ones too. With everybody of the split the networks are tested as in the
evaluate notebook, and each occlusion also has the official score, COCO's AP as in the paper.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BeforeValidator, Field

from ... import data
from ...config.knobs import Boxes, Count, Dataset, Pixels, Positive, Precision, Source
from ...config.machine import Machine
from ...config.resolve import Config
from ...config.settings import Settings
from ...data import Annotations
from ...data.clips import Clips
from ...data.predictions import Predictions
from ...geometry.body_parts import PARTS
from ...inference.estimator import Estimator
from ...metrics.score import Score
from ...reporting.run_folder import Run

if TYPE_CHECKING:
    import pandas as pd


def _number(people: Any) -> Any:
    return 0 if people == "all" else people


class StudySettings(Settings):
    """The parameters of the notebook."""

    networks: tuple[str, ...] = Field(
        (), description="run folders, weights, .onnx, NAME@FILE; none for the newest runs"
    )
    dataset: Dataset | None = Field(
        None, description="LSP, MPII, PennAction, COCO; None as trained on"
    )
    source: Source = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds coco, LSP, mpii, PennAction")
    eval_split: Literal["test", "train"] = Field("test", description="split of the people")
    boxes: Boxes = Field("ground_truth", description="ground_truth, or detections of COCO")
    people: Annotated[int, Field(ge=0), BeforeValidator(_number)] = Field(
        64, description="how many, spread over the split; all for official scores too"
    )
    effects: Annotated[tuple[Literal["blur", "black", "mean"], ...], Field(min_length=1)] = Field(
        ("mean", "black", "blur"), description="how a part is occluded; tables show the first one"
    )
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1.0, 0.5, 1.5), description="factors on the occluded area's sides; tables show the first"
    )
    joints: bool = Field(True, description="also occlude every single joint")
    resamples: Annotated[int, Field(ge=100)] = Field(2000, description="of the bootstrap")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the bootstrap")
    flip_test: bool | None = Field(
        None, description="average with the mirrored image; None as tested if people is all, or no"
    )
    skeleton: str | None = Field(None, description="joints of a file that does not say its own")
    image_size: tuple[Pixels, Pixels] | None = Field(None, description="crop [h, w] of such a file")
    batch_size: Count = Field(32, description="clips or images at a time")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Precision = Field("auto", description="of the network")
    interactive: bool = Field(False, description="show the live playground")


@dataclass(frozen=True)
class Occlusion:
    """What is occluded, and how.

    Attributes:
        target: name of a part, a joint as "joint left_elbow", or `DISC`.
        effect: blur, black or mean; "none" for nothing.
        size: factor on the occluded area's sides; of a disc, its radius in tenths of the crop's
            width.
        position: of a disc, as shares of the crop's width and height.
    """

    target: str
    effect: str
    size: float
    position: tuple[float, float] = (0.5, 0.5)


DISC = "disc"
UNOCCLUDED = Occlusion("nothing", "none", 1.0)


@dataclass
class Study:
    """What every later step needs from the earlier ones.

    Attributes:
        config: the checked parameters.
        run: the run folder.
        root: the data root.
        machine: device and precision.
        estimators: the networks.
        people: who is occluded; of detected people, with the joints of annotated ones.
        clips: their crops, as each network sees them.
        points: per network, occlusion -> (N, K) 0..100, NaN for joints that do not count.
        occluded: occlusion -> (N,) bool, who has what is occluded, in every network's crop.
        predictions: per network, occlusion -> predictions of N rows, in the network's joints.
        scores: network -> its official score without any occlusion, of everybody.
        tables: heading -> table, for the report.
    """

    config: Config
    run: Run
    root: Path
    machine: Machine
    estimators: list[Estimator]
    people: Annotations
    clips: list[Clips]
    points: list[dict[Occlusion, np.ndarray]] = field(default_factory=list)
    occluded: dict[Occlusion, np.ndarray] = field(default_factory=dict)
    predictions: list[dict[Occlusion, Predictions]] = field(default_factory=list)
    scores: dict[str, Score] = field(default_factory=dict)
    tables: dict[str, "pd.DataFrame"] = field(default_factory=dict)

    @property
    def settings(self) -> StudySettings:
        """The values of the parameters."""
        return self.config.settings

    @property
    def names(self) -> list[str]:
        """The networks, as tables name them."""
        return [estimator.name for estimator in self.estimators]

    @property
    def whole(self) -> bool:
        """Whether everybody of the split is there, so that there is an official score."""
        return self.settings.people == 0

    def predicted(self, network: int, occlusion: Occlusion) -> tuple[Clips, Predictions]:
        """A network's clips and its predictions under an occlusion."""
        return self.clips[network], self.predictions[network][occlusion]

    def soft_nms(self, network: int) -> bool:
        """How a network's duplicates are suppressed."""
        return self.estimators[network].settings.soft_nms

    def testing(self, estimator: Estimator) -> tuple[tuple[float, ...], float]:
        """Test scales of a network and the bias of its predictions, pixels."""
        own = estimator.settings
        return (own.test_scales, own.test_bias) if self.whole else ((1.0,), 0.0)

    @property
    def metric(self) -> str:
        """The unit of every number."""
        return f"points of {data.dataset(self.people.dataset).scorer.name}"

    def text(self) -> str:
        """The people, the metric and the networks."""
        lines = [f"{len(self.people)} people of {self.run.label}, {self.metric} (0 to 100)"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.run.record.notes)])

    def occlusions(
        self, effect: str | None = None, size: float | None = None, joints: bool = False
    ) -> list[Occlusion]:
        """The occlusions of all parts, or of all wanted joints, by one effect in one size."""
        usual = self.settings.effects[0], self.settings.sizes[0]
        wanted = self.people.skeleton.joints if self.settings.joints else ()
        names = [f"joint {joint}" for joint in wanted] if joints else PARTS
        return [Occlusion(name, effect or usual[0], size or usual[1]) for name in names]

    def lost(self, network: int, occlusion: Occlusion) -> np.ndarray:
        """(N, K) points that each joint loses; NaN for people without what is occluded."""
        difference = self.points[network][UNOCCLUDED] - self.points[network][occlusion]
        return np.where(self.occluded[occlusion][:, None], difference, np.nan)

    def drop(self, network: int, *occlusions: Occlusion) -> np.ndarray:
        """(N,) points that each person loses on average; NaN without what is occluded."""
        return nan_mean([nan_mean(self.lost(network, one), 1) for one in occlusions])


def nan_mean(values: ArrayLike, axis: int = 0) -> np.ndarray:
    """Mean along an axis over what is no NaN; NaN, without a warning, where nothing is left."""
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis) / known.sum(axis).clip(1)
    return np.where(known.any(axis), mean, np.nan)
