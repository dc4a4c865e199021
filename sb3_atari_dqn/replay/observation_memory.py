"""Observations with one or several parts, every frame of each kept once.

B: batch, N: environments. A dictionary has a part per key, each stacked in its own way or not at all; any other
observation is one part, named "". All parts step together, and an episode ends in all of them at once.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sb3_atari_dqn.checkpoints.state import check_form
from sb3_atari_dqn.replay.stack_memory import StackMemory

PLAIN = ""  # name of the only part of an observation that is not a dictionary


class ObservationMemory:
    """
    Ring of the last observations and of what followed them.

    :param parts: a memory per part, all of one size
    """

    def __init__(self, parts: dict[str, StackMemory]) -> None:
        self.parts = parts
        self._first, *self._others = parts.values()

    @property
    def plain(self) -> StackMemory:
        """The memory of an observation that is not a dictionary."""
        return self.parts[PLAIN]

    @property
    def ends_are_exact(self) -> bool:
        """See :class:`StackMemory`."""
        return self._first.ends_are_exact

    @ends_are_exact.setter
    def ends_are_exact(self, exact: bool) -> None:
        for part in self.parts.values():
            part.ends_are_exact = exact

    @property
    def steps(self) -> int:
        """Vector steps stored, those that are overwritten included."""
        return self._first.steps

    def reset(self) -> None:
        """Forget everything."""
        for memory in self.parts.values():
            memory.reset()

    def push(
        self,
        obs: Mapping[str, np.ndarray],
        next_obs: Mapping[str, np.ndarray],
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        """
        Store one vector step.

        :param obs: a part each, [N, *obs_shape]
        :param next_obs: the observations reached, final ones where an episode ended
        :param terminated: no value follows, bool [N]
        :param truncated: the episode stopped, but values follow, bool [N]
        :raises ValueError: if one of the parts is no stack; nothing is stored then
        """
        checked = [part.check(obs[name], next_obs[name], terminated, truncated) for name, part in self.parts.items()]
        for part, step in zip(self.parts.values(), checked, strict=True):
            part.write(step)

    def set_position(self, steps: int, first_frames: Mapping[str, int]) -> None:
        """
        Go on after transitions that were written from outside.

        :param steps: vector steps up to here
        :param first_frames: of each part, step of the oldest frame
        """
        for name, part in self.parts.items():
            part.set_position(steps, first_frames[name])

    def state_dict(self) -> dict[str, Any]:
        """:return: of each part, everything but the frames in its ring"""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`, of the same parts
        :raises ValueError: if it does not fit; everything is then as it was
        """
        self.check_state(state)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])

    def check_state(self, state: dict[str, Any]) -> None:
        """:raises ValueError: if :meth:`load_state_dict` cannot take it"""
        check_form(state, dict.fromkeys(self.parts, ...), "memory of observations")
        for name, part in self.parts.items():
            part.check_state(state[name])

    def oldest_frames(self, filled: int) -> dict[str, int]:
        """:return: of each part, step of the oldest frame that the last `filled` observations may need"""
        return {name: part.oldest_frame(filled) for name, part in self.parts.items()}

    def terminated(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """:return: bool, as the broadcast of steps and envs"""
        return self._first.terminated(steps, envs)

    def stops(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """
        A reset from outside may show in one part only.

        :return: whether the transitions of these steps are followed by none, bool, as the broadcast
        """
        stops = self._first.stops(steps, envs)
        for part in self._others:
            stops = stops | part.stops(steps, envs)
        return stops
