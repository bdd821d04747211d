"""Checkpoints of the released LSDNet code: what loads, and what it is worth."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..models.lsdnet import LSDNet, StochasticBlock


class ReferenceReport(NamedTuple):
    """What the tensors of a released LSDNet checkpoint are worth.

    Attributes:
        trained: names taken over as they are.
        frozen: names taken over that the released code stops training within a few steps,
            so that they are still close to random.
        copied: names that the released code shares with another; filled from that one.
        silenced: names that it has not; the top-down path adds nothing until it is trained.
    """

    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    copied: tuple[str, ...]
    silenced: tuple[str, ...]


@torch.no_grad()
def load_reference(model: LSDNet, state: Mapping[str, Tensor]) -> ReferenceReport:
    """Load the 2380 tensors of a checkpoint of the released code, all of them or none.

    Such weights come from another training than this network's: the released code keeps
    a block with probability 0.2 and freezes it when it is left out, so nearly all convolutions
    of the blocks of stages 3 and 4 are noise, and its top-down path is noise by construction.
    With `survival="off"` and the top-down path silent, as it is left here, the outputs equal
    those of the released network with all blocks kept. Expect poor accuracy; train again.

    Args:
        model: of the same base and number of keypoints, width 1.
        state: names without the prefix of parallel training.

    Raises:
        PosekitError: if a name is missing or unknown, or a shape differs.
    """
    own = model.state_dict()
    blocks = {n for n, m in model.named_modules() if isinstance(m, StochasticBlock)}
    source = {name: name for name in own if not name.startswith("Refine.up.")}
    copied = [name for name in source if name.rpartition(".bn3.")[0] in blocks]
    source |= {name: name.replace(".bn3.", ".bn2.") for name in copied}
    wrong = set(source.values()) ^ set(state)
    wrong |= {n for n, s in source.items() if s in state and state[s].shape != own[n].shape}
    if wrong:
        raise PosekitError(
            f"not a released LSDNet checkpoint for this network: {len(wrong)} tensors differ "
            f"({', '.join(sorted(wrong)[:4])}); compare base, width and num_keypoints."
        )
    model.load_state_dict({name: state[s] for name, s in source.items()}, strict=False)
    for up in model.Refine.up:
        nn.init.zeros_(up[1].weight)
        nn.init.zeros_(up[1].bias)
    frozen = [n for n in source if n.rpartition(".")[0].rpartition(".")[0] in blocks]
    frozen = [n for n in frozen if own[n].ndim == 4]
    trained = [n for n in source if n not in {*frozen, *copied}]
    silenced = [n for n in own if n.startswith("Refine.up.")]
    return ReferenceReport(tuple(trained), tuple(frozen), tuple(copied), tuple(silenced))
