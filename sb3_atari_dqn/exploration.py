"""Exploration: which actions are random, drawn from a generator of its own. N: environments."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_atari_dqn.checkpoints.state import check_form, generator_state, load_generator_state
from sb3_atari_dqn.schedules import EXPLORATIONS, DelayedEpsilon, EpsilonSchedule


class EpsilonGreedy:
    """
    A uniformly random action with probability epsilon, drawn for each environment by itself.

    Source: Mnih et al. 2015, Methods, algorithm 1. Deviation: SB3 draws once for all environments.

    :param schedule: of epsilon
    :param action_space: discrete
    :param seed: of the generator
    """

    def __init__(self, schedule: EpsilonSchedule, action_space: spaces.Discrete, seed: int | None = None) -> None:
        self.schedule = schedule
        self._first, self._n_actions = int(action_space.start), int(action_space.n)
        self.seed(seed)

    def seed(self, seed: int | Sequence[int] | None) -> None:
        """:param seed: of the generator, one number or several; None: from the operating system"""
        self._rng = np.random.default_rng(seed)

    def actions(
        self, epsilon: float | np.ndarray, shape: tuple[int, ...], greedy: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """
        :param epsilon: probability of a random action, one for all or of this shape
        :param shape: (N,), or () for a single action
        :param greedy: returns the greedy actions, of this shape; not called if all actions are random
        :return: as numbered in the action space, of this shape
        """
        if not np.any(epsilon):
            return greedy()
        explores = self._rng.random(shape) < epsilon
        random = self._first + self._rng.integers(self._n_actions, size=shape)
        return random if np.all(explores) else np.where(explores, random, greedy())

    def state_dict(self) -> dict[str, Any]:
        """:return: state of the generator, JSON values"""
        return {"generator": generator_state(self._rng)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: what :meth:`state_dict` returned
        :raises ValueError: if it is something else; the generator is then as it was
        """
        check_form(state, {"generator": ...}, "exploration")
        load_generator_state(self._rng, state["generator"])


def exploration_of(model: Any) -> EpsilonSchedule:
    """:return: the schedule that the arguments of an algorithm, its attributes, describe"""
    schedule = EXPLORATIONS[model.exploration or "none"](
        model.exploration_initial_eps,
        model.exploration_final_eps,
        model.exploration_fraction,
        model.exploration_steps,
        model.exploration_decay_rate,
    )
    return DelayedEpsilon(schedule, model.exploration_delay) if model.exploration_delay else schedule
