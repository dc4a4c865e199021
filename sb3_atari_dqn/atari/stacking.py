"""Frame stacks that repeat the first frame at the start of an episode; SB3's pad with zeros. N: environments."""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, is_vecenv_wrapped
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_atari_dqn.validation import as_int


class RepeatedStarts(StackedObservations[np.ndarray]):
    """SB3's ``StackedObservations``, filled with the first frame after a reset."""

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
        :param observations: newest frames; where an episode ended, the first of the next one, [N, H, W, C]
        :param dones: bool [N]
        :param infos: ``terminal_observation`` becomes the last stack of the finished episode
        :return: stacks, [N, H, W, K * C], and the infos
        """
        stacks, infos = super().update(observations, dones, infos)
        stacks[dones] = self._repeated(observations[dones])
        return stacks, infos

    def _repeated(self, frames: np.ndarray) -> np.ndarray:
        return np.concatenate([frames] * self.n_stack, axis=self.stack_dimension)


class VecRepeatFirstStack(VecFrameStack):
    """
    A frame stack, newest frame last, that repeats the first frame at the start of an episode.

    The RL Zoo's ``frame_stack`` always pads with zeros; to repeat the first frame, name this class in
    ``vec_env_wrapper`` and remove ``frame_stack``.

    :param venv: vectorized environment with a Box observation space
    :param n_stack: K, frames in a stack
    :raises ValueError: if n_stack is not an integer of at least 1, on observations without an axis to stack along (a
        dictionary, a scalar), or around another frame stack

    This class cannot detect a frame stack around itself, which would stack stacks: remove it.
    """

    def __init__(self, venv: VecEnv, n_stack: int) -> None:
        space = venv.observation_space
        if not isinstance(space, spaces.Box):
            raise ValueError(
                f"VecRepeatFirstStack needs a Box observation space, got {space}: use frame_stack instead."
            )
        if is_vecenv_wrapped(venv, VecFrameStack) or getattr(venv.unwrapped, "n_stack", 1) > 1:
            raise ValueError(
                "VecRepeatFirstStack wraps an environment that already stacks frames (VecFrameStack or n_stack > 1): "
                "remove one of the frame stacks."
            )
        if not space.shape:
            raise ValueError(f"VecRepeatFirstStack stacks along the last axis, but {space} has no axes.")
        n_stack = as_int("n_stack", n_stack, minimum=1)
        super().__init__(venv, n_stack)
        self.stacked_obs = RepeatedStarts(venv.num_envs, n_stack, space)
