"""The table of networks: what each takes and returns, which paper it is from, how to build it."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from torch import nn

from ..errors import PosekitError
from ..files.paths import imported
from ..files.words import near

# Of ImageNet's pixels 0..255 in the order R, G, B. Networks fed with BGR images were trained
# with the same numbers in the same order, so their blue is normalised as red; keep it so.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

_Count = Annotated[int, Field(ge=1, description="joints, K")]
Width = Annotated[float, Field(gt=0, le=8, description="multiplier on channels")]


@dataclass(frozen=True)
class Description:
    """What the rest of the package has to know about a network to feed it, read it and train it.

    Attributes:
        name: the name `create_model` knows it by.
        paper: short title, authors, venue and arXiv number.
        stem: the paper's stem, under which its runs and published scores are filed; by default the
            file that the network is written in, or the name of one from outside the package, with
            that of its module where a paper of the package has this stem.
        recipe: the folder below params/ that holds its recipes, perhaps with a variant, such as
            "lpn/lp_net"; by default the stem, for networks from outside their family's first paper.
        family: how it is fed, taught and read: pose_machine or top_down (posekit.models.families).
        skeleton: name of the skeleton whose joints it outputs, None where the data set decides.
        num_keypoints: K, joints without the background.
        kind: "clip" for frames (B, T, 3, h, w), "image" for images (B, 3, h, w).
        centre_map: whether `forward` takes a centre map (B, 1, h, w) as second argument.
        half_pixel: where heat-map cell g lies in the image, with s = h / H: at pixel
            (g + .5) * s - .5 if True, at g * s if False.
        colour: order of the image channels.
        mean: per channel, subtracted from pixel values 0..255.
        std: per channel, divides what is left.
        background: whether the last channel is the background.
        fast_bf16: whether a CPU with bf16 instructions trains it much faster by them. Measured:
            dense convolutions gain, depthwise and narrow ones do not.
        trained_on: data set of the published weights that it is made for, where that changes how it
            is fed and read (posekit.models.mobilepose); None elsewhere.
    """

    name: str
    paper: str
    stem: str = ""
    recipe: str = ""
    family: str = "top_down"
    skeleton: str | None = None
    num_keypoints: int = 17
    kind: str = "image"
    centre_map: bool = False
    half_pixel: bool = False
    colour: str = "RGB"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    background: bool = False
    fast_bf16: bool = False
    trained_on: str | None = None


# What the networks of that family have in common.
pose_machine = partial(
    Description,
    family="pose_machine",
    skeleton="pose_machine",
    num_keypoints=14,
    centre_map=True,
    half_pixel=True,
    mean=(128.0,) * 3,
    std=(256.0,) * 3,
    background=True,
    fast_bf16=True,
)

Builder = Callable[..., nn.Module]
_builders: dict[str, tuple[Description, Builder]] = {}
_PACKAGE = __name__.rpartition(".")[0]
FIRST_PAPER = {"pose_machine": "cpm", "top_down": "simplebaseline"}  # of each family
_CLIPS = "lpm"  # the paper whose recipes suit networks of clips


def register(description: Description) -> Callable[[Builder], Builder]:
    """Enter a network in the table; decorates its builder `f(num_keypoints, **options)`.

    The builder may be a class. Its further parameters are the network's options and become knobs;
    `Annotated[type, pydantic.Field(description=...)]` says what they mean and may take. A builder
    whose options change the description sets `model.description` itself.

    Raises:
        PosekitError: the name is taken, the family unknown, or the builder has no num_keypoints.
    """

    def enter(builder: Builder) -> Builder:
        name, usual = description.name, FIRST_PAPER.get(description.family)
        if usual is None:
            known = ", ".join(FIRST_PAPER)
            raise _refusal(name, f"family {description.family!r} is none of {known}")
        if "num_keypoints" not in inspect.signature(builder).parameters:
            raise _refusal(name, "it has to take num_keypoints, the number of maps it returns")
        ours, module = _home(builder)
        if ours:
            stem = recipe = description.stem or module
        else:
            papers = {about.stem for about, known in _builders.values() if _home(known)[0]}
            if name in _builders and _home(_builders[name][1])[0]:
                raise _refusal(name, "posekit has a network of this name: choose another")
            own = _stem(name)
            stem = description.stem or (f"{own}_{_stem(module)}" if own in papers else own)
            recipe = _CLIPS if description.kind == "clip" else usual
        recipe = description.recipe or recipe
        _builders[name] = replace(description, stem=stem, recipe=recipe), builder
        return builder

    return enter


def _home(builder: Builder) -> tuple[bool, str]:
    """Whether a builder is of this package, and the file that it is written in."""
    package, _, module = getattr(builder, "func", builder).__module__.rpartition(".")
    return package == _PACKAGE, module


def _stem(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _refusal(name: str, reason: str) -> PosekitError:
    return PosekitError(f"network {name}: {reason}")


def list_models(pattern: str = "*") -> list[str]:
    """Names of the networks that match a shell pattern, in alphabetical order."""
    return sorted(n for n in _builders if fnmatchcase(n, pattern) and ":" not in n)


def describe(name: str) -> Description:
    """What a network of this name takes and returns, without building it.

    Args:
        name: one of `list_models()`, or `my_module:MyNet` for a network from outside the package.

    Raises:
        PosekitError: for an unknown name.
    """
    return _find(name)[0]


def options_of(name: str) -> dict[str, inspect.Parameter]:
    """The options of a network's builder, with their types and defaults."""
    parameters = inspect.signature(_find(name)[1], eval_str=True).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {n: p for n, p in parameters.items() if n != "num_keypoints" and p.kind in named}


def create_model(name: str, num_keypoints: int | None = None, **options: object) -> nn.Module:
    """Build a network with freshly initialised weights.

    Args:
        name: one of `list_models()`, or `my_module:MyNet`.
        num_keypoints: K joints; None takes the number of the network's paper.
        **options: the builder's own, such as `width`.

    Returns:
        The network; its `.description` says what it takes and returns.

    Raises:
        PosekitError: for an unknown name or option, or a value that makes no network.
    """
    description, builder = _find(name)
    known = options_of(name)
    keypoints = description.num_keypoints if num_keypoints is None else num_keypoints
    _check("num_keypoints", keypoints, _Count)
    for option, value in options.items():
        if option not in known:
            raise PosekitError(_unknown(f"option of {name}", option, [*known, "num_keypoints"]))
        if known[option].annotation is not inspect.Parameter.empty:
            _check(option, value, known[option].annotation)
    model = builder(keypoints, **options)
    described = getattr(model, "description", description)
    filed = {"stem": description.stem, "recipe": description.recipe}
    model.description = replace(described, num_keypoints=keypoints, **filed)
    return model


def _check(option: str, value: object, kind: object) -> None:
    """Refuse a value that is not of the declared type or out of its range."""
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Input should be ")
        meaning = "".join(f" ({field.description})" for field in getattr(kind, "__metadata__", ()))
        raise PosekitError(f"create_model: {option}={value!r} must be {reason}{meaning}") from None


def _find(name: str) -> tuple[Description, Builder]:
    if name in _builders:
        return _builders[name]
    if ":" not in name:
        raise PosekitError(_unknown("network", name, list_models()))
    builder = imported("network", name)
    entry = next((entry for entry in _builders.values() if entry[1] is builder), None)
    if entry is None:
        if not (isinstance(builder, type) and issubclass(builder, nn.Module)):
            raise _refusal(
                name, "neither a torch.nn.Module nor registered with posekit.models.register"
            )
        module, _, own = name.partition(":")
        register(Description(name=own, paper=f"{own} of {module}"))(builder)
        entry = _builders[own]
    _builders[name] = entry
    return entry


def _unknown(what: str, name: str, known: list[str]) -> str:
    hint = near(name, known) or f": there are {', '.join(known)}."
    return f"create_model: no {what} is called {name!r}{hint}"
