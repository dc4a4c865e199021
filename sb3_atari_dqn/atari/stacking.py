"""Frame stacks that begin with the first frame repeated, where SB3's begin with zeros. N: environments."""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, is_vecenv_wrapped
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_atari_dqn.validation import as_int


class RepeatedStarts(StackedObservations[np.ndarray]):
    """SB3's stacks; after a reset every place holds the first frame."""

    def reset(self, observation: np.ndarray) -> np.ndarray:
        """
        :param observation: first frames, [N, H, W, C]
        :return: stacks, [N, H, W, K * C]
        """
        stacks = super().reset(observation)
        stacks[:] = self._repeated(observation)
        return stacks

    def update(
        self, observations: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """
        :param observations: newest frames, the first of the next episode where one ended, [N, H, W, C]
        :param dones: bool [N]
        :param infos: whose ``terminal_observation`` becomes the last stack of the episode that ended
        :return: stacks, [N, H, W, K * C], and the infos
        """
        stacks, infos = super().update(observations, dones, infos)
        stacks[dones] = self._repeated(observations[dones])
        return stacks, infos

    def _repeated(self, frames: np.ndarray) -> np.ndarray:
        return np.concatenate([frames] * self.n_stack, axis=self.stack_dimension)


class VecRepeatFirstStack(VecFrameStack):
    """
    A stack of frames, newest last, that begins with the first frame repeated.

    The RL Zoo's ``frame_stack`` begins with zeros and cannot be told otherwise; name this in ``vec_env_wrapper``
    and leave ``frame_stack`` out.

    :param venv: environments whose observations are one Box
    :param n_stack: K, frames in a stack
    :raises ValueError: if n_stack is no whole number of at least 1, on observations without an axis to stack along (a
        dictionary, a scalar), or around another stack

    A stack around this one is not seen from here, and would stack stacks: leave it out.
    """

    def __init__(self, venv: VecEnv, n_stack: int) -> None:
        space = venv.observation_space
        if not isinstance(space, spaces.Box):
            raise ValueError(f"VecRepeatFirstStack needs Box observations, got {space}: use frame_stack instead.")
        if is_vecenv_wrapped(venv, VecFrameStack) or getattr(venv.unwrapped, "n_stack", 1) > 1:
            raise ValueError("VecRepeatFirstStack stands on another stack of frames: leave one of them out.")
        if not space.shape:
            raise ValueError(f"VecRepeatFirstStack stacks along the last axis of an observation, {space} has none.")
        n_stack = as_int("n_stack", n_stack, minimum=1)
        super().__init__(venv, n_stack)
        self.stacked_obs = RepeatedStarts(venv.num_envs, n_stack, space)
