"""The networks of a notebook whose reader names none: those of the newest finished runs."""

import contextlib
from collections.abc import Sequence

from ..errors import PosekitError
from ..files.paths import smoke
from ..inference.open_network import find_network
from ..reporting.record import trained_runs


def default_networks(
    in_tests: Sequence[str], dataset: str | None = None, most: int = 1
) -> list[str]:
    """Folders of the newest finished runs of different networks, on one data set and source.

    Args:
        in_tests: names of networks; a test takes these with random weights, whatever runs there
            are.
        dataset: only of runs on this data set.
        most: networks at most.

    Raises:
        PosekitError: there is no such run; says what to do.
    """
    if smoke():
        return [f"{name}@random" for name in in_tests]
    found, kind = {}, None
    for folder, record in trained_runs():
        here = record.dataset, record.source
        if dataset not in (None, record.dataset) or here != (kind or here):
            continue
        with contextlib.suppress(PosekitError):  # of a run that is damaged or of an older version
            found.setdefault(find_network(str(folder)).name, str(folder))
            kind = here
        if len(found) == most:
            break
    if not found:
        on = f" on {dataset}" if dataset else ""
        raise PosekitError(
            f"no network is named, and there is no finished run{on} to take: train one "
            "(python3 run.py), name a run folder, an .onnx file or NAME@FILE, or ask "
            f"for random weights by {in_tests[0]}@random"
        )
    return list(found.values())
