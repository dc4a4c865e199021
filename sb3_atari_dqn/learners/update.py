"""A learner's settings and results. B: batch."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sb3_atari_dqn.objectives.objective import Objective, Step


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


def with_observations(batch: Any, observations: Any, next_observations: Any) -> Any:
    """:return: the batch (SB3's samples, or others with these fields) with these in place of its own"""
    return batch._replace(observations=observations, next_observations=next_observations)
