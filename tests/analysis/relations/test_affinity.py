"""Rank correlations of affinities with measured pairs, and what chance gives."""

import numpy as np
import pytest

from vlmt_cli.analysis.relations.affinity import (
    chance_correlations,
    correlation_interval,
    mean_interval,
    rank_correlation,
)


def test_what_agrees_is_above_chance_and_noise_within_it():
    rng = np.random.default_rng(0)
    ours, noise = rng.standard_normal((2, 12, 12))
    low, high = chance_correlations(ours, ours + noise)
    assert low < 0 < high < rank_correlation(ours, ours + noise)[0]
    low, high = chance_correlations(ours, noise)
    assert low < rank_correlation(ours, noise)[0] < high


def test_a_good_task_alone_is_wide_in_chance():
    """Eleven pairs of one task are not eleven trials: chance is wider than that of independent pairs."""
    ours = np.random.default_rng(1).standard_normal(12)[:, None] + np.zeros((12, 12))
    low, high = chance_correlations(ours, ours.copy())
    assert high - low > 2 * 2 * 1.96 / np.sqrt(131)


def test_few_tasks_and_few_measurements_give_no_interval():
    four = np.random.default_rng(2).standard_normal((4, 4))
    assert chance_correlations(four, four) is None and correlation_interval(four, four) is None
    assert np.isnan(mean_interval(np.ones((3, 2, 2)))[1]).all()
    assert mean_interval(np.ones((5, 2, 2)))[1] == pytest.approx(np.zeros((2, 2)))


def test_pairs_that_nobody_measured_do_not_count():
    ours, measured = np.random.default_rng(4).standard_normal((2, 7, 7))
    measured[5:], measured[:, 5:] = np.nan, np.nan
    assert correlation_interval(ours, measured) == correlation_interval(ours[:5, :5], measured[:5, :5])
