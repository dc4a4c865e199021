"""Bootstrap values of the next state. Pure torch. B: batch, A: actions, D: outputs per action."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sb3_atari_dqn.objectives.outputs import Network, Values, chosen_output
from sb3_atari_dqn.validation import as_float


class Bootstrapped(NamedTuple):
    """
    :param outputs: of the next state, of which the values make the target, [B, D]
    :param bonus: added to the rewards, float32 [B]; None for rules without one
    """

    outputs: Tensor
    bonus: Tensor | None = None


class Bootstrap(Protocol):
    """A frozen, hashable rule that makes the bootstrap value from both networks and the batch."""

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Bootstrapped:
        """
        :param values: how returns are represented
        :param online: online network
        :param target: target network
        :param batch: SB3's samples
        """


@dataclass(frozen=True)
class Greedy:
    """
    The target network selects and evaluates the greedy action.

    Source: Mnih et al. 2015, Methods, algorithm 1. Deviation with implicit quantiles (Dabney et al. 2018b, equation 3):
    the fractions that evaluate the action also select it, where the paper draws K others. That saves a pass.
    """

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Bootstrapped:
        outputs = target(batch.next_observations, values.target_fractions)
        return Bootstrapped(chosen_output(outputs.per_action, values.mean(outputs).argmax(dim=1)))


@dataclass(frozen=True)
class Double:
    """
    The online network selects the action, the target network evaluates it.

    Source: van Hasselt et al. 2016, section "Double DQN". Deviation: none.
    """

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Bootstrapped:
        evaluated = target(batch.next_observations, values.target_fractions).per_action
        selected = values.mean(online(batch.next_observations)).argmax(dim=1)
        return Bootstrapped(chosen_output(evaluated, selected))


@dataclass(frozen=True)
class Minto:
    """
    MINTO: the greedy action with respect to the smaller of both networks' action values, and that value.

    Source: Hendawy et al. 2025, equation 5: max over a' of min(Q_target(s', a'), Q_online(s', a')). Deviation for
    distributions: all outputs of an action are taken from the network whose mean is the smaller one, so that they are
    still one distribution.
    """

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Bootstrapped:
        stable = target(batch.next_observations, values.target_fractions)
        recent = online(batch.next_observations, values.target_fractions)
        stable_q, recent_q = values.mean(stable), values.mean(recent)
        smaller = torch.where((recent_q < stable_q).unsqueeze(2), recent.per_action, stable.per_action)
        return Bootstrapped(chosen_output(smaller, torch.minimum(recent_q, stable_q).argmax(dim=1)))


@dataclass(frozen=True)
class Munchausen:
    """
    A soft maximum over the actions, and the scaled log-probability of the action taken as a bonus to its reward; both
    of the softmax policy of the target network.

        bonus = alpha * clip(tau * log pi(a | s), clip, 0)
        value = sum over a' of pi(a' | s') * (Q(s', a') - tau * log pi(a' | s'))

    With n-step returns, only the first action has a bonus, and the value is discounted by gamma**n, as in the code
    published with Beyond The Rainbow (Clark et al. 2024).
    Source: Vieillard et al. 2020, equation 2 and appendix B.1 (and its equation for quantiles). Deviation: both states
    go through the target network as one batch, so that noisy layers draw once for both.

    :param alpha: weight of the bonus, in [0, 1]
    :param tau: temperature of the policy, above 0
    :param clip: smallest tau * log pi, at most 0
    :raises ValueError: on a number outside these bounds
    """

    alpha: float = 0.9
    tau: float = 0.03
    clip: float = -1.0

    def __post_init__(self) -> None:
        # Beyond the bounds of tau, quotients of float32 action values are not finite.
        for name, low, high in (("alpha", 0, 1), ("tau", 1e-6, 1e6), ("clip", -1e6, 0)):
            object.__setattr__(self, name, as_float(name, getattr(self, name), low, high))

    def largest_bonus(self, n_actions: int) -> float:
        """
        :param n_actions: A
        :return: the largest absolute value that it adds to a reward: of the bonus, or of the policy's scaled entropy
        """
        return max(self.alpha * -self.clip, self.tau * math.log(n_actions))

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Bootstrapped:
        both = target(_joined(batch.observations, batch.next_observations), values.target_fractions)
        scaled_log_policy = self.tau * torch.log_softmax(values.mean(both) / self.tau, dim=1)  # [2B, A]
        now, then = scaled_log_policy.chunk(2)
        taken = now.gather(1, batch.actions.long()).squeeze(1)
        soft = both.per_action.chunk(2)[1] - then.unsqueeze(2)
        policy = torch.exp(then / self.tau).unsqueeze(2)
        return Bootstrapped((policy * soft).sum(dim=1), self.alpha * taken.clamp(self.clip, 0))


def _joined(first: Any, second: Any) -> Any:
    """:return: two batches of observations as one"""
    if isinstance(first, Mapping):
        return {name: torch.cat([first[name], second[name]]) for name in first}
    return torch.cat([first, second])
