"""Arguments of the algorithms."""

import numpy as np
import pytest

from sb3_atari_dqn.algorithms.arguments import as_train_freq, check_exploration_delay


@pytest.mark.parametrize(
    ("given", "checked"), [(4, (4, "step")), (np.int64(4), (4, "step")), ([2, "episode"], (2, "episode"))]
)
def test_train_freq_becomes_a_pair(given, checked):
    assert as_train_freq(given, n_envs=1) == checked


@pytest.mark.parametrize(
    ("train_freq", "n_envs", "message"),
    [
        (0, 1, "train_freq must be at least 1, got 0"),
        ((1, "epoch"), 1, "Unknown unit of train_freq 'epoch'; known: episode, step"),
        ((1, "episode"), 2, r"train_freq=\(1, 'episode'\) counts episodes, which 2 environments at once cannot do"),
        ((1, 2, 3), 1, r"train_freq must be .*got \(1, 2, 3\)"),
    ],
)
def test_bad_train_freq_is_shown(train_freq, n_envs, message):
    with pytest.raises(ValueError, match=message):
        as_train_freq(train_freq, n_envs)


@pytest.mark.parametrize(("exploration", "steps"), [("linear", 100), ("exponential", None)])
def test_schedules_that_count_environment_steps_can_be_delayed(exploration, steps):
    check_exploration_delay(50, exploration, steps)


@pytest.mark.parametrize(("exploration", "steps"), [("linear", None), ("none", 100)])
def test_a_delay_of_a_schedule_that_counts_no_steps_is_refused(exploration, steps):
    check_exploration_delay(0, exploration, steps)
    with pytest.raises(ValueError, match=r"exploration_delay=50 .* give exploration_steps"):
        check_exploration_delay(50, exploration, steps)
