"""One objective for every learner: how returns are represented, what the target bootstraps from, and the discount.

Pure torch. B: batch, A: actions, D: numbers per action.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sb3_atari_dqn.objectives.bootstrap import Bootstrap, Greedy
from sb3_atari_dqn.objectives.outputs import Network, Values, chosen_output
from sb3_atari_dqn.objectives.scalar import ScalarValues


class Step(NamedTuple):
    """
    :param loss: mean over the batch, importance weights applied, with its graph, scalar
    :param losses: of each sample before the weights, detached, float32 [B]
    :param priorities: how wrong the values were, at least 0, detached, float32 [B]
    :param statistics: as `Objective.statistics` names them, detached, float32 [S]
    """

    loss: Tensor
    losses: Tensor
    priorities: Tensor
    statistics: Tensor


@dataclass(frozen=True)
class Objective:
    """
    Frozen and hashable: a changed one is another one, for which a CUDA graph is captured anew.

    :param values: how returns are represented
    :param bootstrap: which value of the state reached enters the target
    :param gamma: discount per environment step, for batches that bring no discounts of their own
    """

    values: Values = field(default_factory=ScalarValues)
    bootstrap: Bootstrap = field(default_factory=Greedy)
    gamma: float = 0.99

    #: Names of what :meth:`loss` reports, in its order.
    statistics: ClassVar[tuple[str, ...]] = ("loss", "mean_q", "mean_abs_td_error")

    @torch.no_grad()
    def targets(self, online: Network, target: Network, batch: Any) -> Tensor:
        """
        :param online: online network
        :param target: target network
        :param batch: SB3's samples, or those with importance weights; n-step samples bring their discounts
        :return: what is learned, [B, D']
        """
        chosen_t = self.bootstrap(self.values, online, target, batch)
        gamma = self.gamma if batch.discounts is None else batch.discounts  # gamma**k for n-step returns
        discount_t = (1 - batch.dones) * gamma
        return self.values.target(chosen_t, batch.rewards.squeeze(1), discount_t.squeeze(1))

    def loss(self, online: Network, batch: Any, targets: Tensor) -> Step:
        """
        :param online: online network
        :param batch: as for :meth:`targets`; `weights`, if it has them, multiply the losses
        :param targets: what :meth:`targets` returned, or any other of that shape, such as lambda-returns
        """
        outputs = online(batch.observations)
        chosen_tm1 = chosen_output(outputs.per_action, batch.actions.long().squeeze(1))
        losses, priorities = self.values.loss(chosen_tm1, outputs.fractions, targets)
        weights = getattr(batch, "weights", None)
        loss = (losses if weights is None else losses * weights.squeeze(1)).mean()
        mean_q = self._mean_of_chosen(outputs, batch)
        statistics = torch.stack([loss.detach(), mean_q, priorities.mean()])
        return Step(loss, losses.detach(), priorities, statistics)

    @torch.no_grad()
    def _mean_of_chosen(self, outputs: Any, batch: Any) -> Tensor:
        """:return: mean over the batch of the expected return of the actions taken, scalar"""
        return self.values.mean(outputs).gather(1, batch.actions.long()).mean()
