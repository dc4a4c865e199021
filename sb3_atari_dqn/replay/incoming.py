"""Observations on their way into a memory: cut into parts, cast and checked.

N: environments.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_atari_dqn.replay.observation_memory import PLAIN, ObservationMemory
from sb3_atari_dqn.replay.observation_parts import spaces_of

Observations = np.ndarray | dict[str, np.ndarray]


class IncomingObservations:
    """
    :param space: of the observations
    :param memory: where their parts go
    :param n_envs: N
    """

    def __init__(self, space: spaces.Space, memory: ObservationMemory, n_envs: int) -> None:
        self._memory, self._n_envs = memory, n_envs
        self._is_dict = isinstance(space, spaces.Dict)
        self._discrete = {name for name, of in spaces_of(space).items() if isinstance(of, spaces.Discrete)}

    def parts(self, argument: str, observations: Observations) -> dict[str, np.ndarray]:
        """
        :param argument: for the message
        :param observations: of all environments
        :return: the parts of the observations, of the types of the observation space, as SB3 casts them
        :raises ValueError: if a part is missing, or its shape is not the one of the observation space
        """
        names = self._memory.parts.keys()
        given: Any = observations if self._is_dict else {PLAIN: observations}
        if self._is_dict and not (isinstance(given, Mapping) and given.keys() >= names):
            found = sorted(given) if isinstance(given, Mapping) else type(given).__name__
            raise ValueError(f"{argument} must be a dictionary with the keys {sorted(names)}, got {found}.")
        return {name: self._part(argument, name, given[name]) for name in names}

    def _part(self, argument: str, name: str, observations: np.ndarray) -> np.ndarray:
        """:return: [N, *obs_shape]"""
        part = self._memory.parts[name]
        observations = np.asarray(observations, part.dtype)
        wanted = (self._n_envs, *part.shape.obs_shape)
        if name in self._discrete and observations.size == self._n_envs:  # one number each, with an axis or without
            observations = observations.reshape(wanted)
        if observations.shape != wanted:
            which = f"{argument}[{name!r}]" if name else argument
            raise ValueError(
                f"{which} has shape {observations.shape}, and {self._n_envs} environments with observations of shape "
                f"{part.shape.obs_shape} give {wanted}: pass what the training environment returns."
            )
        return observations
