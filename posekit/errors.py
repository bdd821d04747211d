"""The one exception that posekit raises for bad input."""


class PosekitError(ValueError):
    """What is wrong, where, and what to do about it, in one message.

    Notebooks show the message alone: the reader's mistake is not in posekit's call stack.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]
