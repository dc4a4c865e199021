"""What every learner computes: the temporal-difference loss of a batch. B: batch, A: actions."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sb3_atari_dqn.losses import LOSSES, chosen_value, td_target


@dataclass(frozen=True)
class LearningRule:
    """
    :param loss: short name of the loss
    :param gamma: discount per environment step, for batches that bring no discounts of their own
    :param max_grad_norm: the gradient is shortened to this norm
    """

    loss: str
    gamma: float
    max_grad_norm: float


class TDLoss(NamedTuple):
    """
    :param loss: mean over the batch, with its graph, scalar
    :param td_errors: target - Q(s, a), detached, float32 [B]
    :param mean_q: mean of Q(s, a), detached, scalar
    """

    loss: Tensor
    td_errors: Tensor
    mean_q: Tensor


class Update(NamedTuple):
    """
    What is left of an update; both still on the device.

    :param td_errors: float32 [B]
    :param statistics: loss, mean Q, mean absolute TD error, norm of the gradient before it is shortened, float32 [4]
    """

    td_errors: Tensor
    statistics: Tensor


def td_loss(q_tm1: Tensor, v_t: Tensor, batch: Any, rule: LearningRule) -> TDLoss:
    """
    :param q_tm1: values of all actions where the batch acted, float32 [B, A]
    :param v_t: what the states reached are worth, float32 [B]
    :param batch: SB3's samples, or those with importance weights
    :param rule: loss and discount
    """
    gamma = rule.gamma if batch.discounts is None else batch.discounts  # gamma**k for n-step returns
    discount_t = (1 - batch.dones) * gamma
    target = td_target(batch.rewards.squeeze(1), discount_t.squeeze(1), v_t)
    chosen = chosen_value(q_tm1, batch.actions.long().squeeze(1))  # [B]
    losses = LOSSES[rule.loss](chosen, target)  # [B]
    weights = getattr(batch, "weights", None)
    if weights is not None:
        losses = losses * weights.squeeze(1)
    return TDLoss(losses.mean(), (target - chosen).detach(), chosen.detach().mean())


def update_of(step: TDLoss, grad_norm: Tensor) -> Update:
    """
    :param step: the loss that was followed
    :param grad_norm: norm of its gradient, scalar
    """
    statistics = torch.stack([step.loss.detach(), step.mean_q, step.td_errors.abs().mean(), grad_norm])
    return Update(step.td_errors, statistics)
