"""Row numbers that a device gathers later, against the images gathered at once."""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.stack_rows import StackRows
from tests.support.streams import Stream


class Blank(gym.Env):
    """An environment for its spaces only."""

    action_space = spaces.Discrete(5)

    def __init__(self, space: spaces.Space) -> None:
        self.observation_space = space


def rows_at(buffer: FrameReplayBuffer, slots: np.ndarray, envs: np.ndarray) -> Any:
    """:return: samples that name rows"""
    with buffer.gathering_later():
        return buffer.samples_at(slots, envs)


def filled(stream: Stream, n_steps: int, frame_storage: str = "device", length: int = 120) -> FrameReplayBuffer:
    buffer = FrameReplayBuffer(
        40 * stream.n_envs,
        stream.observation_space,
        spaces.Discrete(5),
        "cpu",
        stream.n_envs,
        n_stack=stream.n_stack,
        n_steps=n_steps,
        frame_storage=frame_storage,
    )
    for step in stream.steps(length):
        buffer.add(*step)
    return buffer


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.booleans(), st.integers(0, 2**32 - 1))
def test_images_gathered_later_are_those_gathered_at_once(n_stack, channels, n_steps, last, seed):
    stream = Stream(n_stack, channels, n_envs=2, seed=seed, end=0.3, break_off=0.1, channels_last=last)
    buffer = filled(stream, n_steps)
    rng = np.random.default_rng(seed)
    places = None
    for _ in range(4):
        slots, envs = rng.integers(40, size=16), rng.integers(2, size=16)
        at_once = buffer.samples_at(slots, envs)
        later = rows_at(buffer, slots, envs)
        pairs = later.observations, later.next_observations
        assert all(isinstance(rows, StackRows) for rows in pairs)
        places = places or [rows.with_memory() for rows in pairs]
        for place, rows, images in zip(places, pairs, (at_once.observations, at_once.next_observations), strict=True):
            assert place.fits(rows)
            place.copy_(rows)
            assert torch.equal(place.gather(), images)
        for name in ("actions", "dones", "rewards"):
            assert torch.equal(getattr(at_once, name), getattr(later, name))


def test_a_batch_of_another_size_or_from_another_store_does_not_fit():
    buffer, other = (filled(Stream(seed=seed), n_steps=1) for seed in range(2))
    slots = np.arange(8)
    rows, fewer = (rows_at(buffer, some, 0 * some).observations for some in (slots, slots[:7]))
    elsewhere = rows_at(other, slots, 0 * slots).observations
    place = rows.with_memory()
    assert place.fits(rows)
    assert not place.fits(fewer)
    assert not place.fits(elsewhere)
    assert not place.fits(torch.zeros(8, 4))


def test_outside_of_the_context_even_after_an_error_samples_bring_images():
    buffer = filled(Stream(), n_steps=1)
    with pytest.raises(RuntimeError), buffer.gathering_later():
        raise RuntimeError
    assert isinstance(buffer.sample(4).observations, torch.Tensor)


def test_frames_in_host_memory_and_normalized_observations_are_gathered_at_once():
    host = filled(Stream(), n_steps=1, frame_storage="ram")
    with host.gathering_later():
        assert isinstance(host.sample(4).observations, torch.Tensor)
    on_device = filled(Stream(), n_steps=1)
    normalizer = VecNormalize(DummyVecEnv([partial(Blank, on_device.observation_space)]))
    with on_device.gathering_later():
        assert isinstance(on_device.sample(4, env=normalizer).observations, torch.Tensor)
