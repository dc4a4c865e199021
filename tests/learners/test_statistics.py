"""Means over updates."""

import pytest
import torch

from sb3_atari_dqn.learners.statistics import Statistics


def test_what_is_taken_are_the_means_of_what_was_added():
    statistics = Statistics()
    for numbers in ([1.0, 10.0], [2.0, 20.0], [6.0, 0.0]):
        statistics.add(torch.tensor(numbers))
    assert statistics.take() == pytest.approx([3.0, 10.0])


def test_taking_starts_again():
    statistics = Statistics()
    assert not statistics
    statistics.add(torch.tensor([100.0]))
    assert statistics
    statistics.take()
    assert not statistics
    statistics.add(torch.tensor([1.0]))
    statistics.add(torch.tensor([3.0]))
    assert statistics.take() == [2.0]


def test_the_numbers_that_were_handed_in_stay_as_they_are():
    statistics, first = Statistics(), torch.tensor([1.0])
    statistics.add(first)
    statistics.add(torch.tensor([5.0]))
    assert first.item() == 1.0


def test_totals_go_on_over_what_was_taken_and_disturb_nothing():
    statistics = Statistics()
    assert statistics.totals() == (0, [])
    statistics.add(torch.tensor([1.0, 10.0]))
    statistics.add(torch.tensor([3.0, 20.0]))
    assert statistics.totals() == (2, [4.0, 30.0])
    assert statistics.take() == [2.0, 15.0]
    assert statistics.totals() == (2, [4.0, 30.0])
    statistics.add(torch.tensor([5.0, 0.0]))
    assert statistics.totals() == (3, [9.0, 30.0])
    assert statistics.take() == [5.0, 0.0]


def test_sums_continue_from_a_state():
    whole, first, second = Statistics(), Statistics(), Statistics()
    for statistics in (whole, first):
        statistics.add(torch.tensor([1.0, 2.0]))
        statistics.take()
        statistics.add(torch.tensor([3.0, 4.0]))
    second.load_state_dict(first.state_dict())
    for statistics in (whole, second, first):
        statistics.add(torch.tensor([5.0, 7.0]))
    assert second.totals() == whole.totals() == first.totals() == (3, [9.0, 13.0])
    assert second.take() == whole.take() == [4.0, 5.5]
