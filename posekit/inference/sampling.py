"""Few of many."""

from collections.abc import Callable
from typing import Any

import numpy as np


def spread_rows(total: int, count: int) -> np.ndarray:
    """At most `count` of the numbers 0 .. total - 1, rising and evenly spread."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def one_each(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The first of the rows of every group (an image or video), in their order."""
    return rows[np.sort(np.unique(groups[rows], return_index=True)[1])]


class EvenSample:
    """At most so many of any number of items, evenly spread over them.

    Every `step`-th item is kept; when there are too many, every second one is dropped and the
    step doubles.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.step = 1
        self.items: list[Any] = []
        self._offered = 0

    def add(self, make: Callable[[], Any]) -> None:
        """Offer the next item; it is only made when it is kept."""
        if self._offered % self.step == 0:
            self.items.append(make())
            if len(self.items) > self.limit:
                self.items, self.step = self.items[::2], 2 * self.step
        self._offered += 1

    def spread(self, count: int) -> list[Any]:
        """At most so many of the kept ones, evenly spread."""
        return [self.items[i] for i in spread_rows(len(self.items), count).tolist()]
