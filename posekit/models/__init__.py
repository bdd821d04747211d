"""Networks, one file per paper, built by name."""

from . import cpm, lpm, mobilepose
from ._cost import Cost, cost
from ._registry import Description, create_model, list_models, register

__all__ = [
    "Cost",
    "Description",
    "cost",
    "cpm",
    "create_model",
    "list_models",
    "lpm",
    "mobilepose",
    "register",
]
