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

from ..errors import PosekitError
from .blocks_pose_machine import STRIDE, WeightInit, check_inputs, conv, init_weights, stack
from .cpm import Features, Head, Stage1, pool_centre
from .registry import Width, pose_machine, register

PAPER = "LPM, Luo et al., CVPR 2018, arXiv 1712.06316"
GATE_BIAS = (1.4, 0.2, 0.0, 1.0)  # input, output, candidate, forget


class State(NamedTuple):
    """What a frame hands to the next.

    Attributes:
        belief: (B, K+1, H, W), b_t.
        hidden: (B, N, H, W), h_t.
        cell: (B, N, H, W), C_t.
    """

    belief: Tensor
    hidden: Tensor
    cell: Tensor


@register(pose_machine(name="lpm", kind="clip", paper=PAPER))
class LPM(nn.Module):
    """The LSTM pose machine, for clips of any length and streams; 12.1 M parameters at width 1."""

    def __init__(
        self, num_keypoints: int, width: Width = 1.0, weight_init: WeightInit = "paper"
    ) -> None:
        super().__init__()
        beliefs = num_keypoints + 1
        self.stage1 = Stage1(beliefs, width)
        self.features = Features(width)
        channels = self.features.channels + beliefs + 1  # the input's and the memory's
        self.gates_x = conv(channels, 4 * channels, 3)
        self.gates_h = conv(channels, 4 * channels, 3)
        self.gate_bias = nn.Parameter(torch.tensor(GATE_BIAS).repeat_interleave(channels))
        self.head = Head(channels, beliefs, width)
        init_weights(self, weight_init, width)

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
        features = self.features(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        centre = pool_centre(centre)
        beliefs, state = [self.stage1(frames[:, 0])], None
        for features_t in features.unbind(1):
            state = self._recur(features_t, beliefs[-1], centre, state)
            beliefs.append(state.belief)
        return torch.stack(beliefs, dim=1)

    def step(
        self, frame: Tensor, centre: Tensor, state: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> tuple[Tensor, State]:
        """Predict the next frame of a stream.

        Args:
            frame: (B, 3, h, w) normalised RGB, h and w multiples of 8.
            centre: (B, 1, h, w), a Gaussian at the person's centre.
            state: what the frame before returned, or a tuple of its three parts; None for the
                first frame.

        Returns:
            The belief (B, K+1, h/8, w/8) and the state for the next frame.

        Raises:
            PosekitError: if the shapes do not fit, or not those of the frame before.
        """
        check_inputs(frame, centre, frames=False)
        if state is None:
            belief = self.stage1(frame)
        else:
            self._check_state(state, frame)
            state = State(*state)
            belief = state.belief
        state = self._recur(self.features(frame), belief, pool_centre(centre), state)
        return state.belief, state

    def _check_state(self, state: tuple[Tensor, ...], frame: Tensor) -> None:
        """Refuse a state of another batch or size, which would be broadcast."""
        batch, (height, width) = len(frame), (pixels // STRIDE for pixels in frame.shape[-2:])
        beliefs, channels = self.head.conv5.out_channels, self.gates_h.in_channels
        expected = [(batch, n, height, width) for n in (beliefs, channels, channels)]
        found = [tuple(part.shape) for part in state]
        if found != expected:
            raise PosekitError(
                f"step: the state has the shapes {found}, this frame needs {expected} (belief, "
                "hidden, cell); keep batch and size or start again with state=None."
            )

    def _recur(
        self, features: Tensor, belief: Tensor, centre: Tensor, state: State | None
    ) -> State:
        """One step of the convolutional LSTM, and the prediction from its hidden state.

        Args:
            features: (B, N - K - 2, H, W) of this frame.
            belief: (B, K+1, H, W) of the frame before, or the initial one.
            centre: (B, 1, H, W).
            state: of the frame before; None in the first, which has no hidden state to look at.
        """
        gates = self.gates_x(stack(features, belief, centre)) + self.gate_bias[:, None, None]
        if state is None:
            h, C = lstm_step(gates, None)
        else:
            h, C = lstm_step(gates + self.gates_h(state.hidden), state.cell)
        return State(self.head(h), h, C)


def lstm_step(gates: Tensor, C: Tensor | None) -> tuple[Tensor, Tensor]:
    """Apply the gates of the convolutional LSTM, named as in the paper.

    Args:
        gates: (B, 4N, H, W) before their non-linearities: input, output, candidate and forget.
        C: (B, N, H, W), the cell so far; None in the first frame, which has nothing to forget.

    Returns:
        The hidden state and the new cell, both (B, N, H, W).
    """
    i, o, g, f = gates.chunk(4, dim=1)
    i = i.sigmoid()
    o = o.sigmoid()
    g = g.tanh()
    f = f.sigmoid()
    C = i * g if C is None else f * C + i * g
    h = o * C.tanh()
    return h, C


IDEA = LPM._recur, lstm_step  # what the notebook shows of this file
