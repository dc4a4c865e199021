"""TD errors on their way back into the memory."""

import numpy as np
import pytest
import torch

from sb3_atari_dqn.replay import priority_updates
from sb3_atari_dqn.replay.priority_updates import PriorityUpdates


@pytest.fixture
def delivered():
    return []


@pytest.fixture
def channel(delivered):
    return PriorityUpdates(lambda indices, errors: delivered.append((indices.tolist(), errors.tolist())))


def test_errors_on_the_host_arrive_at_once(channel, delivered):
    channel.push(np.array([3, 5]), torch.tensor([1.0, -2.0], requires_grad=True))
    channel.push(np.array([1]), np.array([4.0]))
    assert delivered == [([3, 5], [1.0, -2.0]), ([1], [4.0])]


@pytest.fixture
def another_device(monkeypatch):
    """Tensors without memory stand for those of a device; what is fetched from them is counted up."""
    fetched = iter(range(100))

    def fetch(errors):
        number = next(fetched)
        return lambda: np.array([float(number)])

    monkeypatch.setattr(priority_updates, "fetched", fetch)
    return lambda: torch.empty(1, device="meta")


def test_errors_from_a_device_arrive_with_the_next_ones(channel, delivered, another_device):
    channel.push(np.array([7]), another_device())
    assert delivered == []
    channel.push(np.array([8]), another_device())
    assert delivered == [([7], [0.0])]


def test_settling_lets_everything_arrive_once(channel, delivered, another_device):
    channel.push(np.array([7]), another_device())
    channel.flush()
    channel.flush()
    assert delivered == [([7], [0.0])]
