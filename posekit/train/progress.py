"""Progress that suits where it is read: a bar where it moves, one line an epoch everywhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any


def bar(batches: Iterable, title: str) -> Iterable:
    """A moving bar in JupyterLab or on a terminal; the plain batches elsewhere.

    A notebook that papermill or a test runs would keep a bar frozen at its first picture.
    """
    if "JPY_SESSION_NAME" in os.environ:  # set by a Jupyter server for the kernels it starts
        from tqdm.notebook import tqdm
    elif sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm
    else:
        return batches
    return tqdm(batches, desc=title, leave=False, mininterval=0.5)


def epoch_lines(epochs: int, metric: str) -> Callable[[dict[str, Any]], None]:
    """A function that prints one line for each record of the log."""
    started, first = time.monotonic(), None

    def show(record: dict[str, Any]) -> None:
        nonlocal first
        epoch = record["epoch"]
        first = first or epoch
        left = (time.monotonic() - started) / (epoch - first + 1) * (epochs - epoch)
        score = f"  {metric} {record['val']:5.1f}" if "val" in record else ""
        stage = f"round {record['round']}  " if "round" in record else ""
        print(
            f"{stage}epoch {epoch:>{len(str(epochs))}}/{epochs}  loss {record['loss']:.4g}{score}  "
            f"lr {record['lr']:.2e}  {record['clips_per_second']:g} clips/s  "
            f"{record['memory_mb']:.0f} MB  {clock(left)} left",
            flush=True,
        )

    return show


def clock(seconds: float) -> str:
    """A time such as 3m05s."""
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
