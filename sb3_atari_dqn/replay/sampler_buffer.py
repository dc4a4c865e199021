"""Replay buffers that draw from a sampler of their own. B: batch."""

from typing import Any

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize


class SamplerReplayBuffer(ReplayBuffer):
    """SB3's interface of sampling, on `sampler` and on `samples_at` of the subclass."""

    sampler: Any

    def seed(self, seed: int) -> None:
        """:param seed: of the random generator"""
        self.sampler.seed(seed)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> Any:
        """
        :param batch_size: B
        :param env: normalizes observations and rewards
        :raises ValueError: if nothing is stored yet
        """
        return self._get_samples(self.sampler.draw_slots(batch_size, self.size()), env)

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> Any:
        """
        :param batch_inds: slots, int64 [B]; the environments are drawn here, as SB3 does
        :param env: normalizes observations and rewards
        """
        return self.samples_at(batch_inds, self.sampler.draw_envs(len(batch_inds)), env)

    def samples_at(self, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None = None) -> Any:
        """
        :param slots: indices into the buffer, int64 [B]
        :param envs: numbers of the environments, int64 [B]
        :param env: normalizes observations and rewards
        :return: the transitions that begin there, as SB3's samples
        """
        raise NotImplementedError
