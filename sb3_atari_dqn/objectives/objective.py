"""The objective of all learners: representation of returns, bootstrap value and discount.

Pure torch. B: batch, A: actions, D: outputs per action.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from sb3_atari_dqn.objectives.bootstrap import Bootstrap, Bootstrapped, Greedy, Munchausen
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.checks import check_losses, check_shape
from sb3_atari_dqn.objectives.outputs import Network, Values, chosen_output
from sb3_atari_dqn.objectives.scalar import ScalarValues


class Step(NamedTuple):
    """
    :param loss: mean over the batch with importance weights, with its autograd graph, scalar
    :param losses: per sample, without importance weights, detached, float32 [B]
    :param priorities: magnitude of the TD errors, at least 0, detached, float32 [B]
    :param statistics: named by `Objective.statistics`, detached, float32 [S]
    """

    loss: Tensor
    losses: Tensor
    priorities: Tensor
    statistics: Tensor


@dataclass(frozen=True)
class Objective:
    """
    Frozen and hashable: changing it means replacing it, and a new objective captures a new CUDA graph.

    :param values: representation of returns
    :param bootstrap: makes the bootstrap value of the next state
    :param gamma: discount per environment step, for batches without their own discounts
    :raises ValueError: on values and a bootstrap rule that do not go together
    """

    values: Values = field(default_factory=ScalarValues)
    bootstrap: Bootstrap = field(default_factory=Greedy)
    gamma: float = 0.99

    #: Whether its batches hold the rewards that the targets were made of
    sees_rewards: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.bootstrap, Munchausen) and not self.values.outputs_are_returns:
            raise ValueError(
                f"Munchausen averages the outputs of all actions, which those of {self.values!r} are not made for; "
                "take scalar, quantile or implicit values, or another bootstrap."
            )

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the statistics that :meth:`loss` returns, in order."""
        always = ("loss", "mean_q", "mean_abs_td_error")
        return (*always, "clipped_target") if self._clips else always

    @property
    def _clips(self) -> bool:
        return self.sees_rewards and isinstance(self.values, CategoricalValues)

    @torch.no_grad()
    def targets(self, online: Network, target: Network | None, batch: Any) -> Tensor:
        """
        :param online: online network
        :param target: target network; bootstrap rules need one
        :param batch: SB3's samples, with or without importance weights; n-step samples include their discounts
        :return: targets, [B, D']
        """
        bootstrapped = self.bootstrap(self.values, online, cast(Network, target), batch)
        if not isinstance(bootstrapped, Bootstrapped):
            raise ValueError(
                f"{self.bootstrap!r} must return Bootstrapped(outputs), got a {type(bootstrapped).__name__}."
            )
        outputs, bonus = bootstrapped
        n_outputs = self.values.target_fractions or self.values.n_outputs
        check_shape(self.bootstrap, "its outputs", outputs, (len(batch.rewards), n_outputs))
        r_t = batch.rewards.squeeze(1) if bonus is None else batch.rewards.squeeze(1) + bonus
        targets = self.values.target(outputs, r_t, self._discounts(batch))
        check_shape(self.values, "the result of target()", targets, (len(batch.rewards), None))
        return targets

    def _discounts(self, batch: Any) -> Tensor:
        """:return: gamma**k, and 0 where the episode terminated, float32 [B]"""
        gamma = self.gamma if batch.discounts is None else batch.discounts  # gamma**k for n-step returns
        return ((1 - batch.dones) * gamma).squeeze(1)

    def loss(self, online: Network, batch: Any, targets: Tensor) -> Step:
        """
        :param online: online network
        :param batch: as for :meth:`targets`; its importance `weights`, if any, multiply the losses
        :param targets: from :meth:`targets`, or any others of that shape, such as lambda-returns
        """
        outputs = online(batch.observations, self.values.online_fractions)
        n, n_actions = len(batch.actions), outputs.per_action.shape[1]
        n_outputs = self.values.online_fractions or self.values.n_outputs
        check_shape(self.values, "the outputs of the head", outputs.per_action, (n, n_actions, n_outputs))
        chosen_tm1 = chosen_output(outputs.per_action, batch.actions.long().squeeze(1))
        learned = self.values.loss(chosen_tm1, outputs.fractions, targets)
        check_losses(self.values, learned, n)
        losses, priorities = learned
        weights = getattr(batch, "weights", None)
        loss = (losses if weights is None else losses * weights.squeeze(1)).mean()
        statistics = [loss.detach(), self._mean_of_chosen(outputs, batch), priorities.mean()]
        if self._clips:
            values = cast(CategoricalValues, self.values)
            statistics.append(values.clipped(targets, batch.rewards.squeeze(1), self._discounts(batch)).mean())
        return Step(loss, losses.detach(), priorities, torch.stack(statistics))

    @torch.no_grad()
    def _mean_of_chosen(self, outputs: Any, batch: Any) -> Tensor:
        """:return: mean action value of the actions taken, scalar"""
        return self.values.mean(outputs).gather(1, batch.actions.long()).mean()
