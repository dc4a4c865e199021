"""Stacks that begin with the first frame repeated, against a slow twin, and what the replay memory makes of them."""

from contextlib import closing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecTransposeImage

from sb3_atari_dqn.algorithms.env_stacking import frame_stacking
from sb3_atari_dqn.atari import NativeAtariVecEnv, VecRepeatFirstStack
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.stores import FRAME_STORES
from tests.support.environments import ImageAndVector


class Numbered(gym.Env):
    """Every frame shows a number of its own; episode e has 1 + e % 5 steps and every other one times out."""

    def __init__(self, number: int, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(3)
        self.frame, self.episode = 100 * number, number

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.left = self.episode + 1, 1 + self.episode % 5
        return self._picture(), {}

    def step(self, action):
        self.left -= 1
        over = self.left == 0
        return self._picture(), float(self.frame), over and self.episode % 2 == 0, over and self.episode % 2 == 1, {}

    def _picture(self) -> np.ndarray:
        self.frame += 1
        return np.full(self.shape, self.frame % 256, np.uint8)


def numbered(n_envs: int, shape: tuple[int, ...]) -> VecEnv:
    return DummyVecEnv([partial(Numbered, number, shape) for number in range(n_envs)])


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("n_stack", [1, 3, 4])
@pytest.mark.parametrize("shape", [(12, 10, 1), (12, 10, 3), (6,)])
def test_stacks_equal_the_obvious_twin_at_starts_between_and_at_ends(shape, n_stack, n_envs):
    env: Any = VecRepeatFirstStack(numbered(n_envs, shape), n_stack)
    single: Any = numbered(n_envs, shape)
    stacks, frames = env.reset(), single.reset()
    held = [[frame] * n_stack for frame in frames]
    ends = 0
    for _ in range(40):
        for stack, frames_of_one in zip(stacks, held, strict=True):
            assert (stack == np.concatenate(frames_of_one, axis=-1)).all()
        actions = np.zeros(n_envs, int)
        stacks, _, dones, infos = env.step(actions)
        frames, _, _, single_infos = single.step(actions)
        for i, done in enumerate(dones):
            if done:
                last = [*held[i][1:], single_infos[i]["terminal_observation"]]
                assert (infos[i]["terminal_observation"] == np.concatenate(last, axis=-1)).all()
                ends += 1
            held[i] = [frames[i]] * n_stack if done else [*held[i][1:], frames[i]]
    assert ends > 10 * n_envs


def test_a_stack_that_was_handed_out_does_not_change_later():
    env: Any = VecRepeatFirstStack(numbered(1, (12, 10, 1)), 3)
    first = env.reset()
    kept = first.copy()
    second = env.step(np.array([0]))[0]
    after = second.copy()
    env.step(np.array([0]))
    assert (first == kept).all()
    assert (second == after).all()


def test_dictionary_observations_are_refused():
    with pytest.raises(ValueError, match=r"VecRepeatFirstStack needs .* got Dict"):
        VecRepeatFirstStack(make_vec_env(ImageAndVector, 1), 4)


def test_a_stack_of_stacks_is_refused():
    stacked: Any = VecFrameStack(numbered(1, (12, 10, 1)), 4)
    with pytest.raises(ValueError, match=r"VecRepeatFirstStack .*VecFrameStack"):
        VecRepeatFirstStack(stacked, 4)


def test_a_game_that_stacks_by_itself_is_refused():
    native = NativeAtariVecEnv("PongNoFrameskip-v4", 1, n_stack=2)
    with closing(native) as env, pytest.raises(ValueError, match=r"VecRepeatFirstStack .*n_stack > 1"):
        VecRepeatFirstStack(env, 4)


@pytest.mark.parametrize("n_stack", [0, -1, 1.5, "4", None, True])
def test_a_depth_that_is_no_whole_number_is_refused(n_stack):
    with pytest.raises(ValueError, match="n_stack must be"):
        VecRepeatFirstStack(numbered(1, (12, 10, 1)), n_stack)


def test_scalars_cannot_be_stacked():
    with pytest.raises(ValueError, match=r"VecRepeatFirstStack .*Box\("):
        VecRepeatFirstStack(numbered(1, ()), 4)


def test_algorithms_see_how_deep_the_stack_is():
    assert frame_stacking(VecTransposeImage(VecRepeatFirstStack(numbered(1, (12, 10, 1)), 3))) == {"": (3, 0)}


@pytest.mark.parametrize("frame_storage", FRAME_STORES)
@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("resets", [(), (41, 53, 54, 67)], ids=["no_reset", "resets_from_outside"])
def test_the_replay_memory_keeps_each_frame_once_and_returns_the_stacks_exactly(frame_storage, n_envs, resets):
    env: Any = VecTransposeImage(VecRepeatFirstStack(numbered(n_envs, (12, 10, 1)), 4))
    size = 30 * n_envs
    sizes = size, env.observation_space, env.action_space, "cpu", n_envs
    ours = FrameReplayBuffer(*sizes, n_stack=4, frame_storage=frame_storage, sb3_sampling=True)
    theirs = ReplayBuffer(size, env.observation_space, env.action_space, "cpu", n_envs=n_envs)
    obs = env.reset()
    for step in range(70):
        if step in resets:
            obs = env.reset()
        actions = np.full(n_envs, step % 3)
        following, rewards, dones, infos = env.step(actions)
        final = following.copy()
        for i in np.flatnonzero(dones):
            final[i] = infos[i]["terminal_observation"]
        for buffer in (ours, theirs):
            buffer.add(obs, final, actions, rewards, dones, infos)
        obs = following
    slots = np.repeat(np.arange(30), 4)
    np.random.seed(0)
    one = ours._get_samples(slots)
    np.random.seed(0)
    other = theirs._get_samples(slots)
    goes_on = one.dones.squeeze(1) == 0
    assert 0 < goes_on.sum() < len(slots)
    assert torch.equal(one.observations, other.observations)
    assert torch.equal(one.actions, other.actions)
    assert torch.equal(one.rewards, other.rewards)
    assert torch.equal(one.next_observations[goes_on], other.next_observations[goes_on])
    assert len(ours.memory.plain.prefixes) == 0, "no start of an episode needed frames beside the ring"
