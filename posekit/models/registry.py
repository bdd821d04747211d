"""The table of networks: what each one eats and returns, and how to build it by name."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from ..errors import PosekitError


@dataclass(frozen=True)
class Description:
    """What the rest of the package has to know about a network to feed it and read it.

    Attributes:
        name: the name `create_model` knows it by.
        paper: short title, authors, venue and arXiv number.
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
    """

    name: str
    paper: str
    skeleton: str | None = None
    num_keypoints: int = 14
    kind: str = "image"
    centre_map: bool = False
    half_pixel: bool = False
    colour: str = "RGB"
    mean: tuple[float, float, float] = (128.0, 128.0, 128.0)
    std: tuple[float, float, float] = (256.0, 256.0, 256.0)
    background: bool = False


Builder = Callable[..., nn.Module]
_builders: dict[str, tuple[Description, Builder]] = {}


def register(description: Description) -> Callable[[Builder], Builder]:
    """Enter a network in the table; decorates its builder `f(num_keypoints, **options)`.

    A builder whose options change the description sets `model.description` itself.
    """

    def enter(builder: Builder) -> Builder:
        _builders[description.name] = description, builder
        return builder

    return enter


def list_models(pattern: str = "*") -> list[str]:
    """Names of the networks that match a shell pattern, in alphabetical order."""
    return sorted(name for name in _builders if fnmatchcase(name, pattern))


def describe(name: str) -> Description:
    """What a network of this name eats and returns, without building it.

    Raises:
        PosekitError: for an unknown name.
    """
    if name not in _builders:
        raise PosekitError(_no_such("network", name, list_models()))
    return _builders[name][0]


def module_of(name: str) -> str:
    """The file of posekit/models/ that a network is written in, its paper's stem."""
    describe(name)
    builder = _builders[name][1]
    return getattr(builder, "func", builder).__module__.rpartition(".")[2]


def create_model(name: str, num_keypoints: int | None = None, **options: object) -> nn.Module:
    """Build a network with freshly initialised weights.

    Args:
        name: one of `list_models()`.
        num_keypoints: K joints; None takes the number of the network's paper.
        **options: the builder's own, such as `width`.

    Returns:
        The network; its `.description` says what it eats and returns.

    Raises:
        PosekitError: for an unknown name or option, or a value that makes no network.
    """
    description, builder = describe(name), _builders[name][1]
    known = [name for name in inspect.signature(builder).parameters if name != "num_keypoints"]
    for option in options:
        if option not in known:
            raise PosekitError(_no_such(f"option of {name}", option, known))
    keypoints = description.num_keypoints if num_keypoints is None else num_keypoints
    if isinstance(keypoints, bool) or not isinstance(keypoints, int) or keypoints < 1:
        raise PosekitError(f"create_model: num_keypoints={keypoints!r} must be an integer >= 1.")
    model = builder(keypoints, **options)
    described = getattr(model, "description", description)
    model.description = replace(described, num_keypoints=keypoints)
    return model


def _no_such(what: str, name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}."
    return f"create_model: no {what} is called {name!r}; {hint}"
