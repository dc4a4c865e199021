"""Learning curves."""

import numpy as np
import pytest

from sb3_atari_dqn.plotting.statistics import band, blocks, running_mean, speed


def array(*numbers):
    return np.array(numbers, float)


def test_the_running_mean_covers_the_last_values_and_fewer_at_the_start():
    assert running_mean(array(6, 0, 3, 9), window=2).tolist() == [6, 3, 1.5, 6]


@pytest.mark.parametrize("window", [4, 100])
def test_a_window_longer_than_the_values_takes_them_all(window):
    assert running_mean(array(6, 0, 3, 9), window).tolist() == [6, 3, 3, 4.5]


def test_blocks_end_with_their_last_episode_and_an_incomplete_one_is_dropped():
    found = blocks(array(1, 2, 3, 4, 50), array(8, 2, -1, 3, 99), size=2)
    assert found.ends.tolist() == [2, 4]
    assert found.means.tolist() == [5, 1]
    assert found.maxima.tolist() == [8, 3]


def test_fewer_episodes_than_a_block_are_one_block():
    found = blocks(array(1, 2, 3), array(1, 2, 6), size=10)
    assert [part.tolist() for part in found] == [[3], [3], [6]]


def test_the_speed_of_each_interval_is_steps_over_seconds():
    """100 steps in the first 10 seconds, 300 in the next."""
    ends, rates = speed(array(50, 100, 250, 400), array(5, 10, 15, 20), episodes=2)
    assert ends.tolist() == [10, 20]
    assert rates.tolist() == [10, 30]


@pytest.mark.parametrize("seconds", [[0.0], [0.0, 0.0]])
def test_without_elapsed_time_there_is_no_speed(seconds):
    ends, rates = speed(np.ones(len(seconds)), np.array(seconds))
    assert len(ends) == len(rates) == 0


def test_the_band_of_one_run_is_the_run_itself():
    along, values = array(1, 2, 5), array(3, 4, 9)
    assert [part.tolist() for part in band([(along, values)])] == [[1, 2, 5], [3, 4, 9], [3, 4, 9], [3, 4, 9]]


def test_the_band_of_two_runs_has_their_mean_and_range_where_both_are():
    """Places 0, 1, 2, 3, 4: the second run begins at 1 and ends at 3."""
    found = band([(array(0, 4), array(0, 8)), (array(1, 3), array(10, 10))], points=5)
    assert found.along.tolist() == [0, 1, 2, 3, 4]
    assert found.low.tolist() == [0, 2, 4, 6, 8]
    assert found.high.tolist() == [0, 10, 10, 10, 8]
    assert found.mean[[0, 2, 3]].tolist() == [0, 7, 8]


def test_the_line_breaks_where_the_number_of_runs_changes():
    found = band([(array(0, 4), array(0, 8)), (array(1, 3), array(10, 10))], points=5)
    assert np.isnan(found.mean).tolist() == [False, True, False, False, True]
