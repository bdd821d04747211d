"""What posekit raises for bad input, and when a training is interrupted."""

import contextlib
from collections.abc import Iterator

KEPT = "Whole epochs are kept: the same command goes on from there."


class PosekitError(ValueError):
    """What is wrong, where, and what to do about it, in one message.

    Notebooks show the message alone: the reader's mistake is not in posekit's call stack.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class Stopped(KeyboardInterrupt):
    """A training was interrupted: what is kept and how it goes on, in one message."""

    _render_traceback_ = PosekitError._render_traceback_


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Say in one message what has ended a loading process; PyTorch does so in many lines.

    Raises:
        PosekitError: a loading process met an error of that kind, or was killed.
    """
    try:
        yield
    except (PosekitError, RuntimeError) as error:
        said = str(error)
        if "DataLoader worker" not in said:
            raise
        problem = (
            said.rpartition(f"{PosekitError.__name__}: ")[2].strip()
            if isinstance(error, PosekitError)
            else "a loading process was killed, perhaps as memory ran out; whole epochs are kept: "
            "lower workers, then give the same command again"
        )
        raise PosekitError(problem) from error
