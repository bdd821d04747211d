"""Every knob of a run, family by family; the descriptions are what notebooks and errors show."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from ..data import dataset_name
from .parameters import Parameters

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Pixels = Annotated[int, Field(ge=16)]
Dataset = Annotated[str, AfterValidator(dataset_name)]
Source = Literal["auto", "real", "sample"]
Split = Literal["test", "val", "train"]
Boxes = Literal["ground_truth", "detections"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Decoder = Literal[
    "argmax", "quarter", "dark", "soft_argmax", "soft_argmax_official", "soft_argmax_lp_net"
]

# Knobs that decide which network is built, and those of how it is fed and read besides: a weight
# file notes its own.
NETWORK_OPTIONS = ("width", "attention", "gcb", "survival", "p_last")
NOTED = (
    *NETWORK_OPTIONS,
    "dataset",
    "image_size",
    "box_padding",
    "sigma",
    "centre_sigma",
    "decoder",
    "shift_heatmap",
)


class Recipe(Parameters):
    """What every paper's notebook has."""

    paper: str = Field(description="stem of the paper: lpm, cpm, ...")
    dataset: Dataset = Field("PennAction", description="LSP, MPII, PennAction or COCO")
    source: Source = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds coco, LSP, mpii, PennAction")
    recipe: str = Field("paper", description="variant: params/<paper>/<dataset>-<recipe>.yaml")
    eval_split: Split = Field("test", description="split of the score")

    network: str = Field(description="a name of posekit.list_models()")
    width: Annotated[float, Field(gt=0, le=4)] = Field(1.0, description="multiplier on channels")
    image_size: tuple[Pixels, Pixels] = Field(description="crop as [h, w], pixels")
    box_padding: Positive = Field(description="side of the crop as a multiple of the person's box")

    rotation: Degrees = Field(description="random turn, +- degrees")
    flip_prob: Fraction = Field(description="share of clips that are mirrored")
    colour_jitter: Fraction = Field(0.0, description="random factor on each channel, 1 +- this")

    occlusion: Literal["none", "blur", "cutout", "both", "multi", "partmix"] = Field(
        "none", description="what covers training crops: none, blur, cutout, both, multi, partmix"
    )
    occlusion_mode: Literal["keypoint", "parts", "all"] = Field(
        "parts", description="what is covered by blur and cutout: keypoint, parts, all"
    )
    occlusion_prob: Fraction = Field(0.5, description="probability of each covering")
    occlusion_exclude: bool = Field(False, description="leave covered joints out of the loss")

    init: str | None = Field(None, description="run folder or weights file to start from")
    epochs: Count = Field(description="passes over all training frames")
    batch_size: Count = Field(description="clips or images in an iteration")
    optimiser: Literal["sgd", "adam", "adamw"] = Field(description="sgd, adam or adamw")
    lr: Positive = Field(description="base learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of sgd")
    weight_decay: NotNegative = Field(description="on weights; biases have none")
    lr_gamma: Annotated[float, Field(gt=0, le=1)] = Field(description="factor at each step")
    clip_grad: NotNegative = Field(0.0, description="largest global gradient norm; 0 for none")
    holdout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="share of the training part kept for validation"
    )
    eval_every: Count = Field(1, description="epochs between validations")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of everything random")

    precision: Precision = Field("auto", description="of the network")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    workers: Annotated[int, Field(ge=-1)] = Field(-1, description="loading processes; -1 for auto")
    channels_last: bool = Field(True, description="memory format of the convolutions")
    resume: Literal["auto", "never"] = Field("auto", description="continue an interrupted run")
    tensorboard: bool = Field(False, description="also write TensorBoard events")
    interactive: bool = Field(False, description="show the live browser of samples")

    @property
    def covering(self) -> str:
        """What covers the training crops, in words; empty for nothing."""
        if self.occlusion in ("blur", "cutout", "both"):
            return f"{self.occlusion} {self.occlusion_mode}"
        return "" if self.occlusion == "none" else self.occlusion

    def options(self) -> dict[str, Any]:
        """Options of `create_model`, where they depart from what every network does anyway."""
        return {} if self.width == 1 else {"width": self.width}


class PoseMachineRecipe(Recipe):
    """CPM and LPM."""

    weight_init: Literal["paper", "he"] = Field("paper", description="random weights: paper or he")
    frames: Annotated[int, Field(ge=1, le=128)] = Field(description="frames in a clip (T)")
    occlusion_frames: Literal["all", "run"] = Field(
        "all", description="the frames of a clip that are covered: all, or a random run"
    )
    sigma: Positive = Field(description="Gaussian of a target, crop pixels")
    centre_sigma: Positive = Field(21.0, description="Gaussian of the centre map, crop pixels")
    scale_range: tuple[Positive, Positive] = Field(description="random factor on the person's size")
    schedule: Literal["step", "onecycle"] = Field("step", description="step or onecycle")
    lr_step: Count = Field(description="iterations between two steps")
    bias_lr_factor: Positive = Field(1.0, description="learning rate of biases, relative")
    first_stage_lr_factor: Positive = Field(1.0, description="learning rate of stage 1, relative")
    loss: Literal["sum", "mean"] = Field("sum", description="squared errors: sum / 2B, or mean")
    flip_test: bool = Field(False, description="average with the mirrored image when testing")
    test_scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1.0,), description="sizes of the person to add up when testing"
    )

    @field_validator("scale_range")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("must be [smallest, largest]")
        return value

    def options(self) -> dict[str, Any]:
        """Width and random weights; those of MobilePose-master have one way to start."""
        chosen = self.weight_init != "paper" and self.network in ("cpm", "lpm")
        return super().options() | ({"init": self.weight_init} if chosen else {})


class TopDownRecipe(Recipe):
    """SimpleBaseline, HRNet, Hourglass and the lightweight networks."""

    dataset: Dataset = Field("COCO", description="COCO or MPII")
    boxes: Boxes = Field(
        "ground_truth", description="whose boxes are scored, ground_truth or detections"
    )
    backbone: str = Field("none", description="ImageNet weights: a file, auto or none")
    box_padding: Positive = Field(1.25, description="side of the crop as a multiple of the box")
    scale_factor: Fraction = Field(description="spread of the random factor on the person's size")
    rotation_prob: Fraction = Field(0.6, description="share of people that are turned")
    half_body_prob: Fraction = Field(0.0, description="share of people cut to half their body")
    sigma: Positive = Field(description="Gaussian of a target, heat-map cells")
    reference_mode: bool = Field(
        False, description="keep the references' oddities in coin, target, schedule, covering"
    )
    schedule: Literal["milestones", "onecycle"] = Field(
        "milestones", description="milestones or onecycle"
    )
    lr_milestones: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        description="epochs after which the learning rate falls"
    )
    loss: Literal["mse", "ohkm"] = Field("mse", description="mse, or ohkm for the 8 worst joints")
    decoder: Decoder = Field("quarter", description="how a map is read, see geometry.codecs")
    flip_test: bool = Field(True, description="average with the mirrored image when testing")
    shift_heatmap: bool = Field(True, description="move the mirror image's maps by one cell")
    soft_nms: bool = Field(False, description="lower duplicates' scores instead of dropping them")

    # The pose machines' knobs that the training loop asks every family for.
    bias_lr_factor: ClassVar[float] = 1.0
    first_stage_lr_factor: ClassVar[float] = 1.0
    test_scales: ClassVar[tuple[float, ...]] = (1.0,)


class LPNRecipe(TopDownRecipe):
    """LPN, and lp_net, its independent re-implementation."""

    attention: Literal["gc", "se", "none"] = Field(
        "gc", description="at the end of lpn's bottlenecks: gc, se or none"
    )
    gcb: bool = Field(True, description="whether lp_net's bottlenecks have a context block")
    rounds: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="whole schedules, each from the best weights of the one before"
    )
    test_bias: float = Field(0.0, description="image pixels taken off x and y of every prediction")

    def options(self) -> dict[str, Any]:
        """Width, attention or context block."""
        own: dict[str, Any] = {}
        if self.attention != "gc":
            own["attention"] = None if self.attention == "none" else self.attention
        if not self.gcb:
            own["gcb"] = False
        return super().options() | own


class LSDNetRecipe(TopDownRecipe):
    """LSDNet."""

    survival: Literal["linear", "constant", "off"] = Field(
        "linear", description="chance to keep a block, along the depth: linear, constant or off"
    )
    p_last: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="chance to keep the last block"
    )

    def options(self) -> dict[str, Any]:
        """Width and stochastic depth."""
        own = {"survival": self.survival, "p_last": self.p_last}
        usual = {name: type(self).model_fields[name].default for name in own}
        return super().options() | {k: v for k, v in own.items() if v != usual[k]}


Three = tuple[float, float, float]


class EvaluateRecipe(Parameters):
    """The parameters of notebooks/evaluate.ipynb; None leaves a value to the network."""

    paper: ClassVar[str] = "evaluate"
    resume: ClassVar[str] = "never"
    seed: ClassVar[int] = 0

    model: str = Field(
        "hrnet_w32", description="an .onnx file, a run folder, or a name of posekit.list_models()"
    )
    weights: str | None = Field(None, description="weights file for a name; None for random ones")
    width: Annotated[float, Field(gt=0, le=4)] = Field(
        None, description="multiplier on channels, for a name"
    )
    dataset: Dataset = Field("COCO", description="LSP, MPII, PennAction or COCO")
    source: Source = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds coco, LSP, mpii, PennAction")
    boxes: Boxes = Field(
        "ground_truth", description="whose boxes are scored, ground_truth or detections"
    )
    eval_split: Split = Field("test", description="split of the score")
    skeleton: str | None = Field(None, description="the network's joints, for an .onnx file")
    colour: Literal["rgb", "bgr"] = Field(None, description="order of the channels, .onnx only")
    mean: Three = Field(None, description="subtracted from pixels 0..255, .onnx only")
    std: Three = Field(None, description="divides what is left, .onnx only")
    half_pixel: bool = Field(None, description="maps are aligned at pixel centres, .onnx only")
    image_size: tuple[Pixels, Pixels] = Field(None, description="crop as [h, w], pixels")
    box_padding: Positive = Field(None, description="side of the crop as a multiple of the box")
    sigma: Positive = Field(None, description="Gaussian of a target, for the decoder dark")
    decoder: Decoder = Field(None, description="how a map is read, see geometry.codecs")
    flip_test: bool = Field(None, description="average with the mirrored image")
    shift_heatmap: bool = Field(None, description="move the mirror image's maps by one cell")
    soft_nms: bool = Field(None, description="lower duplicates' scores instead of dropping them")
    test_bias: float = Field(None, description="image pixels taken off every prediction, lpn only")
    batch_size: Count = Field(32, description="clips or images at a time")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Precision = Field("auto", description="of the network")
    workers: Annotated[int, Field(ge=-1)] = Field(-1, description="loading processes; -1 for auto")
    interactive: bool = Field(False, description="show the live browser of samples")

    @property
    def network(self) -> str:
        """What tables call the network."""
        return Path(self.model).name
