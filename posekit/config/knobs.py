"""Every knob that the families of networks share, in five groups.

The descriptions are what notebooks, errors and `python -m posekit knobs` show.
"""

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from ..data import dataset_name
from ..errors import PosekitError
from ..geometry.skeletons import Skeleton
from ..models import Description, create_model, describe, options_of
from .settings import Settings

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Pixels = Annotated[int, Field(ge=16)]
Dataset = Annotated[str, AfterValidator(dataset_name)]
Source = Literal["auto", "real", "sample"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Split = Literal["test", "val", "train"]


class DataKnobs(Settings):
    """Which people are read."""

    dataset: Dataset = Field(description="LSP, MPII, PennAction or COCO")
    source: Source = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds coco, LSP, mpii, PennAction")
    eval_split: Split = Field("test", description="split of the score")
    boxes: Literal["ground_truth", "detections"] = Field(
        "ground_truth", description="whose boxes are scored, ground_truth or detections"
    )
    holdout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="share of the training part kept for validation"
    )


class NetworkKnobs(Settings):
    """Which network, and what it sees of a person; its own options are further knobs."""

    network: str = Field(description="a name of posekit.list_models(), or my_module:MyNet")
    image_size: tuple[Pixels, Pixels] = Field(description="crop as [h, w], pixels")
    box_padding: Positive = Field(1.25, description="side of the crop as a multiple of the box")

    def options(self) -> dict[str, object]:
        """Options of `create_model`, where they depart from what the network does anyway."""
        usual = {name: option.default for name, option in options_of(self.network).items()}
        return {n: getattr(self, n) for n, default in usual.items() if getattr(self, n) != default}

    def build(self, joints: Skeleton) -> nn.Module:
        """The network for these joints, with fresh weights; some have joints of their own."""
        own = describe(self.network).skeleton
        return create_model(self.network, None if own else len(joints), **self.options())

    def shapes_only(self, joints: Skeleton) -> nn.Module:
        """The network without weights (on the device meta), to ask it for shapes."""
        with torch.device("meta"):
            return self.build(joints).eval()

    def check_shapes(self, joints: Skeleton) -> None:
        """Run the network on shapes alone, before anything is read.

        Raises:
            PosekitError: the network refuses the size of the crops or one of its options, or does
                not return one map a joint.
        """
        model = self.shapes_only(joints)
        about = model.description
        inputs = self.one_clip(about)
        with torch.no_grad():
            maps = model(*inputs)
        expected = about.num_keypoints + about.background
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        if not isinstance(maps, Tensor) or found[-3:-2] != (expected,):
            raise PosekitError(
                f"network {about.name} returns {found} for {tuple(inputs[0].shape)}: expected are "
                f"{expected} maps, (B, {expected}, H, W)"
            )

    def one_clip(self, about: Description) -> list[Tensor]:
        """Inputs of the right shape for one clip: frames or an image, perhaps a centre map."""
        lead = (1, self.clip_length(about)) if about.kind == "clip" else (1,)
        shapes = [(*lead, 3, *self.image_size)] + [(1, 1, *self.image_size)] * about.centre_map
        return [torch.empty(shape, device="meta") for shape in shapes]

    def clip_length(self, about: Description) -> int:
        """Frames that the network sees at a time; 1 for still images."""
        return 1


class TestingKnobs(Settings):
    """How the trained network is asked."""

    batch_size: Count = Field(32, description="clips or images in an iteration")
    flip_test: bool = Field(True, description="average with the mirrored image when testing")
    test_scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1.0,), description="sizes of the person to add up when testing"
    )
    test_bias: float = Field(0.0, description="image pixels taken off x and y of every prediction")
    soft_nms: bool = Field(False, description="lower duplicates' scores instead of dropping them")

    def transforms(self, joints: Skeleton) -> list:
        """How training changes the crops: not at all in testing."""
        return []


class RunKnobs(Settings):
    """Where and how the job runs; none of these but the seed changes results beyond rounding."""

    seed: Annotated[int, Field(ge=0)] = Field(0, description="of everything random")
    precision: Precision = Field("auto", description="of the network")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    workers: Annotated[int, Field(ge=-1)] = Field(-1, description="loading processes; -1 for auto")
    channels_last: bool = Field(True, description="memory format of the convolutions")
    interactive: bool = Field(False, description="show live widgets")


class TrainingKnobs(Settings):
    """How a network is trained."""

    recipe: str = Field("paper", description="variant: params/<paper>/<dataset>-<recipe>.yaml")
    init: str | None = Field(None, description="run folder or weights file to start from")
    backbone: str = Field("none", description="ImageNet weights: a file, auto or none")

    rotation: Degrees = Field(description="random turn, degrees")
    flip_prob: Fraction = Field(description="share of clips that are mirrored")
    colour_jitter: Fraction = Field(0.0, description="random factor on each channel, 1 +- this")
    occlusion: Literal["none", "blur", "cutout", "both", "multi", "partmix"] = Field(
        "none", description="occlusion of crops: none, blur, cutout, both, multi, partmix"
    )
    occlusion_mode: Literal["keypoint", "parts", "all"] = Field(
        "parts", description="what blur and cutout hide: keypoint, parts, all"
    )
    occlusion_prob: Fraction = Field(0.5, description="probability of each occlusion")
    occlusion_exclude: bool = Field(False, description="leave hidden joints out of the loss")
    occlusion_frames: Literal["all", "run"] = Field(
        "all", description="the frames of a clip that are occluded: all, or a random run"
    )

    epochs: Count = Field(description="passes over all training frames")
    rounds: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="whole schedules, each from the best weights of the one before"
    )
    optimiser: Literal["sgd", "adam", "adamw"] = Field(description="sgd, adam or adamw")
    lr: Positive = Field(description="base learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of sgd")
    weight_decay: NotNegative = Field(description="on weights; biases have none")
    lr_gamma: Annotated[float, Field(gt=0, le=1)] = Field(description="factor at each step")
    bias_lr_factor: Positive = Field(1.0, description="learning rate of biases, relative")
    first_stage_lr_factor: Positive = Field(1.0, description="learning rate of stage 1, relative")
    clip_grad: NotNegative = Field(0.0, description="largest global gradient norm; 0 for none")
    eval_every: Count = Field(1, description="epochs between validations")
    resume: Literal["auto", "never"] = Field("auto", description="continue an interrupted run")
    tensorboard: bool = Field(False, description="also write TensorBoard events")

    @property
    def occlusion_title(self) -> str:
        """How training crops are occluded, in words; empty for not at all."""
        if self.occlusion in ("blur", "cutout", "both"):
            return f"{self.occlusion} {self.occlusion_mode}"
        return "" if self.occlusion == "none" else self.occlusion
