"""What posekit raises for bad input, and when a training is interrupted."""


class PosekitError(ValueError):
    """What is wrong, where, and what to do about it, in one message.

    Notebooks show the message alone: the reader's mistake is not in posekit's call stack.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class Stopped(KeyboardInterrupt):
    """A training was interrupted: what is kept and how it goes on, in one message."""

    _render_traceback_ = PosekitError._render_traceback_
