"""What actors need to know of a model that learns: its policy, its weights, and how much it explores. N: games."""

from typing import Any, cast

import numpy as np
from gymnasium import spaces

from sb3_atari_dqn.distributed.acting import PolicySpec, tensors_of
from sb3_atari_dqn.distributed.settings import ActorSettings
from sb3_atari_dqn.distributed.td_errors import Returns
from sb3_atari_dqn.distributed.weights import packed
from sb3_atari_dqn.learners.fast import FastLearner

#: Horgan et al. 2018, section 4: epsilon of actor i of N is base ** (1 + alpha * i / (N - 1))
_LADDER_BASE, _LADDER_ALPHA = 0.4, 7.0


class Behaviour:
    """
    :param model: one of our algorithms, set up to learn
    :param n_envs: N
    :param settings: how the actors explore, and whether they compute TD errors
    :raises ValueError: if nothing is prioritized by these
    """

    def __init__(self, model: Any, n_envs: int, settings: ActorSettings) -> None:
        self._model, self._n_envs = model, n_envs
        self._ladder = ladder(n_envs) if settings.exploration == "ladder" else None
        self._returns = _returns_of(model) if settings.initial_priorities else None

    def policy(self) -> PolicySpec:
        """:return: what an actor builds its network from"""
        model, learner = self._model, self._model._get_learner()
        return PolicySpec(
            model.policy_class,
            cast(spaces.Box, model.observation_space),
            model.action_space,
            model._complete_policy_kwargs(),
            self._returns,
            learner.precision if isinstance(learner, FastLearner) else None,
        )

    def weights(self) -> np.ndarray:
        """:return: a copy of what the learner computes with, uint8 [any]"""
        learner, q_net = self._model._get_learner(), self._model.policy.q_net
        network = learner.online if isinstance(learner, FastLearner) else _Master(q_net)
        return packed(tensors_of(network, q_net))

    @property
    def n_updates(self) -> int:
        """Updates made so far: the version of the weights"""
        return self._model._n_updates

    def epsilons(self, ahead: int, n_steps: int) -> np.ndarray:
        """
        :param ahead: vector steps that are ordered and not yet counted by the model
        :param n_steps: of the next block
        :return: probability of a random action, as the model would explore after the steps before, float64
            [n_steps, N]
        """
        model = self._model
        first, total = model.num_timesteps + ahead * self._n_envs, model._total_timesteps
        rows = []
        for env_steps in range(first, first + n_steps * self._n_envs, self._n_envs):
            if env_steps < getattr(model, "learning_starts", 0):
                rows.append(np.ones(self._n_envs))
            elif self._ladder is not None:
                rows.append(self._ladder)
            else:
                epsilon = model.explorer.schedule(max(1.0 - env_steps / total, 0.0), env_steps)
                rows.append(np.full(self._n_envs, epsilon))
        return np.array(rows, np.float64)


def _returns_of(model: Any) -> Returns:
    """:raises ValueError: if its replay has no priorities"""
    if getattr(model, "replay", None) != "prioritized":
        raise ValueError(
            f"ray: initial_priorities are for prioritized replay, which this {type(model).__name__} does not have: "
            "leave them out, or give it replay='prioritized'."
        )
    return Returns(model.n_steps, model.gamma)


def check_takes_other_games(model: Any) -> None:
    """
    :param model: that will learn from free-running actors
    :raises ValueError: if it takes the steps at one place for those of one game
    """
    choice = getattr(model, "_choose_replay", None)
    if choice is None or not getattr(choice()[0], "sees_resets", False):
        what = type(model).__name__ if choice is None else f"{choice()[0].__name__} of this {type(model).__name__}"
        raise ValueError(
            f"ray: mode='free-running' gives one place the steps of several games, which {what} would join: set mode "
            "to 'lock-step', or take a replay that stores each frame once (replay='uniform' or 'prioritized')."
        )


class _Master:
    """The policy's own network, as a working copy is asked."""

    def __init__(self, q_net: Any) -> None:
        self.parameters = list(q_net.parameters())


def ladder(n_envs: int) -> np.ndarray:
    """
    :param n_envs: N
    :return: Ape-X's epsilons, from 0.4 down to 0.4 ** 8, float64 [N]
    """
    return _LADDER_BASE ** (1 + _LADDER_ALPHA * np.arange(n_envs) / max(n_envs - 1, 1))
