"""How large a network is and how much it computes."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Size of a network and work of one evaluation.

    Attributes:
        params: number of trainable parameters.
        gmacs: multiply-adds of one forward pass, in units of 1e9.
        output: shape of what the network returns.
    """

    params: int
    gmacs: float
    output: tuple[int, ...]

    def __str__(self) -> str:
        """Both numbers in the units that papers use."""
        return f"{self.params / 1e6:.2f} M parameters, {self.gmacs:.2f} GMAC"


def cost(model: nn.Module, *inputs: Tensor) -> Cost:
    """Count parameters and multiply-adds of convolutions and matrix products.

    Nothing is computed: the pass runs on shapes alone, so it is instant at any size.

    Args:
        model: the network, left untouched.
        *inputs: its inputs; only their shapes matter (`torch.empty(..., device="meta")` will do).
    """
    tensors = [*model.parameters(), *model.buffers()]
    shapes = {id(tensor): _shape_of(tensor) for tensor in tensors}
    ghost = copy.deepcopy(model, shapes).eval()  # known ids are taken from the table, not copied
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = ghost(*(value.to("meta") for value in inputs))
    params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Cost(params, counter.get_total_flops() / 2 / 1e9, tuple(output.shape))


def _shape_of(tensor: Tensor) -> Tensor:
    ghost = tensor.detach().to("meta")
    return nn.Parameter(ghost, False) if isinstance(tensor, nn.Parameter) else ghost
