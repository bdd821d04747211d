"""Progress that suits where it is read: a moving bar on a live front end, lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

QUIET = 12.0  # seconds after which a line is due

_last_line = 0.0  # when `say` was called


def is_live() -> bool:
    """Whether a front end shows the running cell, so that widgets work in it.

    Such a front end can be asked for input; papermill, nbconvert and nbval say that they cannot.
    """
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    asked = kernel.get_parent("shell") if kernel else {}
    return bool(asked.get("content", {}).get("allow_stdin"))


def say(text: str, end: str = "\n") -> None:
    """Print a line at once."""
    global _last_line
    _last_line = time.monotonic()
    print(text, end=end, flush=True)


def is_due(pause: float = QUIET) -> bool:
    """Whether nothing has been said for so many seconds."""
    return time.monotonic() - _last_line > pause


@contextmanager
def heartbeat(what: Callable[[], str], pause: float = QUIET + 2) -> Iterator[None]:
    """Say what is going on whenever nothing else has been said for so many seconds."""
    say("", end="")
    started, over = time.monotonic(), threading.Event()

    def beat() -> None:
        while not over.wait(pause / 10):
            if is_due(pause):
                say(f"still at {what()}, {clock(time.monotonic() - started)} so far")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def bar(items: Iterable | None, title: str, total: int | None = None) -> Any:
    """A tqdm bar that moves in JupyterLab or on a terminal and is not shown elsewhere.

    A notebook that papermill or a test runs would keep a bar frozen at its first state.

    Args:
        items: passed on one by one; None for a bar that is moved by its `update()`.
        title: in front of the bar.
        total: how many items there are, where `items` does not tell.
    """
    from tqdm.auto import tqdm

    shown = is_live() or (sys.stderr is not None and sys.stderr.isatty())
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
        say(f"{title}{': ' * bool(title)}{count} {unit}, {rate:.1f} {unit}/s{left}")

    return show


def clock(seconds: float) -> str:
    """A time such as 3m05s."""
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
