"""Checkpoints of the released LSDNet code: how they load, and what their tensors are worth.

The released code keeps a stochastic block with probability 0.2 and freezes the convolutions of
every block that it has once left out, so within a few steps nearly all of them stay noise; a
block normalises twice with one batch norm (`bn2`); and the top-down path is drawn anew in every
pass, so no checkpoint holds it. With `survival="off"` and that path silent the outputs equal
those of the released network with all blocks kept. Expect poor accuracy; train again.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

_UP = "Refine.up."  # the top-down path
_STOCHASTIC = ("stage3.", "stage4.")


class Worth(NamedTuple):
    """What the tensors of a network that was filled from a released checkpoint can mean.

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

    def steps(self) -> tuple[str, ...]:
        """What a load report says."""
        return (
            f"released LSDNet: {len(self.trained)} tensors mean something",
            f"{len(self.frozen)} convolutions of the blocks of stages 3 and 4 are nearly random",
            f"{len(self.copied)} tensors bn3 copied from bn2",
            f"{len(self.silenced)} of the top-down path silenced",
        )


def is_release(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> bool:
    """Whether `state` looks like the released code's, for a network with the tensors `own`."""
    laterals = "Refine.laterals.0.0.weight"
    return laterals in own and laterals in state and not any(n.startswith(_UP) for n in state)


def worth(own: Mapping[str, Tensor]) -> Worth:
    """Sort the names of LSDNet's tensors by what a released checkpoint says about them."""
    copied = {n for n in own if n.startswith(_STOCHASTIC) and ".bn3." in n}
    blocks = {n.partition(".bn3.")[0] for n in copied}
    silenced = {n for n in own if n.startswith(_UP)}
    frozen = {n for n in own if own[n].ndim == 4 and n.rsplit(".", 2)[0] in blocks}
    trained = own.keys() - copied - silenced - frozen
    return Worth(*(tuple(n for n in own if n in g) for g in (trained, frozen, copied, silenced)))


def complete(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 2380 tensors of a released checkpoint and those that it lacks; any other as it is.

    Args:
        own: the network's present tensors, of the same base and number of keypoints, width 1.
        state: names without the prefix of parallel training.
    """
    if not is_release(own, state):
        return dict(state)
    found, about = dict(state), worth(own)
    for name in about.copied:
        shared = name.replace(".bn3.", ".bn2.")
        if shared in state:
            found[name] = state[shared]
    for name in about.silenced:
        convolution = name.removeprefix(_UP).split(".")[1] == "1"
        found[name] = own[name].new_zeros(own[name].shape) if convolution else own[name]
    return found
