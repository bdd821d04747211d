"""The knobs of each family of networks, and what they make: crops, augmentation, targets, decoding.

A family has two kinds of settings: those of testing, and those of training, which add to them. The
options of the chosen network are knobs besides. (Fields of the last base class come first.)
"""

from dataclasses import replace
from inspect import Parameter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, create_model, field_validator

from ..data import Annotations
from ..data import transforms as augment
from ..data.framing import Framing, well_centred
from ..data.occlusion.occluder import Occluder
from ..errors import PosekitError
from ..geometry.decoding import DECODERS
from ..geometry.skeletons import Skeleton
from ..models import Description, describe, options_of
from ..models.families.losses import joints_mse, ohkm
from ..models.families.pose_machine import PoseMachineTask
from ..models.families.task import Task
from ..models.families.top_down import TopDownTask
from .knobs import CommonKnobs, Count, Dataset, Fraction, Positive, TrainingKnobs
from .settings import knob

_LONGEST = 128  # frames of a clip


def _test_frames(value: Any) -> Any:
    """None, all, or a number of frames that may be text."""
    if value in (None, "all"):
        return value
    count = int(value) if str(value).isdecimal() else 0
    if not 1 <= count <= _LONGEST:
        raise ValueError(f"must be all, or a number from 1 to {_LONGEST}")
    return count


class PoseMachineTesting(CommonKnobs):
    """CPM and LPM, tested."""

    dataset: Dataset = knob("LSP, MPII, PennAction or COCO", "PennAction")
    frames: int = knob("frames in a clip (T)", 5, ge=1, le=_LONGEST)
    test_frames: Annotated[int | str | None, AfterValidator(_test_frames)] = knob(
        "frames in a tested clip; all for one recurrence a video", None
    )
    sigma: Positive = knob("Gaussian of a target, crop pixels")
    centre_sigma: Positive = knob("Gaussian of the centre map, crop pixels", 21.0)
    flip_test: bool = knob("average with the mirrored image when testing", False)

    def clip_length(self, about: Description, testing: bool = False) -> int | str:
        """Frames that the network sees at a time; 1 for still images, "all" for whole videos."""
        frames = self.test_frames if testing and self.test_frames else self.frames
        return frames if about.kind == "clip" else 1

    def check_shapes(self, joints: Skeleton) -> None:
        """Run the network on shapes alone, with clips as trained and as tested."""
        super().check_shapes(joints)
        if self.test_frames == "all" and not hasattr(self.shapes_only(joints), "step"):
            remedy = "it has no method step: name a number of frames, or the network lpm"
            raise PosekitError(f"test_frames=all: {self.network} cannot carry a state: {remedy}")
        if self.test_frames not in (None, "all"):
            changes = {"frames": self.test_frames, "test_frames": None}
            self.model_copy(update=changes).check_shapes(joints)

    def framing(self, crop_drop: float = 0.0) -> Framing:
        """How a box becomes a crop: a square about its middle."""
        return Framing(self.image_size, self.box_padding)

    def task(self, model: Any, joints: Skeleton, **teaching: Any) -> Task:
        """How the network is fed and read, and taught where it is trained."""
        return PoseMachineTask(model, self.sigma, self.centre_sigma, **teaching)


class PoseMachineTraining(TrainingKnobs, PoseMachineTesting):
    """CPM and LPM, trained."""

    scale_range: tuple[Positive, Positive] = knob("random factor on the person's size")
    schedule: Literal["step", "onecycle"] = knob("step or onecycle", "step")
    lr_step: Count = knob("iterations between two steps")
    loss: Literal["sum", "mean"] = knob("squared errors: sum / 2B, or mean", "sum")
    others_in_first_stage: bool = knob("stage 1 is taught everybody in the crop", False)

    @field_validator("scale_range")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("must be [smallest, largest]")
        return value

    def task(self, model: Any, joints: Skeleton) -> Task:
        """How the network is fed, taught and read."""
        return super().task(model, joints, reduction=self.loss)

    def training_clips(self, people: Annotations, framing: Framing) -> dict[str, object]:
        """Further arguments of the training `Clips`."""
        more = {"with_everybody": self.others_in_first_stage}
        return super().training_clips(people, framing) | more

    def transforms(self, joints: Skeleton) -> list[augment.Transform]:
        """The augmentation of training crops, in the order in which it is drawn."""
        moves = [augment.RandomScale(self.scale_range), augment.RandomRotation(self.rotation)]
        return [*moves, *_common_transforms(self, joints)]


class TopDownTesting(CommonKnobs):
    """SimpleBaseline, HRNet, Hourglass and the lightweight networks, tested."""

    dataset: Dataset = knob("COCO or MPII", "COCO")
    sigma: Positive = knob("Gaussian of a target, heat-map cells", 2.0)
    decoder: Literal[*DECODERS] = knob("how a map is read, geometry.decoding", "quarter")
    shift_heatmap: bool = knob("move the mirror image's maps by one cell", True)

    def framing(self, crop_drop: float = 0.0) -> Framing:
        """How a box becomes a crop: in the crop's aspect, lowered by a share of its height."""
        return Framing(self.image_size, self.box_padding, half_pixel=False, drop=crop_drop, fill=0)

    def task(self, model: Any, joints: Skeleton, **teaching: Any) -> Task:
        """How the network is fed and read, and taught where it is trained."""
        reading = {"decoder": self.decoder, "shift": self.shift_heatmap}
        return TopDownTask(model, joints, self.sigma, **reading, **teaching)


class TopDownTraining(TrainingKnobs, TopDownTesting):
    """SimpleBaseline, HRNet, Hourglass and the lightweight networks, trained."""

    scale_factor: Fraction = knob("spread of the random factor on the person's size")
    rotation_prob: Fraction = knob("share of people that are turned", 0.6)
    half_body_prob: Fraction = knob("share of people cut to half their body", 0.0)
    reference_mode: bool = knob("the references' coin, target, schedule and occlusion", False)
    select_data: bool = knob("train on people whose joints are about their box's middle", False)
    joint_weights: bool = knob("elbows, knees weigh 1.2, wrists, ankles 1.5 in the loss", False)
    schedule: Literal["milestones", "onecycle"] = knob("milestones or onecycle", "milestones")
    lr_milestones: tuple[Count, ...] = knob("epochs after which lr falls", min_length=1)
    loss: Literal["mse", "ohkm"] = knob("mse, or ohkm for the 8 worst joints", "mse")

    def task(self, model: Any, joints: Skeleton) -> Task:
        """How the network is fed, taught and read."""
        criterion = {"mse": joints_mse, "ohkm": ohkm}[self.loss]
        modes = {"reference_mode": self.reference_mode, "joint_weights": self.joint_weights}
        return super().task(model, joints, criterion=criterion, **modes)

    def training_people(self, people: Annotations, framing: Framing) -> Annotations:
        """The people that the network is trained on.

        Raises:
            PosekitError: `select_data` leaves nobody.
        """
        if not self.select_data:
            return people
        centres, sides = framing.place(people.boxes)
        kept = well_centred(people.keypoints, people.visible, centres, framing.areas(sides))
        if not kept.any():
            raise PosekitError(f"select_data keeps none of {len(people)} people: leave it off")
        note = f"select_data keeps {kept.sum()} of {len(people)} people to train on"
        return replace(people.rows(kept), notes=(*people.notes, note))

    def transforms(self, joints: Skeleton) -> list[augment.Transform]:
        """The augmentation of training crops, in the order in which it is drawn."""
        aspect, mode = self.image_size[1] / self.image_size[0], self.reference_mode
        moves = [
            augment.HalfBody(self.half_body_prob, joints, aspect=aspect, reference_mode=mode),
            augment.NormalScale(self.scale_factor),
            augment.NormalRotation(self.rotation, self.rotation_prob),
        ]
        return [*moves, *_common_transforms(self, joints, reference_mode=mode)]


TestingSettings = PoseMachineTesting | TopDownTesting
TrainingSettings = PoseMachineTraining | TopDownTraining

FAMILIES: dict[str, tuple[type[TestingSettings], type[TrainingSettings]]] = {
    "pose_machine": (PoseMachineTesting, PoseMachineTraining),
    "top_down": (TopDownTesting, TopDownTraining),
}


def first_dataset(family: str) -> str:
    """The data set that the papers of a family start with."""
    return FAMILIES[family][0].model_fields["dataset"].default


def settings_of(network: str, training: bool = True) -> type[TestingSettings]:
    """The settings of a network: its family's knobs and its own options.

    Args:
        network: a name of the registry, or my_module:MyNet.
        training: with the knobs of training.
    """
    testing, with_training = FAMILIES[describe(network).family]
    base = with_training if training else testing
    return create_model(base.__name__, __base__=base, **option_fields(network))


def option_fields(network: str) -> dict[str, tuple[Any, Any]]:
    """The options of a network as pydantic fields: types and defaults."""
    fields = {}
    for name, option in options_of(network).items():
        default = ... if option.default is Parameter.empty else option.default
        usual = Any if default is ... else type(default)
        declared = option.annotation is not Parameter.empty
        fields[name] = (option.annotation if declared else usual, default)
    return fields


def _common_transforms(
    settings: TrainingKnobs, joints: Skeleton, reference_mode: bool = False
) -> list[augment.Transform]:
    """The augmentation that all families have: mirror image, colour, occlusion.

    A geometric transform whose knob is 0 stays in the list: what it draws belongs to the sequence
    of random numbers that a seed stands for.
    """
    transforms: list[augment.Transform] = [augment.RandomFlip(settings.flip_prob)]
    if settings.colour_jitter:
        transforms.append(augment.ColourJitter(settings.colour_jitter))
    if settings.occlusion != "none":
        names = ("mode", "prob", "exclude", "frames")
        how = {name: getattr(settings, f"occlusion_{name}") for name in names}
        rgb = describe(settings.network).colour == "RGB"
        occluder = Occluder(
            joints, settings.occlusion, **how, reference_mode=reference_mode, rgb=rgb
        )
        transforms.append(occluder)
    return transforms
