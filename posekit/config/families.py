"""The knobs of each family of networks, and what they make: crops, augmentation, targets, decoding.

A family has two kinds of settings: those of testing, and those of training, which add to them. The
options of the chosen network are knobs besides. (Fields of the last base class come first.)
"""

from inspect import Parameter
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, create_model, field_validator

from ..data.framing import Framing
from ..data.occlusion.occluder import Occluder
from ..data.transforms import (
    ColourJitter,
    HalfBody,
    NormalRotation,
    NormalScale,
    RandomFlip,
    RandomRotation,
    RandomScale,
    Transform,
)
from ..geometry.decoding import DECODERS
from ..geometry.skeletons import Skeleton
from ..models import Description, describe, options_of
from ..models.families.losses import joints_mse, ohkm
from ..models.families.pose_machine import PoseMachineTask
from ..models.families.task import Task
from ..models.families.top_down import TopDownTask
from .knobs import (
    Count,
    DataKnobs,
    Dataset,
    Fraction,
    NetworkKnobs,
    Positive,
    RunKnobs,
    TestingKnobs,
    TrainingKnobs,
)


class PoseMachineTesting(RunKnobs, TestingKnobs, NetworkKnobs, DataKnobs):
    """CPM and LPM, tested."""

    dataset: Dataset = Field("PennAction", description="LSP, MPII, PennAction or COCO")
    frames: Annotated[int, Field(ge=1, le=128)] = Field(5, description="frames in a clip (T)")
    sigma: Positive = Field(description="Gaussian of a target, crop pixels")
    centre_sigma: Positive = Field(21.0, description="Gaussian of the centre map, crop pixels")
    flip_test: bool = Field(False, description="average with the mirrored image when testing")

    def clip_length(self, about: Description) -> int:
        """Frames that the network sees at a time; 1 for still images."""
        return self.frames if about.kind == "clip" else 1

    def framing(self, crop_drop: float = 0.0) -> Framing:
        """How a box becomes a crop: a square about its middle."""
        return Framing(self.image_size, self.box_padding)

    def task(self, model: Any, joints: Skeleton) -> Task:
        """How the network is fed and read."""
        return PoseMachineTask(model, self.sigma, self.centre_sigma)


class PoseMachineTraining(TrainingKnobs, PoseMachineTesting):
    """CPM and LPM, trained."""

    scale_range: tuple[Positive, Positive] = Field(description="random factor on the person's size")
    schedule: Literal["step", "onecycle"] = Field("step", description="step or onecycle")
    lr_step: Count = Field(description="iterations between two steps")
    loss: Literal["sum", "mean"] = Field("sum", description="squared errors: sum / 2B, or mean")

    @field_validator("scale_range")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("must be [smallest, largest]")
        return value

    def task(self, model: Any, joints: Skeleton) -> Task:
        """How the network is fed, taught and read."""
        return PoseMachineTask(model, self.sigma, self.centre_sigma, self.loss)

    def transforms(self, joints: Skeleton) -> list[Transform]:
        """The augmentation of training crops, in the order in which it is drawn."""
        moves = [RandomScale(self.scale_range), RandomRotation(self.rotation)]
        return [*moves, *_common_transforms(self, joints)]


class TopDownTesting(RunKnobs, TestingKnobs, NetworkKnobs, DataKnobs):
    """SimpleBaseline, HRNet, Hourglass and the lightweight networks, tested."""

    dataset: Dataset = Field("COCO", description="COCO or MPII")
    sigma: Positive = Field(2.0, description="Gaussian of a target, heat-map cells")
    decoder: Literal[*DECODERS] = Field(
        "quarter", description="how a map is read, geometry.decoding"
    )
    shift_heatmap: bool = Field(True, description="move the mirror image's maps by one cell")

    def framing(self, crop_drop: float = 0.0) -> Framing:
        """How a box becomes a crop: in the crop's aspect, lowered by a share of its height."""
        return Framing(self.image_size, self.box_padding, half_pixel=False, drop=crop_drop, fill=0)

    def task(self, model: Any, joints: Skeleton) -> Task:
        """How the network is fed and read."""
        return TopDownTask(
            model, joints, self.sigma, decoder=self.decoder, shift=self.shift_heatmap
        )


class TopDownTraining(TrainingKnobs, TopDownTesting):
    """SimpleBaseline, HRNet, Hourglass and the lightweight networks, trained."""

    scale_factor: Fraction = Field(description="spread of the random factor on the person's size")
    rotation_prob: Fraction = Field(0.6, description="share of people that are turned")
    half_body_prob: Fraction = Field(0.0, description="share of people cut to half their body")
    reference_mode: bool = Field(
        False, description="the references' oddities in coin, target, schedule, occlusion"
    )
    schedule: Literal["milestones", "onecycle"] = Field(
        "milestones", description="milestones or onecycle"
    )
    lr_milestones: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        description="epochs after which the learning rate falls"
    )
    loss: Literal["mse", "ohkm"] = Field("mse", description="mse, or ohkm for the 8 worst joints")

    def task(self, model: Any, joints: Skeleton) -> Task:
        """How the network is fed, taught and read."""
        return TopDownTask(
            model,
            joints,
            self.sigma,
            criterion={"mse": joints_mse, "ohkm": ohkm}[self.loss],
            decoder=self.decoder,
            shift=self.shift_heatmap,
            reference_mode=self.reference_mode,
        )

    def transforms(self, joints: Skeleton) -> list[Transform]:
        """The augmentation of training crops, in the order in which it is drawn."""
        h, w = self.image_size
        mode = self.reference_mode
        moves = [
            HalfBody(self.half_body_prob, joints, aspect=w / h, reference_mode=mode),
            NormalScale(self.scale_factor),
            NormalRotation(self.rotation, self.rotation_prob),
        ]
        return [*moves, *_common_transforms(self, joints, reference_mode=mode)]


TestingSettings = PoseMachineTesting | TopDownTesting
TrainingSettings = PoseMachineTraining | TopDownTraining


class Family(NamedTuple):
    """The two kinds of settings of a family, and the data set that its papers start with."""

    testing: type[TestingSettings]
    training: type[TrainingSettings]
    dataset: str


FAMILIES = {
    "pose_machine": Family(PoseMachineTesting, PoseMachineTraining, "PennAction"),
    "top_down": Family(TopDownTesting, TopDownTraining, "COCO"),
}


def settings_of(network: str, training: bool = True) -> type[TestingSettings]:
    """The settings of a network: its family's knobs and its own options.

    Args:
        network: a name of the registry, or my_module:MyNet.
        training: with the knobs of training.
    """
    family = FAMILIES[describe(network).family]
    base = family.training if training else family.testing
    return create_model(base.__name__, __base__=base, **option_fields(network))


def option_fields(network: str) -> dict[str, tuple[Any, Any]]:
    """The options of a network as pydantic fields: types and defaults."""
    return {
        name: (_type(option), ... if option.default is Parameter.empty else option.default)
        for name, option in options_of(network).items()
    }


def _type(option: Parameter) -> Any:
    """The declared type of an option, or that of its default value."""
    if option.annotation is not Parameter.empty:
        return option.annotation
    return Any if option.default is Parameter.empty else type(option.default)


def _common_transforms(
    settings: TrainingKnobs, joints: Skeleton, reference_mode: bool = False
) -> list[Transform]:
    """The augmentation that all families have: mirror image, colour, occlusion.

    A geometric transform whose knob is 0 stays in the list: what it draws belongs to the sequence
    of random numbers that a seed stands for.
    """
    transforms: list[Transform] = [RandomFlip(settings.flip_prob)]
    if settings.colour_jitter:
        transforms.append(ColourJitter(settings.colour_jitter))
    if settings.occlusion != "none":
        occluder = Occluder(
            joints,
            kind=settings.occlusion,
            mode=settings.occlusion_mode,
            prob=settings.occlusion_prob,
            exclude=settings.occlusion_exclude,
            frames=settings.occlusion_frames,
            reference_mode=reference_mode,
            rgb=describe(settings.network).colour == "RGB",
        )
        transforms.append(occluder)
    return transforms
