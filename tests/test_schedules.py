"""Epsilon and beta over time."""

import math
import pickle

import pytest
from stable_baselines3.common.utils import LinearSchedule

from sb3_atari_dqn.schedules import (
    EXPLORATIONS,
    DelayedEpsilon,
    ExponentialEpsilon,
    LinearBeta,
    LinearEpsilon,
    LinearEpsilonOverSteps,
    NoEpsilon,
)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 1.0])
def test_linear_epsilon_has_the_numbers_of_sb3_to_the_last_bit(fraction):
    ours, theirs = LinearEpsilon(1.0, 0.05, fraction), LinearSchedule(1.0, 0.05, fraction)
    progress = [1 - step / 997 for step in range(998)]
    assert [ours(p) for p in progress] == [theirs(p) for p in progress]


def test_linear_epsilon_is_half_way_in_the_middle_and_stays_at_the_end():
    epsilon = LinearEpsilon(1.0, 0.2, 0.5)
    assert [epsilon(p) for p in (1.0, 0.75, 0.4, 0.0)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_exponential_epsilon_counts_environment_steps_not_progress():
    epsilon = ExponentialEpsilon(initial=1.0, final=0.1, rate=0.01)
    assert epsilon(0.0, env_steps=0) == 1.0
    assert epsilon(1.0, env_steps=100) == pytest.approx(0.1 + 0.9 / math.e)
    assert epsilon(1.0, env_steps=10**9) == 0.1


def test_no_exploration_is_always_greedy():
    assert NoEpsilon()(1.0, 0) == 0.0


@pytest.mark.parametrize(
    ("kind", "schedule"),
    [
        ("linear", LinearEpsilon(0.9, 0.1, 0.5)),
        ("exponential", ExponentialEpsilon(0.9, 0.1, 1e-4)),
        ("none", NoEpsilon()),
    ],
)
def test_schedules_are_built_by_name_and_can_be_saved(kind, schedule):
    built = EXPLORATIONS[kind](0.9, 0.1, 0.5, None, 1e-4)
    assert pickle.loads(pickle.dumps(built)) == built == schedule


def test_linear_epsilon_over_steps_does_not_ask_how_long_the_training_is():
    epsilon = EXPLORATIONS["linear"](1.0, 0.2, 0.5, 200, 1e-4)
    places = ((1.0, 0), (0.1, 50), (0.9, 200), (0.0, 10_000))
    assert [epsilon(progress, steps) for progress, steps in places] == pytest.approx([1.0, 0.8, 0.2, 0.2])
    assert pickle.loads(pickle.dumps(epsilon)) == epsilon


def test_a_delayed_schedule_stays_at_its_beginning_and_then_runs_as_it_would():
    epsilon = DelayedEpsilon(LinearEpsilonOverSteps(1.0, 0.2, 200), delay=1_000)
    assert [epsilon(0.5, step) for step in (0, 999, 1_000, 1_050, 1_200, 5_000)] == pytest.approx(
        [1.0, 1.0, 1.0, 0.8, 0.2, 0.2]
    )
    assert pickle.loads(pickle.dumps(epsilon)) == epsilon


def test_beta_goes_in_a_straight_line_to_its_end():
    beta = LinearBeta(0.4, 1.0)
    assert [beta(progress) for progress in (1.0, 0.5, 0.0)] == pytest.approx([0.4, 0.7, 1.0])


@pytest.mark.parametrize("initial", [-0.1, 1.1, float("nan")])
def test_a_beta_outside_of_0_and_1_is_refused(initial):
    with pytest.raises(ValueError, match=r"beta=.* final_beta=.* \[0, 1\]"):
        LinearBeta(initial, 1.0)
