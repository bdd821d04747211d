"""The parameters of the occlusion notebook."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ...config.knobs import Boxes, Count, Dataset, Pixels, Positive, RunKnobs, Source
from ...config.settings import knob
from ...models.mobilepose import TrainedOn


def _number(people: Any) -> Any:
    return 0 if people == "all" else people


class StudySettings(RunKnobs):
    """The parameters of the notebook."""

    networks: tuple[str, ...] = knob("run folders, .onnx, NAME@FILE; none for the newest runs", ())
    dataset: Dataset | None = knob("LSP, MPII, PennAction, COCO; None as trained on", None)
    source: Source = knob("auto, real or sample", "auto")
    data_root: str | None = knob("folder that holds coco, LSP, mpii, PennAction", None)
    eval_split: Literal["test", "train"] = knob("split of the people", "test")
    boxes: Boxes = knob("ground_truth, or detections of COCO", "ground_truth")
    box_file: str | None = knob("json of other COCO detections, taken in their place", None)
    people: Annotated[int, BeforeValidator(_number)] = knob(
        "how many, spread over the split; all for official scores too", 64, ge=0
    )
    effects: Annotated[tuple[Literal["blur", "black", "mean"], ...], Field(min_length=1)] = knob(
        "how a part is occluded; tables show the first one", ("mean", "black", "blur")
    )
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = knob(
        "factors on the occluded area's sides; tables show the first", (1.0, 0.5, 1.5)
    )
    joints: bool = knob("also occlude every single joint", True)
    resamples: int = knob("of the bootstrap", 2000, ge=100)
    flip_test: bool | None = knob("average with the mirrored image; as tested if all", None)
    skeleton: str | None = knob("joints of a file that does not say its own", None)
    image_size: tuple[Pixels, Pixels] | None = knob("crop [h, w] of such a file", None)
    trained_on: TrainedOn = None
    batch_size: Count = knob("clips or images at a time", 32)

    @property
    def whole(self) -> bool:
        """Whether everybody of the split is there, so that there is an official score."""
        return self.people == 0

    @property
    def scored(self) -> str:
        """The data set of the score."""
        return self.dataset
