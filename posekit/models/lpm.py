"""LSTM Pose Machines (Luo, Ren, Wang, Sun, Pan, Liu, Pang, Lin, CVPR 2018, arXiv 1712.06316).

A pose machine whose stages are the frames of a video. All frames share one set of weights, and
a convolutional LSTM between the image features and the prediction carries the appearance and
the geometry of the joints from frame to frame (section 3). Frame 1 starts from the
first stage of a CPM.

The network is the released caffe one: poolings round up, beliefs are linear, the first frame
has neither forget gate nor hidden convolution, and every gate has one more learned bias per
channel before its non-linearity (input 1.4, output 0.2, candidate 0, forget 1 at the start).
Names map to caffe's layers:

    conv1..7_stage1                       stage1.conv1..7
    conv1..4_stage2                       features.conv1..4
    {i,o,g,f}_x_*, {i,o,g,f}_h_*          gates_x, gates_h, four blocks of channels in this order
    bias of {i,o,g,f}_stage*              gate_bias, same order
    Mconv1..5_stage2 = Mres1..5_stage3..  head.conv1..5
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import PosekitError
from ._blocks import Features, Head, Stage1, check_inputs, conv, init_weights, pool_centre, stack
from ._registry import Description, register

GATE_BIAS = (1.4, 0.2, 0.0, 1.0)  # input, output, candidate, forget


class State(NamedTuple):
    """What a frame hands to the next.

    Attributes:
        belief: (B, K+1, H, W), b_t.
        hidden: (B, C, H, W), h_t.
        cell: (B, C, H, W), C_t.
    """

    belief: Tensor
    hidden: Tensor
    cell: Tensor


class LPM(nn.Module):
    """The LSTM pose machine, for clips of any length and for streams."""

    def __init__(self, num_keypoints: int, width: float = 1.0, init: str = "paper") -> None:
        super().__init__()
        beliefs = num_keypoints + 1
        self.stage1 = Stage1(beliefs, width)
        self.features = Features(width)
        channels = self.features.channels + beliefs + 1  # the input's and the memory's
        self.gates_x = conv(channels, 4 * channels, 3)
        self.gates_h = conv(channels, 4 * channels, 3)
        self.gate_bias = nn.Parameter(torch.tensor(GATE_BIAS).repeat_interleave(channels))
        self.head = Head(channels, beliefs, width)
        init_weights(self, init, width)

    def forward(self, frames: Tensor, centre: Tensor) -> Tensor:
        """Predict every frame of a clip.

        Args:
            frames: (B, T, 3, h, w) normalised RGB, h and w multiples of 8, any T >= 1.
            centre: (B, 1, h, w), a Gaussian at the person's centre, the same for all frames.

        Returns:
            (B, T+1, K+1, h/8, w/8): the initial belief of frame 1, then one per frame.

        Raises:
            PosekitError: if the shapes do not fit.
        """
        check_inputs(frames, centre, frames=True)
        initial = self.stage1(frames[:, 0])
        beliefs, state = [initial], None
        for evidence in self._evidence(frames, centre).unbind(1):
            state = self._recur(evidence, initial, state)
            beliefs.append(state.belief)
        return torch.stack(beliefs, dim=1)

    def step(
        self, frame: Tensor, centre: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Predict the next frame of a stream.

        Args:
            frame: (B, 3, h, w) normalised RGB, h and w multiples of 8.
            centre: (B, 1, h, w), a Gaussian at the person's centre.
            state: what the frame before returned, None for the first frame.

        Returns:
            The belief (B, K+1, h/8, w/8) and the state for the next frame.

        Raises:
            PosekitError: if the shapes do not fit, or not those of the frame before.
        """
        check_inputs(frame, centre, frames=False)
        evidence = self._evidence(frame[:, None], centre)[:, 0]
        if state is not None and state.cell.shape[-2:] != evidence.shape[-2:]:
            raise PosekitError(
                f"step: the state has cells {tuple(state.cell.shape[-2:])}, this frame "
                f"{tuple(evidence.shape[-2:])}; keep the size or start again with state=None."
            )
        initial = self.stage1(frame) if state is None else None
        state = self._recur(evidence, initial, state)
        return state.belief, state

    def _evidence(self, frames: Tensor, centre: Tensor) -> Tensor:
        """What image features and centre map add to the gates, (B, T, 4C, H, W).

        It does not depend on time: all frames in one pass, the belief's part follows per frame.
        """
        batch, time = frames.shape[:2]
        features = self.features(frames.flatten(0, 1))
        centre = pool_centre(centre).repeat_interleave(time, dim=0)
        n = features.shape[1]
        weight = torch.cat([self.gates_x.weight[:, :n], self.gates_x.weight[:, -1:]], dim=1)
        bias = self.gates_x.bias + self.gate_bias
        gates = F.conv2d(stack(features, centre), weight, bias, padding=1)
        return gates.unflatten(0, (batch, time))

    def _recur(self, evidence: Tensor, initial: Tensor | None, state: State | None) -> State:
        """One step of the LSTM and its prediction, section 3."""
        n = self.features.channels
        weight = self.gates_x.weight[:, n:-1]  # of the beliefs
        if state is None:  # nothing to forget, and no hidden state to look at
            known = 3 * evidence.shape[1] // 4
            gates = evidence[:, :known] + F.conv2d(initial, weight[:known], padding=1)
            hidden, cell = remember(gates, None)
        else:
            weight = torch.cat([weight, self.gates_h.weight], dim=1)
            past = stack(state.belief, state.hidden)
            gates = evidence + F.conv2d(past, weight, self.gates_h.bias, padding=1)
            hidden, cell = remember(gates, state.cell)
        return State(self.head(hidden), hidden, cell)


def remember(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """Apply the gates of the LSTM.

    Args:
        gates: (B, 4C, H, W) before their non-linearities: input, output, candidate and forget;
            without forget, (B, 3C, H, W), if there is no cell yet.
        cell: (B, C, H, W), the memory so far.

    Returns:
        The hidden state and the new cell, both (B, C, H, W).
    """
    if cell is None:
        i, o, g = gates.chunk(3, dim=1)
        cell = i.sigmoid() * g.tanh()
    else:
        i, o, g, f = gates.chunk(4, dim=1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@register(
    Description(
        name="lpm",
        paper="LPM, Luo et al., CVPR 2018, arXiv 1712.06316",
        skeleton="pose_machine",
        kind="clip",
        centre_map=True,
        half_pixel=True,
        background=True,
    )
)
def lpm(num_keypoints: int, width: float = 1.0, init: str = "paper") -> LPM:
    """LSTM pose machine; 12.1 M parameters at width 1."""
    return LPM(num_keypoints, width, init)
