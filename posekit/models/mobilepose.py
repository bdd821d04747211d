"""CPM and LPM as the MobilePose-master repository trains them, to load its checkpoints.

Keys and shapes of the state dicts are that repository's, so `load_weights` is strict. So are
the departures from the papers, which change the numbers; `cpm` and `lpm` have none of them:

- poolings that round down (LPM: a 256 px input gives 31x31 cells) or pad with zeros followed
  by a 2x2 convolution that turns 32x32 into 31x31 (CPM); the papers round up;
- LPM: the candidate gate is a sigmoid instead of a tanh, a batch normalisation follows every
  gate's sigmoid where the paper adds a bias before it, beliefs pass a ReLU, the hidden
  convolution (its bias) acts on frame 1 too, dropout removes whole channels;
- CPM: only the last stage is returned, so no intermediate stage gets a loss;
- the background channel was trained on an all-zero target;
- colours are normalised with statistics of each data set, two of which are on a wrong scale, and
  the joints of Penn Action are read with left and right exchanged. The option `trained_on` says
  which data set weights are of: images enter as they did then, and beliefs leave with the
  person's own sides.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import PosekitError
from ..geometry.skeletons import POSE_MACHINE
from .blocks_pose_machine import STRIDE, check_inputs, conv, scaled, stack
from .cpm import PAPER as CPM_PAPER
from .lpm import PAPER as LPM_PAPER
from .registry import Width, pose_machine, register

# Mean and standard deviation (RGB) that the repository applies after dividing pixels by 255. The
# MPII file is on the 0..255 scale and the Penn Action file 5 times too large, but published
# checkpoints were trained with them.
RAW_MEANS = {
    "LSP": (
        (0.444209560584002, 0.43021657233025723, 0.4039498509479292),
        (0.2376052360504069, 0.2296329953620353, 0.23557411995801059),
    ),
    "MPII": (
        (120.22911071777344, 114.72505187988281, 104.42617797851562),
        (59.56351852416992, 58.467979431152344, 57.28889846801758),
    ),
    "PennAction": (
        (2.163123717539921, 2.145773974276673, 1.915995187568781),
        (1.1889148078779097, 1.1586892843957086, 1.118308045916771),
    ),
}
TrainedOn = Annotated[
    Literal[*RAW_MEANS] | None,
    Field(description="data set of weights of MobilePose-master; none for posekit's own"),
]
EXCHANGED = [*POSE_MACHINE.flip.tolist(), len(POSE_MACHINE)]  # left and right, the background stays
# What the names of the repository's files and folders hold. It asks its readers to call weights
# of LSP lpm_CPM_best.tar and to copy them to the folder of the next data set.
_NAMED = {"penn": "PennAction", "mpii": "MPII", "lsp": "LSP", "lpm_cpm_best": "LSP"}
GATES = "gfio"  # order of the state dict
UNSHARED_FRAMES = 5


def named_training_data(path: Path) -> str | None:
    """The data set that the name of a file speaks for, or else that of its folder."""
    names = (name.lower() for name in (path.name, path.absolute().parent.name))
    return next((data for name in names for part, data in _NAMED.items() if part in name), None)


class CaffeNames(nn.Module):
    """Layers in one flat list under caffe's names, `<layer>_stage<number>`.

    Attributes:
        exchanged: the weights take a person's left for the right.
    """

    exchanged = False

    def __init__(self, num_keypoints: int, width: float = 1.0) -> None:
        super().__init__()
        self.n_trunk, self.n_features = scaled(128, width), scaled(32, width)
        self.n_beliefs = num_keypoints + 1
        self.n_stacked = self.n_features + self.n_beliefs + 1  # with the centre map
        wide = scaled(512, width)
        first = (self.n_features, wide, 9), (wide, wide, 1), (wide, self.n_beliefs, 1)
        self._add_trunk(1, *first)

    def forward(self, frames: Tensor, centre: Tensor) -> Tensor:
        """Predict every frame of a clip, with the person's own left and right.

        Args:
            frames: (B, T, 3, h, w) normalised RGB.
            centre: (B, 1, h, w), one map for all frames.

        Returns:
            (B, S, K+1, h/8 - 1, w/8 - 1): of CPM a belief per frame, S = T; of LPM the initial
            belief before them, S = T + 1.

        Raises:
            PosekitError: if the shapes do not fit.
        """
        check_inputs(frames, centre, frames=True)
        if min(frames.shape[-2:]) < 2 * STRIDE:
            raise PosekitError(
                f"input size {frames.shape[-2]}x{frames.shape[-1]} leaves no heat-map cell; "
                f"height and width must be at least {2 * STRIDE}."
            )
        beliefs = self.predict(frames, centre)
        return beliefs[..., EXCHANGED, :, :] if self.exchanged else beliefs

    def _add_convs(self, stage: int, name: str, *sizes: tuple[int, int, int]) -> None:
        """Convolutions `<name>1`, `<name>2` ... with channels in, channels out and window."""
        for n, size in enumerate(sizes, 1):
            self.add_module(f"{name}{n}_stage{stage}", conv(*size))

    def _at(self, layer: str, stage: int) -> nn.Module:
        return getattr(self, f"{layer}_stage{stage}")

    def _add_trunk(self, stage: int, *more: tuple[int, int, int]) -> None:
        h = self.n_trunk
        trunk = (3, h, 9), (h, h, 9), (h, h, 9), (h, self.n_features, 5)
        self._add_convs(stage, "conv", *trunk, *more)

    def _add_head(self, stage: int, name: str) -> None:
        h, out = self.n_trunk, self.n_beliefs
        wide = (self.n_stacked, h, 11), (h, h, 11), (h, h, 11)
        self._add_convs(stage, name, *wide, (h, h, 1), (h, out, 1))

    def _add_gates(self, stage: int, channels: int) -> None:
        """The LSTM's four gates, two convolutions and a normalisation each."""
        for gate in GATES:
            for part in "xh":
                self.add_module(f"{gate}_{part}_stage{stage}", conv(channels, channels, 3))
            self.add_module(f"{gate}_stage{stage}", nn.BatchNorm2d(channels))

    def _evidence(self, images: Tensor, stage: int, padding: int) -> Tensor:
        for n in (1, 2, 3):
            images = self._at(f"conv{n}", stage)(images).relu()
            images = F.max_pool2d(images, 3, 2, padding)
        return images

    def _stage1(self, images: Tensor, padding: int, drop: float) -> Tensor:
        x = self._at("conv4", 1)(self._evidence(images, 1, padding)).relu()
        x = self._at("conv5", 1)(x).relu()
        x = self._at("conv6", 1)(F.dropout2d(x, drop, self.training)).relu()
        return self._at("conv7", 1)(F.dropout2d(x, drop, self.training))

    def _head(self, stage: int, name: str, x: Tensor) -> Tensor:
        for n in (1, 2, 3, 4):
            x = self._at(f"{name}{n}", stage)(x).relu()
        return self._at(f"{name}5", stage)(x)

    def _lstm_step(
        self, stage: int, x: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One LSTM step: new hidden state and cell, (B, C, H, W) each."""

        def gate(name: str) -> Tensor:
            total = self._at(f"{name}_x", stage)(x) + self._at(f"{name}_h", stage)(hidden)
            return self._at(name, stage)(total.sigmoid())

        cell = gate("i") * gate("g") + gate("f") * cell
        return gate("o") * cell.tanh(), cell


class CPMMobilePose(CaffeNames):
    """The repository's CPM: six stages, frame by frame, the last stage only; 31.2 M parameters."""

    def __init__(self, num_keypoints: int, width: float = 1.0) -> None:
        super().__init__(num_keypoints, width)
        self._add_trunk(2)
        self._add_head(2, "Mconv")
        for stage in range(3, 7):
            self._add_convs(stage, "conv", (self.n_trunk, self.n_features, 5))
            self._add_head(stage, "Mconv")
        self.final_layer = nn.Conv2d(self.n_beliefs, self.n_beliefs, 2)

    def predict(self, frames: Tensor, centre: Tensor) -> Tensor:
        batch, time = frames.shape[:2]
        images = frames.flatten(0, 1)
        centre = F.avg_pool2d(centre, 9, STRIDE, padding=1).repeat_interleave(time, dim=0)
        beliefs = self._stage1(images, padding=1, drop=0.0)
        evidence = self._evidence(images, 2, padding=1)
        for stage in range(2, 7):
            features = self._at("conv4" if stage == 2 else "conv1", stage)(evidence).relu()
            beliefs = self._head(stage, "Mconv", stack(features, beliefs, centre))
        return self.final_layer(beliefs).unflatten(0, (batch, time))


class LPMMobilePose(CaffeNames):
    """The repository's LPM: one set of weights for all frames, named stage 6; 12.1 M parameters."""

    def __init__(self, num_keypoints: int, width: float = 1.0) -> None:
        super().__init__(num_keypoints, width)
        self._add_trunk(6)
        self._add_head(6, "Mres")
        self._add_gates(6, self.n_stacked)

    def predict(self, frames: Tensor, centre: Tensor) -> Tensor:
        centre = F.avg_pool2d(centre, 9, STRIDE)
        features = self._at("conv4", 6)(self._evidence(frames.flatten(0, 1), 6, 0)).relu()
        beliefs = [self._stage1(frames[:, 0], padding=0, drop=0.5).relu()]
        hidden = cell = None
        batch, time = frames.shape[:2]
        for evidence in features.unflatten(0, (batch, time)).unbind(1):
            x = stack(evidence, beliefs[-1], centre)
            if cell is None:
                hidden = cell = 0 * x  # zeros_like would fix the batch of an exported graph
            hidden, cell = self._lstm_step(6, x, hidden, cell)
            beliefs.append(self._head(6, "Mres", hidden).relu())
        return torch.stack(beliefs, dim=1)


class LPMMobilePoseUnshared(CaffeNames):
    """The repository's LPM with its own weights for every frame: frame t is stage t + 1.

    It has 42.7 M parameters.
    """

    def __init__(self, num_keypoints: int, width: float = 1.0) -> None:
        super().__init__(num_keypoints, width)
        self._add_trunk(2)
        for gate in "gio":
            self.add_module(f"{gate}_x_stage2", conv(self.n_stacked, self.n_stacked, 3))
        self._add_head(2, "Mconv")
        for stage in range(3, 7):
            self._add_trunk(stage)
            self._add_gates(stage, self.n_stacked)
            self._add_head(stage, "Mres")

    def predict(self, frames: Tensor, centre: Tensor) -> Tensor:
        if frames.shape[1] != UNSHARED_FRAMES:
            raise PosekitError(
                f"lpm_mobilepose_unshared has weights for clips of {UNSHARED_FRAMES} frames, got "
                f"{frames.shape[1]}; use lpm_mobilepose or lpm for other lengths."
            )
        centre = F.avg_pool2d(centre, 9, STRIDE)
        beliefs = [self._stage1(frames[:, 0], padding=0, drop=0.0).relu()]
        hidden = cell = None
        for stage, frame in enumerate(frames.unbind(1), start=2):
            features = self._at("conv4", stage)(self._evidence(frame, stage, 0)).relu()
            x = stack(features, beliefs[-1], centre)
            if cell is None:  # the first frame has no forget gate, no normalisation
                g, i, o = (self._at(f"{gate}_x", stage)(x).sigmoid() for gate in "gio")
                cell = g * i
                hidden = o * cell.tanh()
            else:
                hidden, cell = self._lstm_step(stage, x, hidden, cell)
            head = "Mconv" if stage == 2 else "Mres"
            beliefs.append(self._head(stage, head, hidden).relu())
        return torch.stack(beliefs, dim=1)


def _register(network: type[CaffeNames], name: str, paper: str) -> None:
    """Enter a network, described with the image statistics of what its weights are of."""
    stem = name.partition("_")[0]
    about = pose_machine(
        name=name,
        paper=f"{paper}, as in MobilePose-master",
        stem=stem,
        recipe=f"{stem}/mobilepose",
        kind="clip",
        half_pixel=False,
    )

    @register(about)
    def build(num_keypoints: int, width: Width = 1.0, trained_on: TrainedOn = None) -> nn.Module:
        model = network(num_keypoints, width)
        model.exchanged = trained_on == "PennAction"
        if model.exchanged and num_keypoints != len(POSE_MACHINE):
            raise PosekitError(f"{name}: weights of Penn Action have {len(POSE_MACHINE)} joints")
        mean, std = (tuple(255 * v for v in values) for values in RAW_MEANS[trained_on or "LSP"])
        model.description = replace(about, mean=mean, std=std, trained_on=trained_on)
        return model


_register(CPMMobilePose, "cpm_mobilepose", CPM_PAPER)
_register(LPMMobilePose, "lpm_mobilepose", LPM_PAPER)
_register(LPMMobilePoseUnshared, "lpm_mobilepose_unshared", LPM_PAPER)
