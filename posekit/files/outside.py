"""What people add from modules of their own, named `my_module:Name`."""

from importlib import import_module
from typing import Any

from ..errors import PosekitError


def imported(what: str, address: str) -> Any:
    """The object that an address names.

    Args:
        what: it is for, for messages.
        address: `my_module:Name`; the module may lie in the current folder or on PYTHONPATH.

    Raises:
        PosekitError: the module cannot be imported, or has nothing of that name.
    """
    module, _, name = address.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # whatever the module's own lines raise
        raise PosekitError(
            f"{what} {address}: {type(error).__name__}: {error}; write my_module:Name, a module "
            "in the current folder or on PYTHONPATH"
        ) from error
