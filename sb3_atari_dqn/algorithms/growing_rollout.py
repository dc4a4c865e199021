"""What the targets of a rollout need beside its transitions, kept while it grows.

T: vector steps of a rollout, N: environments, D: outputs per action, D': numbers in a target.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.returns import lambda_returns


class GrowingRollout:
    """
    :param gamma: discount per environment step
    """

    def __init__(self, gamma: float) -> None:
        self._gamma = gamma
        self._outputs: list[Tensor] = []  # a [N, D] per step
        self._final_outputs: dict[tuple[int, int], Tensor] = {}  # by step and environment, a [D] each
        self._rewards: list[np.ndarray] = []
        self._discounts: list[np.ndarray] = []
        self._ends: list[np.ndarray] = []

    def __len__(self) -> int:
        """:return: T"""
        return len(self._rewards)

    def add(self, outputs: Tensor, rewards: np.ndarray, dones: np.ndarray, truncated: np.ndarray) -> None:
        """
        Parameters of one vector step.

        :param outputs: of the greedy actions in the states acted in, float32 [N, D]
        :param rewards: float32 [N]
        :param dones: whether the episode ended, bool [N]
        :param truncated: whether it stopped although values follow, bool [N]
        """
        self._outputs.append(outputs)
        self._rewards.append(np.array(rewards, np.float32))
        self._discounts.append(np.where(dones & ~truncated, np.float32(0), np.float32(self._gamma)))
        self._ends.append(np.array(dones))

    def bootstrap_from(self, envs: np.ndarray, outputs: Tensor) -> None:
        """
        :param envs: whose episode the last step truncated, int64 [any]
        :param outputs: of the greedy actions in the states it led to, float32 [any, D]
        """
        for env, each in zip(envs.tolist(), outputs, strict=True):
            self._final_outputs[len(self) - 1, env] = each

    def targets(self, values: Values, last_outputs: Tensor, lambda_: float) -> Tensor:
        """
        :param values: how returns are represented
        :param last_outputs: of the greedy actions in the states that the last step led to, float32 [N, D]
        :param lambda_: see :func:`lambda_returns`
        :return: float32 [T, N, D']
        """
        outputs_t = torch.stack([*self._outputs[1:], last_outputs])
        for at, each in self._final_outputs.items():
            outputs_t[at] = each
        steps: Any = (self._rewards, self._discounts, self._ends)
        rewards, discounts, ends = (torch.as_tensor(np.stack(each), device=outputs_t.device) for each in steps)
        return lambda_returns(values, outputs_t, rewards, discounts, ends, lambda_)
