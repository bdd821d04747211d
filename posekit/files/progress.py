"""Progress that suits where it is read: a moving bar on a live front end, lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def bar(items: Iterable | None, title: str, total: int | None = None) -> Any:
    """A tqdm bar that moves in JupyterLab or on a terminal and is not shown elsewhere.

    A notebook that papermill or a test runs would keep a bar frozen at its first state.

    Args:
        items: passed on one by one; None for a bar that is moved by its `update()`.
        title: in front of the bar.
        total: how many items there are, where `items` does not tell.
    """
    from tqdm.auto import tqdm

    jupyter = "JPY_SESSION_NAME" in os.environ  # set by a Jupyter server for the kernels it starts
    shown = jupyter or (sys.stderr is not None and sys.stderr.isatty())
    return tqdm(items, title, total, leave=False, mininterval=0.5, disable=not shown)


def progress_lines(
    unit: str, title: str = "", pause: float = 10.0
) -> Callable[[int, int | None], None]:
    """A function of (done, total or None) that prints a line now and then.

    Args:
        unit: what is counted, in the plural.
        title: in front of each line.
        pause: seconds from one line to the next.
    """
    started = printed = time.monotonic()

    def show(done: int, total: int | None) -> None:
        nonlocal printed
        now = time.monotonic()
        if now - printed < pause:
            return
        printed, rate = now, done / (now - started)
        count = f"{done:,} of {total:,}" if total else f"{done:,}"
        left = f", {clock((total - done) / rate)} left" if total else ""
        print(f"{title}{': ' * bool(title)}{count} {unit}, {rate:.1f} {unit}/s{left}", flush=True)

    return show


def counted(items: Iterable[Item], total: int | None, unit: str) -> Iterator[Item]:
    """Pass items on; print a line now and then."""
    show = progress_lines(unit)
    for done, item in enumerate(items, 1):
        yield item
        show(done, total)


def clock(seconds: float) -> str:
    """A time such as 3m05s."""
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
