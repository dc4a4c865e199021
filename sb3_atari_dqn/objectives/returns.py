"""Lambda-returns: targets from a whole rollout. Pure torch. T: vector steps, N: environments, D: outputs per action."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.outputs import Network, Values


@torch.no_grad()
def lambda_returns(
    values: Values, outputs_t: Tensor, r_t: Tensor, discount_t: Tensor, ends: Tensor, lambda_: float
) -> Tensor:
    """
    Peng's Q(lambda): G = r + discount * ((1 - lambda) * max_a Q(s', a) + lambda * G'), from the last step to the first.

    Where the episode ends (or the rollout does), no G' follows: all of the bootstrap is that of the next state. It is
    not cut at exploratory actions. Of distributions, the sum in the parentheses is their mixture.

    :param values: how returns are represented
    :param outputs_t: of the greedy action in the state that each step led to; the final one where an episode was
        truncated; without meaning where it terminated, float32 [T, N, D]
    :param r_t: rewards, float32 [T, N]
    :param discount_t: gamma, and 0 where the episode terminated, float32 [T, N]
    :param ends: whether the episode terminated or was truncated, bool [T, N]
    :param lambda_: in [0, 1]; 0: one-step targets, 1: returns to the end of rollout or episode
    :return: targets, [T, N, D']
    Source: Gallici et al. 2024, section 4 and algorithm 2 (Peng and Williams 1994). Deviation: a truncated episode
    bootstraps from its last state, which the published code takes for terminated.
    """
    target = values.target(outputs_t[-1], r_t[-1], discount_t[-1])
    targets = [target]
    for t in reversed(range(len(r_t) - 1)):
        mixed = values.mixed(outputs_t[t], target, lambda_)
        bootstrap = torch.where(ends[t].unsqueeze(1), outputs_t[t], mixed)
        target = values.target(bootstrap, r_t[t], discount_t[t])
        targets.append(target)
    return torch.stack(targets[::-1])


@dataclass(frozen=True)
class ReturnObjective(Objective):
    """An objective whose targets come with the batch, computed before: it needs no target network."""

    sees_rewards: ClassVar[bool] = False

    def targets(self, online: Network, target: Network | None, batch: Any) -> Tensor:
        """:return: the batch's `targets`, [B, D']"""
        return batch.targets
