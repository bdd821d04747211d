"""CPM and LPM: beliefs that sharpen by stage, and a memory that spans the frames."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ....models.blocks_pose_machine import STRIDE
from ....models.lpm import LPM, lstm_step
from ....reporting import figures
from ..experiment import Experiment
from .drawing import Drawn, crops, outputs_of, pictures, sheet

GATES = ("input gate", "forget gate", "output gate", "memory")


def receptive_fields(exp: Experiment) -> Drawn:
    """CPM: what each stage believes about a joint, and which pixels that belief hangs on."""
    ((image,), (picture,)), inputs, rows = crops(exp, 1), [], ([], [])
    hook = exp.task.model.register_forward_pre_hook(
        lambda _, given: inputs.append(given[0].requires_grad_())
    )
    beliefs = exp.task.outputs(image[None, :1])[0, :, :-1]  # (S, K, H, W)
    hook.remove()
    spreads = spread(beliefs.detach()) * STRIDE
    joint = int((spreads[0] - spreads[-1]).argmax())  # the one that gains most
    place = int(beliefs[-1, joint].argmax())
    for stage, belief in enumerate(beliefs[:, joint], start=1):
        slope = torch.autograd.grad(belief.flatten()[place], inputs, retain_graph=True)[0]
        slope, belief = slope[0].abs().amax(0), belief.detach().float()
        shown = figures.overlay(picture, belief.cpu().numpy(), max(float(belief.max()), 1e-6))
        rows[0].append((f"stage {stage}: spread {spreads[stage - 1, joint]:.0f} px", shown))
        shown = figures.overlay(picture, slope.cpu().numpy(), float(slope.quantile(0.995)))
        rows[1].append((f"field: spread {spread(slope):.0f} px", shown))
    name = exp.test.skeleton.words[joint]
    caption = "Above, the belief about one joint; below, the pixels that its final peak hangs on."
    return sheet(rows, (f"belief: {name}", "field in use")), "Stage by stage", caption


def spread(maps: Tensor) -> Tensor:
    """How far the positive part of maps (..., H, W) scatters around its mean, cells (...)."""
    mass = maps.clamp(min=1e-9)
    mass = mass / mass.sum((-2, -1), keepdim=True)
    sizes = [torch.arange(n, device=maps.device, dtype=maps.dtype) for n in maps.shape[-2:]]
    y, x = torch.meshgrid(*sizes, indexing="ij")
    means = [(mass * each).sum((-2, -1), keepdim=True) for each in (x, y)]
    return (mass * ((x - means[0]) ** 2 + (y - means[1]) ** 2)).sum((-2, -1)).sqrt()


def memory(exp: Experiment) -> Drawn:
    """LPM: gates and memory over the frames of a clip, as maps and at every joint."""
    images, skeleton = crops(exp, 1)[0], exp.test.skeleton
    with torch.inference_mode():
        beliefs = exp.task.heatmaps(images)
        found = gates_and_memory(exp.task.model, lambda: exp.task.outputs(images))
    maps = found.abs().mean(2).float().cpu().numpy()  # (T, 4, H, W)
    keypoints = exp.task.decode(beliefs, tuple(images.shape[-2:]))[0][0].cpu().numpy()
    corner = np.subtract(maps.shape[:1:-1], 1)
    x, y = np.moveaxis((keypoints / STRIDE).astype(int).clip(0, corner), -1, 0)
    frames, rows = pictures(images[0]), len(maps)
    figure = Figure(figsize=(11, 10), layout="constrained")
    grid = figure.subplots(5, rows + 1, width_ratios=[1] * rows + [1.4], squeeze=False)
    for ax in grid[:, :-1].flat:
        ax.set(xticks=(), yticks=(), frame_on=False)
    for t, (ax, frame) in enumerate(zip(grid[0], frames, strict=False)):
        ax.imshow(figures.portrait(frame, keypoints[t], skeleton))
        ax.set_title(f"frame {t + 1}", fontsize=9)
    grid[0, -1].axis("off")
    for name, shown, axes in zip(GATES, maps.swapaxes(0, 1), grid[1:], strict=True):
        limits = {"vmin": np.nanmin(shown), "vmax": np.nanmax(shown)}
        for ax, cells in zip(axes, shown, strict=False):
            ax.imshow(cells, **limits)
        axes[0].set_ylabel(name, fontsize=9)
        drawn = axes[-1].imshow(shown[np.arange(rows)[:, None], y, x].T, aspect="auto", **limits)
        axes[-1].set_yticks(range(len(skeleton)), skeleton.words, fontsize=6)
        axes[-1].set_xticks(range(rows), range(1, rows + 1), fontsize=7)
        figure.colorbar(drawn, ax=axes[-1]).ax.tick_params(labelsize=7)
    caption = "Means over channels; at the right the same where each joint is found."
    return figure, "Gates and memory over a clip", caption


def gates_and_memory(model: LPM, run: Callable[[], Any]) -> Tensor:
    """Input, forget and output gates and the memory of every frame, (T, 4, N, H, W).

    The first frame has nothing to forget: NaN.

    Args:
        model: the network.
        run: feeds it one clip.
    """
    with outputs_of([model.gates_x]) as from_input, outputs_of([model.gates_h]) as from_memory:
        run()
    C, frames = None, []
    for x, h in zip(from_input, [0, *from_memory], strict=True):
        gates = x + model.gate_bias[:, None, None] + h
        i, o, _, f = gates.sigmoid().chunk(4, dim=1)
        f = torch.full_like(f, torch.nan) if C is None else f
        _, C = lstm_step(gates, C)
        frames.append(torch.stack([i, f, o, C], 1)[0])
    return torch.stack(frames)
