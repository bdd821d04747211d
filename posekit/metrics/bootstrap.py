"""Means of what is known, and their intervals when groups, such as videos, are drawn again."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_AT_ONCE = 100  # draws; keeps the counts of large data sets small


def nan_mean(values: ArrayLike, axis: int = 0) -> np.ndarray:
    """Mean along an axis over what is no NaN; NaN, without a warning, where nothing is left."""
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis) / known.sum(axis).clip(1)
    return np.where(known.any(axis), mean, np.nan)


def bootstrap_means(values: NDArray, groups: NDArray, resamples: int, seed: int) -> NDArray:
    """Means of columns, and where 95 % of them lie when groups are drawn again.

    Columns share the draws, so that the interval of paired differences is that of the same people.

    Args:
        values: (N, C), NaN where nothing counts.
        groups: (N,) whose rows are drawn together.
        resamples: draws.
        seed: of the draws.

    Returns:
        (3, C) mean, low, high; NaN in a column without a value.
    """
    known = ~np.isnan(values)
    names, of = np.unique(groups, return_inverse=True)
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(len(names)))
    both = np.stack([np.where(known, values, 0), known]).astype(float)[:, order]
    sums, counts = np.add.reduceat(both, starts, axis=1)
    rng, chance = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    means = []
    with np.errstate(invalid="ignore"):  # of draws without anybody who counts
        for first in range(0, resamples, _AT_ONCE):
            size = min(_AT_ONCE, resamples - first)
            drawn = rng.multinomial(len(names), chance, size).astype(float)
            means.append((drawn @ sums) / (drawn @ counts))
        whole = sums.sum(0) / counts.sum(0)
        means = np.concatenate([whole[None], *means])
    means = np.where(np.isnan(whole), 0.0, means)  # nanpercentile warns of empty columns
    low, high = np.nanpercentile(means[1:], [2.5, 97.5], axis=0)
    return np.where(np.isnan(whole), np.nan, np.stack([whole, low, high]))
