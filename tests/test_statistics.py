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
