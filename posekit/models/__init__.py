"""Networks, one file per paper, built by name."""

from . import (
    cpm,
    hourglass,
    hrnet,
    ldcrn,
    lp_net,
    lpm,
    lpn,
    lsdnet,
    mobilepose,
    simplebaseline,
)
from .complexity import Cost, cost
from .registry import Description, create_model, describe, list_models, options_of, register

__all__ = [
    "Cost",
    "Description",
    "cost",
    "cpm",
    "create_model",
    "describe",
    "hourglass",
    "hrnet",
    "ldcrn",
    "list_models",
    "lp_net",
    "lpm",
    "lpn",
    "lsdnet",
    "mobilepose",
    "options_of",
    "register",
    "simplebaseline",
]
