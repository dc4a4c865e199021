"""The reference: the algorithm as the papers describe it, on the policy's own networks."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sb3_atari_dqn.finite import check_update
from sb3_atari_dqn.learners.optimizers import unfuse
from sb3_atari_dqn.learners.update import GreedyChoice, LearningRule, Update, greedy_choice, update_of
from sb3_atari_dqn.networks.noisy import exploration_noise
from sb3_atari_dqn.policies import QPolicy


class ReferenceLearner:
    """
    With SB3's defaults and the same batches its parameters equal those of SB3's DQN, bit for bit.

    :param policy: owns the networks and the optimizer
    """

    captures = False  # its batches hold images

    def __init__(self, policy: QPolicy) -> None:
        self.policy = policy
        unfuse(policy.optimizer)

    def greedy_actions(self, observations: np.ndarray | dict[str, np.ndarray]) -> np.ndarray:
        """
        :param observations: of N environments
        :return: int64 [N]
        :raises NonFiniteValues: on an action value that is NaN or infinite
        """
        self.policy.set_training_mode(False)
        with exploration_noise(self.policy.q_net):
            return self.policy.predict(observations, deterministic=True)[0]

    @torch.no_grad()
    def greedy_choice(self, observations: np.ndarray | dict[str, np.ndarray]) -> GreedyChoice:
        """
        :param observations: of N environments
        :return: greedy actions with their outputs
        :raises NonFiniteValues: on an action value that is NaN or infinite
        """
        self.policy.set_training_mode(False)
        with exploration_noise(self.policy.q_net):
            return greedy_choice(self.policy, self.policy.q_net.outputs(self.policy.obs_to_tensor(observations)[0]))

    def update(self, batch: Any, rule: LearningRule) -> Update:
        """
        One step of gradient descent.

        :param batch: SB3's samples, or those with importance weights
        :param rule: objective and gradient norm
        :raises NonFiniteUpdate: instead of a step that would damage the parameters
        """
        self.policy.set_training_mode(True)
        online = self.policy.q_net.outputs
        targets = self._targets(batch, rule)
        step = rule.objective.loss(online, batch, targets)
        self.policy.optimizer.zero_grad()
        step.loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(self.policy.q_net.parameters(), rule.max_grad_norm)
        check_update(step.loss, grad_norm)
        self.policy.optimizer.step()
        return update_of(step, grad_norm)

    def _targets(self, batch: Any, rule: LearningRule) -> Tensor:
        online, target = self.policy.q_net, self.policy.q_net_target
        if target is None:
            return rule.objective.targets(online.outputs, None, batch)
        with exploration_noise(target):  # SB3's stays in evaluation mode
            return rule.objective.targets(online.outputs, target.outputs, batch)

    def state_dict(self) -> dict[str, Any]:
        """:return: nothing: all state is the policy's"""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""

    def refresh(self) -> None:
        """Called when training begins, as the networks may have been written to."""

    def target_changed(self) -> None:
        """Called when the target network was written to."""
