"""LPM training step: features of all frames at once and four gates at once, or one by one.

The plain version does the same arithmetic in the order of the paper's equations: frame by
frame, two convolutions per gate. Both run in turns in one process on one thread, so that a busy
machine slows them alike; the ratio of their user CPU times is what counts.
"""

import os

import torch
from torch import Tensor
from torch.nn import functional as F

from posekit.models import create_model
from posekit.models.cpm import pool_centre
from posekit.models.lpm import LPM

FRAMES, SIZE, ROUNDS = 5, 128, 5


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


def main() -> float:
    """Print one line and return the ratio of CPU times, plain over ours (best of all rounds)."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = create_model("lpm", width=0.5, weight_init="he").eval()
    frames = torch.rand(1, FRAMES, 3, SIZE, SIZE) - 0.5
    centre = torch.rand(1, 1, SIZE, SIZE)
    ways = {"plain": plain, "ours": LPM.forward}
    results = {name: way(model, frames, centre) for name, way in ways.items()}
    torch.testing.assert_close(results["ours"], results["plain"], rtol=1e-3, atol=1e-3)
    seconds = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            model.zero_grad()
            start = os.times().user
            way(model, frames, centre).square().mean().backward()
            seconds[name].append(os.times().user - start)
    ours, other = min(seconds["ours"]), min(seconds["plain"])
    print(
        f"lpm training step, {FRAMES} frames of {SIZE} px, width 0.5, 1 thread: "
        f"ours {ours:.2f} s, frame by frame {other:.2f} s, ratio {other / ours:.2f}"
    )
    return other / ours


if __name__ == "__main__":
    main()
