"""Intervals by drawing groups again."""

import numpy as np
from scipy.stats import bootstrap

from posekit.metrics.bootstrap import bootstrap_means


def test_means_and_intervals_agree_with_scipy():
    values = np.random.default_rng(0).normal(3, 2, (400, 2))
    values[:, 1] -= 3
    mean, low, high = bootstrap_means(values, np.arange(400), 4000, 0)
    np.testing.assert_allclose(mean, values.mean(0))
    for column in range(2):
        other = bootstrap(
            (values[:, column],), np.mean, n_resamples=4000, method="percentile", rng=1
        )
        np.testing.assert_allclose(low[column], other.confidence_interval.low, atol=0.03)
        np.testing.assert_allclose(high[column], other.confidence_interval.high, atol=0.03)


def test_groups_are_drawn_whole_in_any_order_of_rows():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 20)[:, None]
    groups = np.repeat(np.arange(30), 20)
    shared = bootstrap_means(values, groups, 1000, 0)
    alone = bootstrap_means(values, np.arange(600), 1000, 0)
    assert shared[2] - shared[1] > 3 * (alone[2] - alone[1])
    order = np.random.default_rng(1).permutation(600)
    np.testing.assert_allclose(bootstrap_means(values[order], groups[order], 1000, 0), shared)


def test_what_does_not_count_changes_nothing():
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[:, 2] = np.nan
    values[::3, 1] = np.nan
    found = bootstrap_means(values, np.arange(40), 500, 0)
    assert np.isnan(found[:, 2]).all() and np.isfinite(found[:, :2]).all()
    np.testing.assert_allclose(found[0, 1], np.nanmean(values[:, 1]))
    np.testing.assert_array_equal(found, bootstrap_means(values, np.arange(40), 500, 0))
