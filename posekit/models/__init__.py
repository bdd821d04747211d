"""Networks, one file per paper, built by name."""

from importlib import import_module
from pkgutil import iter_modules

from .complexity import Cost, cost
from .registry import Description, create_model, describe, list_models, options_of, register

__all__ = [
    "Cost", "Description", "cost", "create_model", "describe", "list_models", "options_of",
    "register",
]  # fmt: skip

for _module in iter_modules(__path__):
    import_module(f".{_module.name}", __name__)  # a file of a network registers it
