"""LPM: features of all frames at once and four gates at once, or one by one.

The baseline does the same arithmetic in the order of the paper's equations, frame by frame, two
convolutions per gate.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from posekit.models import create_model
from posekit.models.cpm import pool_centre
from posekit.models.lpm import LPM

from .harness import Pair, row

FRAMES, SIZE = 5, 128


def plain(model: LPM, frames: Tensor, centre: Tensor) -> Tensor:
    """Beliefs (B, T+1, K+1, H, W) of `model`, one frame and one gate after the other."""
    weights_x, weights_h = model.gates_x.weight.chunk(4), model.gates_h.weight.chunk(4)
    biases_x, biases_h = model.gates_x.bias.chunk(4), model.gates_h.bias.chunk(4)
    extra = model.gate_bias.chunk(4)
    beliefs = [model.stage1(frames[:, 0])]
    hidden = cell = None
    for frame in frames.unbind(1):
        x = torch.cat([model.features(frame), beliefs[-1], pool_centre(centre)], dim=1)

        def gate(n: int, x: Tensor = x, hidden: Tensor | None = hidden) -> Tensor:
            total = F.conv2d(x, weights_x[n], biases_x[n], padding=1)
            if hidden is not None:
                total = total + F.conv2d(hidden, weights_h[n], biases_h[n], padding=1)
            return total + extra[n][:, None, None]

        new = gate(0).sigmoid() * gate(2).tanh()
        cell = new if cell is None else gate(3).sigmoid() * cell + new
        hidden = gate(1).sigmoid() * cell.tanh()
        beliefs.append(model.head(hidden))
    return torch.stack(beliefs, dim=1)


@row("lpm_frames_at_once", goal=1.0, against="frame by frame, gate by gate", rounds=5)
def lpm_frames_at_once() -> Pair:
    torch.manual_seed(0)
    model = create_model("lpm", width=0.5, weight_init="he").eval()
    frames = torch.rand(1, FRAMES, 3, SIZE, SIZE) - 0.5
    centre = torch.rand(1, 1, SIZE, SIZE)

    def step(way) -> Tensor:
        model.zero_grad()
        beliefs = way(model, frames, centre)
        beliefs.square().mean().backward()
        return beliefs.detach()

    def equal(plain: Tensor, ours: Tensor) -> str:
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-3)
        return f"beliefs within {(ours - plain).abs().max():.0e}"

    data = f"{FRAMES} frames of {SIZE} px, width 0.5, forward and backward"
    return Pair(lambda: step(plain), lambda: step(LPM.forward), equal, data)
