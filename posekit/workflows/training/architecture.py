"""The network as a drawing with the shapes of this run, and its decisive lines."""

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import cycle, pairwise
from textwrap import dedent
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown
from matplotlib import rc_context
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from ...reporting.figures import STYLE
from .building import batch_of
from .experiment import Experiment

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7")


@dataclass
class Stage:
    """A part of a network as it was computed.

    Attributes:
        name: of the module.
        shapes: (C, H, W) of its outputs, several from parallel branches, the finest first.
        times: how often it was computed.
    """

    name: str
    shapes: list[tuple[int, int, int]]
    times: int = 1

    @property
    def part(self) -> str:
        """The child of the network that it belongs to."""
        return self.name.partition(".")[0]


def source(exp: Experiment) -> Markdown:
    """The decisive lines of the network, from its source file.

    The file names them as `IDEA`; of a network without it, `forward` is shown.
    """
    network = type(exp.task.model)
    file = sys.modules[network.__module__]
    parts = getattr(file, "IDEA", (network.forward,))
    try:
        lines = "\n\n".join(
            f"# {part.__qualname__}\n\n{dedent(inspect.getsource(part)).rstrip()}" for part in parts
        )
    except (OSError, TypeError):  # not every network was read from a file
        lines = f"# the source of {network.__qualname__} is not at hand"
    return Markdown(f"From `{network.__module__}`:\n\n```python\n{lines}\n```")


def architecture(exp: Experiment) -> Any:
    """A figure of the network: a box for each stage, as high as its maps, wider for more channels.

    Args:
        exp: after `build`.
    """
    images = batch_of(exp.test, np.array([0]), exp.machine)["images"]
    found = stages(exp.task.model.eval(), partial(exp.task.outputs, images))
    if not found:
        print("nothing to draw: no part of this network returns maps")
        return None
    picture = images[0, 0].permute(1, 2, 0).cpu().numpy()
    figure = _drawn(found, picture, f"{exp.about.name} as built for {exp.run.label}")
    caption = "Stages as computed: as high as their maps (size below), wider for more channels."
    return exp.run.figure("2-architecture", figure, caption)


@torch.inference_mode()
def stages(model: nn.Module, run: Callable[[], Any]) -> list[Stage]:
    """The stages of a network in the order in which they are computed, by forward hooks.

    They are its children; one whose own children differ in resolution, or return parallel
    branches, is opened. Of a module that calls itself, the way down is there too.

    Args:
        model: the network.
        run: computes it once.
    """
    calls: list[Stage] = []
    done: dict[str, Stage] = {}
    active: list[str] = []

    def enter(name: str, _: nn.Module, inputs: tuple) -> None:
        if name in active:
            calls.append(Stage(name, _shapes(inputs)))
        active.append(name)

    def leave(name: str, _: nn.Module, __: tuple, output: Any) -> None:
        active.remove(name)
        if name in done:
            done[name].times += 1
            return
        calls.append(Stage(name, _shapes(output if isinstance(output, list | tuple) else [output])))
        if name not in active:
            done[name] = calls[-1]

    hooks = []
    for name, module in model.named_modules():
        if name and name.count(".") < 2 and not isinstance(module, nn.BatchNorm2d | nn.ReLU):
            hooks.append(module.register_forward_pre_hook(partial(enter, name)))
            hooks.append(module.register_forward_hook(partial(leave, name)))
    run()
    for hook in hooks:
        hook.remove()
    return _chosen([call for call in calls if call.shapes])


def _shapes(values: Iterable[Any]) -> list[tuple[int, int, int]]:
    maps = (value for value in values if isinstance(value, Tensor) and value.ndim > 3)
    return [tuple(each.shape[-3:]) for each in maps]


def _chosen(calls: list[Stage]) -> list[Stage]:
    """Children, opened where they hold several resolutions or branches; no shape twice in a row."""
    called, inner = {call.name for call in calls}, {}
    for call in calls:
        if call.name != call.part:
            inner.setdefault(call.part, []).append(call)
    opened = {
        part
        for part, own in inner.items()
        if part not in called
        or len({call.shapes[0][1:] for call in own}) > 1
        or any(len(call.shapes) > 1 for call in own)
    }
    chosen: list[Stage] = []
    for call in reversed(calls):  # a new branch is drawn where it joins the others
        branches = chosen[-1].shapes if chosen and len(chosen[-1].shapes) > 1 else []
        joins = call.part not in called and call.shapes[0] in branches
        if (call.name == call.part) != (call.part in opened) and not joins:
            chosen.append(call)
    first, chosen = chosen[-1:], chosen[::-1]
    for before, call in pairwise(chosen):
        follows = call.part in {before.part} | (inner.keys() - called)
        if len(call.shapes) > 1 or call.shapes != before.shapes or not follows:
            first.append(call)
    return first


@rc_context(STYLE)
def _drawn(found: list[Stage], picture: np.ndarray, title: str) -> Figure:
    """Boxes in a row after the picture that enters; coarser branches below finer ones."""
    height, width = picture.shape[:2]
    gap, most = 0.16 * height, max(shape[0] for stage in found for shape in stage.shapes)
    widest = max(found, key=lambda stage: len(stage.shapes)).shapes
    lanes = [0.0]
    for upper, lower in pairwise(widest):
        lanes.append(lanes[-1] - (upper[1] + lower[1]) / 2 - gap)
    bottom = min(lanes[-1] - widest[-1][1] / 2, -height / 2) - 0.7 * gap
    colours = dict(zip(dict.fromkeys(stage.part for stage in found), cycle(_COLOURS)))
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    text = partial(ax.text, ha="center", fontsize=7)
    ax.imshow(picture, extent=(-width, 0, -height / 2, height / 2))
    text(-width / 2, -height / 2 - gap / 12, f"{height}\u00d7{width}", va="top")
    x, before, ends = gap / 2, [], []
    for stage in found:
        sizes = [0.04 * height + 0.22 * height * (shape[0] / most) ** 0.5 for shape in stage.shapes]
        placed = list(zip(stage.shapes, sizes, lanes, strict=False))
        if max(len(ends), len(placed)) > 1:  # every branch receives all others
            lines = [(end, (x, y)) for end in ends for _, _, y in placed]
            ax.add_collection(LineCollection(lines, colors="0.6", linewidths=0.6, zorder=0))
        for (channels, h, w), size, y in placed:
            box = Rectangle((x, y - h / 2), size, h, color=colours[stage.part], linewidth=0)
            ax.add_patch(box)
            if (channels, h, w) not in before:
                text(x + size / 2, y + h / 2 + gap / 12, channels, va="bottom")
                text(x + size / 2, y - h / 2 - gap / 12, f"{h}\u00d7{w}", va="top")
        name = stage.name + f" \u00d7 {stage.times}" * (stage.times > 1)
        text(x + max(sizes) / 2, bottom, name, va="top", rotation=90, color=colours[stage.part])
        ends, before = [(x + size, y) for _, size, y in placed], stage.shapes
        x += max(sizes) + gap * (1.1 if len(placed) > 1 else 0.7)
    top = max(height, *(stage.shapes[0][1] for stage in found)) / 2 + gap
    ax.set(xlim=(-1.03 * width, x), ylim=(bottom - 2.6 * gap, top))
    inches = max(11, 0.4 * len(found))
    figure.set_size_inches(inches, 0.5 + inches * (top - bottom + 2.6 * gap) / (x + 1.03 * width))
    ax.axis("off")
    figure.suptitle(title, parse_math=False)
    return figure
