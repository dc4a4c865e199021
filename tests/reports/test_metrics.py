"""Aggregate metrics against an independent statement of their formulas, in exact arithmetic where they allow it."""

import time
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from sb3_atari_dqn.reports import metrics

CASES = {
    "equal numbers of runs": [5, 5, 5, 5],
    "different numbers of runs": [3, 1, 4, 2, 7],
    "one game": [8],
    "one run": [1],
    "three runs": [3],
}


def random_scores(runs, seed):
    """:return: with ties, negative scores and outliers"""
    rng = np.random.default_rng(seed)
    return [np.round(rng.standard_t(2, size=n), 1) for n in runs]


def exact(scores):
    return [[Fraction(float(score)) for score in game] for game in scores]


def naive_mean(values):
    return sum(values, Fraction(0)) / len(values)


def naive_iqm(scores):
    """Sort all runs, drop a quarter of them (rounded down) at each end, average the rest."""
    pooled = sorted(score for game in scores for score in game)
    dropped = int(len(pooled) * 0.25)
    return naive_mean(pooled[dropped : len(pooled) - dropped])


def naive_median(scores):
    means = sorted(naive_mean(game) for game in scores)
    middle = len(means) // 2
    return means[middle] if len(means) % 2 else (means[middle - 1] + means[middle]) / 2


def naive_gap(scores, target=1):
    return naive_mean([naive_mean([target - min(score, target) for score in game]) for game in scores])


NAIVE = {
    "IQM": naive_iqm,
    "median": naive_median,
    "mean": lambda scores: naive_mean([naive_mean(game) for game in scores]),
    "optimality gap": naive_gap,
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("runs", CASES.values(), ids=CASES)
def test_aggregates_equal_their_formulas(runs, seed):
    scores = random_scores(runs, seed)
    assert metrics.AGGREGATES.keys() == NAIVE.keys()
    for name, function in metrics.AGGREGATES.items():
        assert float(function(scores)) == pytest.approx(float(NAIVE[name](exact(scores))), rel=0, abs=1e-12)


@pytest.mark.parametrize("runs", CASES.values(), ids=CASES)
def test_aggregates_of_draws_are_those_of_each_draw(runs):
    scores = random_scores(runs, 1)
    positions = metrics.resample(scores, np.random.default_rng(2), draws=20)
    draws = metrics.drawn(scores, positions)
    for name, function in metrics.AGGREGATES.items():
        values = function(draws)
        for draw in range(20):
            own = [
                [Fraction(float(game[place])) for place in where[draw]]
                for game, where in zip(scores, positions, strict=True)
            ]
            assert values[draw] == pytest.approx(float(NAIVE[name](own)), rel=0, abs=1e-12)


def test_the_iqm_ignores_a_quarter_at_each_end():
    assert metrics.iqm([np.array([-99.0, 1.0, 2.0, 99.0])]) == 1.5
    assert metrics.iqm([np.array([-99.0, 1.0]), np.array([2.0, 99.0])]) == 1.5


def test_the_optimality_gap_does_not_reward_scores_beyond_the_target():
    assert metrics.optimality_gap([np.array([0.5, 99.0])]) == 0.25
    assert metrics.optimality_gap([np.array([0.5, 99.0])], target=2) == 0.75


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("runs", CASES.values(), ids=CASES)
def test_profiles_count_the_runs_above_each_threshold(runs, seed):
    scores = random_scores(runs, seed)
    thresholds = np.array([-1.0, *scores[0], 0.3])  # also exactly at scores: above is not equal
    expected = [
        naive_mean([Fraction(sum(score > tau for score in game), len(game)) for game in scores]) for tau in thresholds
    ]
    np.testing.assert_allclose(
        metrics.performance_profile(scores, thresholds), [float(each) for each in expected], rtol=0, atol=1e-12
    )
    positions = metrics.resample(scores, np.random.default_rng(3), draws=20)
    every = metrics.drawn_profiles(scores, positions, thresholds)
    for draw in range(20):
        own = [game[where[draw]] for game, where in zip(scores, positions, strict=True)]
        np.testing.assert_allclose(every[draw], metrics.performance_profile(own, thresholds), rtol=0, atol=1e-12)


def naive_improvement(first, second):
    """P(X > Y) of Agarwal et al. 2021, section 4.3: Mann-Whitney's U over the number of pairs, mean over games."""
    value = {1: Fraction(1), 0: Fraction(1, 2), -1: Fraction(0)}
    games = [
        naive_mean([value[int(np.sign(x - y))] for x, y in product(own, other)])
        for own, other in zip(first, second, strict=True)
    ]
    return float(naive_mean(games))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("runs", CASES.values(), ids=CASES)
def test_the_probability_of_improvement_counts_pairs_and_half_of_ties(runs, seed):
    first, second = random_scores(runs, seed), random_scores([n + 1 for n in runs], seed + 100)
    assert metrics.probability_of_improvement(first, second) == pytest.approx(
        naive_improvement(first, second), rel=0, abs=1e-12
    )
    assert metrics.probability_of_improvement(first, first) == pytest.approx(0.5, rel=0, abs=1e-12)
    rng = np.random.default_rng(4)
    of_first, of_second = metrics.resample(first, rng, 20), metrics.resample(second, rng, 20)
    every = metrics.drawn_probabilities(first, second, of_first, of_second)
    for draw in range(20):
        own = [game[where[draw]] for game, where in zip(first, of_first, strict=True)]
        other = [game[where[draw]] for game, where in zip(second, of_second, strict=True)]
        assert every[draw] == pytest.approx(naive_improvement(own, other), rel=0, abs=1e-12)


def test_the_bootstrap_is_stratified_and_draws_with_replacement():
    positions = metrics.resample([np.zeros(3), np.zeros(5)], np.random.default_rng(0), draws=2000)
    assert [where.shape for where in positions] == [(2000, 3), (2000, 5)]
    for where, n in zip(positions, (3, 5), strict=True):
        shares = np.bincount(where.ravel(), minlength=n) / where.size
        np.testing.assert_allclose(shares, 1 / n, atol=0.03)
        assert (where[:, 0] == where[:, 1]).any()


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        scores = [rng.normal(loc, 1, size=10) for loc in range(5)]
        draws = metrics.mean(metrics.drawn(scores, metrics.resample(scores, rng, 500)))
        low, high = metrics.interval(draws)
        hits += low <= 2 <= high
    assert 0.85 <= hits / 200 <= 0.98  # a percentile bootstrap of 10 runs is a little too narrow


def test_the_interval_is_that_of_percentiles():
    np.testing.assert_allclose(metrics.interval(np.arange(1001.0)), [25.0, 975.0])


def test_57_games_with_10_seeds_take_a_moment():
    scores = random_scores([10] * 57, 0)
    began = time.perf_counter()
    positions = metrics.resample(scores, np.random.default_rng(0))
    for function in metrics.AGGREGATES.values():
        metrics.interval(function(metrics.drawn(scores, positions)))
    metrics.interval(metrics.drawn_profiles(scores, positions, np.linspace(0, 8, 81)))
    metrics.interval(metrics.drawn_probabilities(scores, scores, positions, positions))
    assert time.perf_counter() - began < 10
