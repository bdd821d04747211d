"""Whose weights these are: the network and options whose tensors have such names and shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..models import create_model, list_models, module_of
from . import lsdnet

# Counts steps for an averaging mode that no network here uses; files older than 2018 lack it.
OPTIONAL = ".num_batches_tracked"
# Options of a paper's networks that change which tensors there are: files of all kinds exist.
_VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "lpn": ({"attention": "se"}, {"attention": None}),
    "lp_net": ({"gcb": False},),
}


@dataclass
class Owner:
    """What is known of the network that tensors belong to.

    Attributes:
        name: of the registry; None for strangers.
        options: of `create_model` that the tensors tell.
        num_keypoints: K, None where only the names of the tensors fit.
        release: the tensors are of the released LSDNet code.
        namesakes: networks of the registry whose tensors have these names.
    """

    name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    num_keypoints: int | None = None
    release: bool = False
    namesakes: list[str] = field(default_factory=list)

    def call(self) -> str:
        """How to make the network."""
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"create_model({self.name!r}{options}, ...)"


def owner_of(
    tensors: Mapping[str, Tensor],
    names: Sequence[str] | None = None,
    keypoints: Sequence[int] = (17, 16, 14, 13),
    width: float | None = None,
) -> Owner:
    """The first network that tensors fit in names and shapes, or else in names alone.

    Args:
        tensors: under the network's own names.
        names: of networks to try; None for all.
        keypoints: numbers of joints to try: those of COCO, MPII, LSP, Penn Action.
        width: of the networks; None for 1.
    """
    found = Owner()
    for name in names or list_models():
        for options in ({}, *_VARIANTS.get(module_of(name), ())):
            for count in keypoints:
                own = _blank(name, count, width, tuple(options.items()))
                given = _shapes(lsdnet.complete(own, tensors))
                if own.keys() != given.keys():
                    break
                release = lsdnet.is_release(own, tensors)
                told = {**options, "survival": "off"} if release else options
                if _shapes(own) == given:
                    return Owner(name, told, count, release, [name])
                if found.name is None:
                    found = Owner(name, told, None, release)
                if name not in found.namesakes:
                    found.namesakes.append(name)
    return found


@cache
def _blank(
    name: str, keypoints: int, width: float | None, options: tuple[tuple[str, Any], ...]
) -> dict[str, Tensor]:
    size = {} if width is None else {"width": width}
    with torch.device("meta"):  # shapes only, nothing is allocated
        state = create_model(name, keypoints, **size, **dict(options)).state_dict()
    return {n: t for n, t in state.items() if not n.endswith(OPTIONAL)}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {n: t.shape for n, t in tensors.items() if not n.endswith(OPTIONAL)}
