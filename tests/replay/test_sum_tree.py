"""SumTree against a slow twin, hand-checked numbers, and the frequencies it stands for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_atari_dqn.replay.sum_tree import SumTree
from tests.support.naive import NaiveSumTree

SIZES = [1, 2, 31, 32, 33, 1_024, 1_025]


def test_positions_fall_on_the_leaves_that_cover_them():
    tree = SumTree(5)
    tree[np.array([0, 2, 4])] = np.array([1.0, 2.0, 0.5])
    assert tree.total == 3.5
    assert tree.find(np.array([0.0, 0.99, 1.0, 2.99, 3.0, 3.49])).tolist() == [0, 0, 2, 2, 4, 4]


def test_of_a_leaf_named_twice_the_larger_value_counts():
    tree = SumTree(40)
    tree[np.array([3, 3, 35, 3])] = np.array([1.0, 5.0, 2.0, 4.0])
    assert tree[np.array([3, 35])].tolist() == [5.0, 2.0]
    assert tree.total == 7.0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SIZES), st.integers(0, 2**32 - 1), st.floats(1e-9, 1e9))
@pytest.mark.slow
def test_random_updates_and_searches_equal_the_naive_twin(n_leaves, seed, scale):
    rng, tree, twin = np.random.default_rng(seed), SumTree(n_leaves), NaiveSumTree(n_leaves)
    for _ in range(8):
        leaves = rng.integers(n_leaves, size=rng.integers(1, 40))
        values = scale * rng.random(len(leaves)) * (rng.random(len(leaves)) < 0.7)
        tree[leaves] = values
        twin.update(leaves, values)
        assert tree[np.arange(n_leaves)].tolist() == twin.values
        assert tree.total == pytest.approx(sum(twin.values), rel=1e-12)
        middles, owners = twin.middles()
        assert tree.find(middles).tolist() == owners


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SIZES), st.integers(0, 2**32 - 1))
def test_a_leaf_of_value_zero_is_never_found_however_the_sums_are_rounded(n_leaves, seed):
    rng, tree = np.random.default_rng(seed), SumTree(n_leaves)
    values = rng.choice([0.0, 1e-12, 0.1, 1 / 3, 1e6], size=n_leaves)
    values[rng.integers(n_leaves)] = 0.7
    tree[np.arange(n_leaves)] = values
    edges = np.cumsum(values)
    positions = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, np.inf), [0.0]])
    found = tree.find(np.clip(positions, 0, np.nextafter(tree.total, 0)))
    assert (values[found] > 0).all()


def test_sums_do_not_drift_over_many_updates():
    rng, tree = np.random.default_rng(0), SumTree(100)
    for _ in range(20_000):
        tree[rng.integers(100, size=3)] = rng.random(3) * 10.0 ** rng.integers(-8, 8, size=3)
    fresh = SumTree(100)
    fresh[np.arange(100)] = tree[np.arange(100)]
    assert tree.total == fresh.total
    tree[np.arange(100)] = np.zeros(100)
    assert tree.total == 0.0


def test_leaves_are_found_as_often_as_their_values_say():
    values = np.array([1.0, 0.0, 2.0, 3.0, 4.0])
    tree = SumTree(5)
    tree[np.arange(5)] = values
    draws = tree.find(np.random.default_rng(0).random(100_000) * tree.total)
    assert np.bincount(draws, minlength=5) / 100_000 == pytest.approx(values / 10, abs=0.006)
