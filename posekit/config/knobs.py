"""Every knob that the families of networks share, in five groups.

The descriptions are what notebooks, errors and `python -m posekit knobs` show.
"""

from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..data import Annotations, dataset, dataset_name
from ..data.crop_cache import CropCache
from ..data.framing import Framing
from ..data.occlusion.occluder import KINDS, MODES
from ..data.predictions import Ranking
from ..data.registry import datasets
from ..errors import PosekitError
from ..geometry.skeletons import Skeleton, skeleton
from ..models import Description, cost, create_model, describe, options_of
from .settings import Settings, knob

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Scales = Annotated[tuple[Positive, ...], Field(min_length=1)]
Pixels = Annotated[int, Field(ge=16)]
Dataset = Annotated[str, AfterValidator(dataset_name)]
Joints = Annotated[str, AfterValidator(lambda name: skeleton(name).name)]
Source = Literal["auto", "real", "sample"]
Boxes = Literal["ground_truth", "detections"]


class _Undrawn(TorchFunctionMode):
    """Draws no weights: on the device meta PyTorch loads its compiler for that, and draws none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is Tensor.normal_ else func(*args, **kwargs or {})


class DataKnobs(Settings):
    """Which people are read."""

    dataset: Dataset = knob("LSP, MPII, PennAction or COCO")
    score_on: Dataset | None = knob("of several data sets, as MPII+LSP, the scored one", None)
    source: Source = knob("auto, real or sample", "auto")
    data_root: str | None = knob("folder that holds coco, LSP, mpii, PennAction", None)
    train_set: str = knob("part that is trained on: train, or trainval of MPII", "train")
    eval_split: Annotated[str, AfterValidator(str.lower)] = knob("split of the score", "test")
    boxes: Boxes = knob("whose boxes are scored, ground_truth or detections", "ground_truth")
    box_file: str | None = knob("json of other COCO detections, scored in their place", None)
    holdout: float = knob("share of the training part kept for validation", 0.05, ge=0, lt=1)

    @property
    def scored_boxes(self) -> str:
        """Whose boxes are scored: ground_truth, detections, or those of a file."""
        return self.box_file or self.boxes

    @property
    def scored(self) -> str:
        """The data set of the score: the first of several unless `score_on` names another."""
        return self.score_on or self.dataset.split("+")[0]

    def train_part(self, name: str) -> str:
        """The part of one of the data sets that is trained on."""
        return self.train_set if self.train_set in dataset(name).train_sets else "train"

    @field_validator("score_on", "train_set")
    @classmethod
    def _of_data_set(cls, value: str | None, info: ValidationInfo) -> str | None:
        specs = datasets(info.data["dataset"]) if "dataset" in info.data else []
        parts = [part for spec in specs for part in spec.train_sets]
        known = [spec.name for spec in specs] if info.field_name == "score_on" else parts
        if value and specs and value not in known:
            raise ValueError(f"{info.data['dataset']} has {', '.join(dict.fromkeys(known))}")
        return value


class NetworkName(Settings):
    """Which network; its own options are further knobs."""

    network: str = knob("a name of posekit.list_models(), or my_module:MyNet")

    def options(self) -> dict[str, object]:
        """Options of `create_model`, where they depart from what the network does anyway."""
        usual = {name: option.default for name, option in options_of(self.network).items()}
        return {n: getattr(self, n) for n, default in usual.items() if getattr(self, n) != default}


class NetworkKnobs(NetworkName):
    """Which network, and what it sees of a person."""

    image_size: tuple[Pixels, Pixels] = knob("crop as [h, w], pixels")
    box_padding: Positive = knob("side of the crop as a multiple of the box", 1.25)

    def build(self, joints: Skeleton) -> nn.Module:
        """The network for these joints, with fresh weights; some have joints of their own."""
        own = describe(self.network).skeleton
        return create_model(self.network, None if own else len(joints), **self.options())

    def shapes_only(self, joints: Skeleton) -> nn.Module:
        """The network without weights (on the device meta), to ask it for shapes."""
        with _Undrawn(), torch.device("meta"):
            return self.build(joints).eval()

    def check_shapes(self, joints: Skeleton) -> None:
        """Run the network on shapes alone, before anything is read.

        Raises:
            PosekitError: the network refuses the size of the crops or one of its options, or does
                not return one map a joint.
        """
        model = self.shapes_only(joints)
        about, inputs = model.description, self.one_clip(model.description)
        count, shape = about.num_keypoints + about.background, cost(model, *inputs).output
        if shape[-3:-2] != (count,):
            raise PosekitError(
                f"network {about.name} returns {shape or 'no tensor'} for "
                f"{tuple(inputs[0].shape)}: expected are {count} maps, (B, {count}, H, W)"
            )

    def one_clip(self, about: Description) -> list[Tensor]:
        """Inputs of the right shape for one clip: frames or an image, perhaps a centre map."""
        lead = (1, self.clip_length(about)) if about.kind == "clip" else (1,)
        shapes = [(*lead, 3, *self.image_size)] + [(1, 1, *self.image_size)] * about.centre_map
        return [torch.empty(shape, device="meta") for shape in shapes]

    def clip_length(self, about: Description, testing: bool = False) -> int | str:
        """Frames that the network sees at a time; 1 for still images."""
        return 1


class TestingKnobs(Settings):
    """How the trained network is asked."""

    batch_size: Count = knob("clips or images in an iteration", 32)
    flip_test: bool = knob("average with the mirrored image when testing", True)
    test_scales: Scales = knob("sizes of the person to add up when testing", (1.0,))
    test_bias: float = knob("image pixels taken off x and y of every prediction", 0.0)
    soft_nms: bool = knob("lower duplicates' scores instead of dropping them", False)
    oks_thre: float = knob("OKS of two people from which one is a duplicate", 0.9, gt=0, le=1)
    in_vis_thre: float = knob("joint scores up to it do not count in a person's", 0.2, ge=0)
    image_thre: float = knob("smallest score of a detected box that is kept", 0.0, ge=0)

    @property
    def ranking(self) -> Ranking:
        """How people found in one image are ranked, on COCO."""
        return Ranking(**{name: getattr(self, name) for name in Ranking._fields})

    def transforms(self, joints: Skeleton) -> list:
        """How training changes the crops: not at all in testing."""
        return []

    def training_clips(self, people: Annotations, framing: Framing) -> dict[str, object]:
        """Further arguments of the training `Clips`: none in testing."""
        return {}

    def training_people(self, people: Annotations, framing: Framing) -> Annotations:
        """The people that a network is trained on: all of them."""
        return people


class RunKnobs(Settings):
    """Where and how the job runs; none of these but the seed changes results beyond rounding."""

    seed: int = knob("of everything random", 0, ge=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = knob("of the network", "auto")
    device: str = knob("auto, cpu, cuda, cuda:1, mps", "auto")
    workers: int = knob("loading processes; -1 for auto", -1, ge=-1)
    channels_last: bool = knob("memory format of the convolutions", True)
    interactive: bool | None = knob("show live widgets", None)


class CommonKnobs(RunKnobs, TestingKnobs, NetworkKnobs, DataKnobs):
    """What all families of networks are tested with."""


class TrainingKnobs(Settings):
    """How a network is trained."""

    recipe: str = knob("variant: params/<paper>/<dataset>-<recipe>.yaml", "paper")
    init: str | None = knob("run folder or weights file to start from", None)
    frozen_epochs: int = knob("epochs of the last layer alone, after init", 0, ge=0)
    num_processes: int = knob("processes that train together, one a GPU", 1, ge=1)
    backbone: str | None = knob("ImageNet weights: a file, auto, or none at all", None)

    rotation: float = knob("random turn, degrees", ge=0, le=180)
    flip_prob: Fraction = knob("share of clips that are mirrored")
    colour_jitter: Fraction = knob("random factor on each channel, 1 +- this", 0.0)
    occlusion: Literal[*KINDS] = knob("of crops: none, blur, cutout, both, multi, partmix", "none")
    occlusion_mode: Literal[*MODES] = knob(
        "what blur and cutout hide: " + ", ".join(MODES), "parts"
    )
    occlusion_prob: Fraction = knob("probability of each occlusion", 0.5)
    occlusion_exclude: bool = knob("leave hidden joints out of the loss", False)
    occlusion_frames: Literal["all", "run"] = knob(
        "the frames of a clip that are occluded: all, or a random run", "all"
    )

    share_decode: bool = knob("people of an image in one batch: faster, batches vary less", False)
    crop_cache: bool = knob("train on crops kept as JPEG in data/.cache: faster, not exact", False)

    epochs: Count = knob("passes over all training frames")
    rounds: int = knob("whole schedules, each from the best weights before", 1, ge=1, le=100)
    optimiser: Literal["sgd", "adam", "adamw"] = knob("sgd, adam or adamw")
    lr: Positive = knob("base learning rate")
    momentum: float = knob("of sgd", 0.9, ge=0, lt=1)
    weight_decay: float = knob("on weights; biases have none", ge=0)
    lr_gamma: float = knob("factor at each step", gt=0, le=1)
    bias_lr_factor: Positive = knob("learning rate of biases, relative", 1.0)
    first_stage_lr_factor: Positive = knob("learning rate of stage 1, relative", 1.0)
    clip_grad: float = knob("largest global gradient norm; 0 for none", 0.0, ge=0)
    sync_batchnorm: bool = knob("batch statistics over all GPUs, where several train", False)
    eval_every: Count = knob("epochs between validations", 1)
    resume: Literal["auto", "never"] = knob("continue an interrupted run", "auto")
    tensorboard: bool = knob("also write TensorBoard events", False)
    tensorboard_every: Count = knob("iterations between its points of loss, lr, accuracy", 100)
    debug_every: int = knob("epochs between pictures of crops and maps; 0 for none", 0, ge=0)

    def training_clips(self, people: Annotations, framing: Framing) -> dict[str, object]:
        """Further arguments of the training `Clips`."""
        crops = CropCache(people, framing) if self.crop_cache else None
        return {"share_decode": self.share_decode, "crops": crops}

    @property
    def occlusion_title(self) -> str:
        """How training crops are occluded, in words; empty for not at all."""
        if self.occlusion in ("blur", "cutout", "both"):
            return f"{self.occlusion} {self.occlusion_mode}"
        return "" if self.occlusion == "none" else self.occlusion
