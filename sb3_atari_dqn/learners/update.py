"""A learner's settings and results. B: batch, N: environments, D: outputs per action."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sb3_atari_dqn.finite import check_actions, finite_argmax
from sb3_atari_dqn.objectives.objective import Objective, Step
from sb3_atari_dqn.objectives.outputs import Outputs, chosen_output
from sb3_atari_dqn.policies import QPolicy


@dataclass(frozen=True)
class LearningRule:
    """
    :param objective: what is learned
    :param max_grad_norm: the gradient is clipped to this norm
    """

    objective: Objective
    max_grad_norm: float

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of an update's statistics, in their order."""
        return (*self.objective.statistics, "grad_norm")


class GreedyChoice(NamedTuple):
    """
    :param actions: greedy, as numbered in the action space, int64 [N]
    :param outputs: of these actions, float32 [N, D]
    """

    actions: np.ndarray
    outputs: Tensor


class Update(NamedTuple):
    """
    Result of an update, still on the device.

    :param priorities: of the transitions for prioritized replay, at least 0, float32 [B]
    :param statistics: as `LearningRule.statistics` names them; the norm is that before clipping, float32 [S]
    """

    priorities: Tensor
    statistics: Tensor


def update_of(step: Step, grad_norm: Tensor) -> Update:
    """
    :param step: whose loss was minimized
    :param grad_norm: norm of its gradient, scalar
    """
    return Update(step.priorities, torch.cat([step.statistics, grad_norm.detach().reshape(1)]))


def preprocessed(batch: Any, preprocess: Callable[[Any], Any]) -> Any:
    """
    :param batch: SB3's samples, or others with these fields; None in place of observations that nothing needs
    :param preprocess: of a network
    :return: the batch, its observations preprocessed
    """
    observations, next_observations = batch.observations, batch.next_observations
    if next_observations is not None:
        next_observations = preprocess(next_observations)
    return batch._replace(observations=preprocess(observations), next_observations=next_observations)


def greedy_choice(policy: QPolicy, outputs: Outputs) -> GreedyChoice:
    """
    :param policy: numbers the actions
    :param outputs: of its network
    :raises NonFiniteValues: on an action value that is NaN or infinite
    """
    actions = finite_argmax(policy.q_net.values.mean(outputs))
    if actions.device.type != "cpu":
        check_actions(actions.cpu().numpy())
    return GreedyChoice(actions.cpu().numpy() + policy.first_action, chosen_output(outputs.per_action, actions))
