"""Quantiles of the return: at fixed fractions (QR-DQN) or at drawn ones (IQN).

Pure torch. B: batch, A: actions, N: predicted quantiles, N': quantiles of the target.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sb3_atari_dqn.objectives.outputs import MOST_OUTPUTS, Distribution, Outputs, Values
from sb3_atari_dqn.objectives.quantile_huber import quantile_huber_loss
from sb3_atari_dqn.validation import as_int


def midpoints(n: int, device: torch.device | None = None) -> Tensor:
    """:return: middles of n equal parts of [0, 1], float32 [n]"""
    return (torch.arange(n, device=device, dtype=torch.float32) + 0.5) / n


class _Quantiles(Values):
    """What equally likely quantiles have in common, wherever their fractions come from."""

    def mean(self, outputs: Outputs) -> Tensor:
        return outputs.per_action.mean(dim=2)

    def distribution(self, outputs: Outputs) -> Distribution:
        returns = outputs.per_action
        return Distribution(returns, torch.full_like(returns, 1 / returns.shape[2]))

    def target(self, chosen_t: Tensor, r_t: Tensor, discount_t: Tensor) -> Tensor:
        """:return: the shifted and shrunk quantiles, float32 [B, N']"""
        return r_t.unsqueeze(1) + discount_t.unsqueeze(1) * chosen_t

    def mixed(self, chosen_t: Tensor, target: Tensor, weight: float) -> Tensor:
        """:return: quantiles of the mixture of the two distributions, as many as of the target, float32 [B, N']"""
        shares = [torch.full_like(chosen_t, (1 - weight) / chosen_t.shape[1])]
        shares.append(torch.full_like(target, weight / target.shape[1]))
        returns, order = torch.cat([chosen_t, target], dim=1).sort(dim=1)
        cumulative = torch.cat(shares, dim=1).gather(1, order).cumsum(dim=1)
        fractions = midpoints(target.shape[1], target.device).expand_as(target).contiguous()
        at = torch.searchsorted(cumulative, fractions).clamp(max=returns.shape[1] - 1)  # rounding may miss the last
        return returns.gather(1, at)


@dataclass(frozen=True)
class QuantileValues(_Quantiles):
    """
    Quantiles of the return at the middles of N equal parts of [0, 1].

    Source: Dabney et al. 2018a, section 4 (algorithm 1, equation 10; kappa = 1). Deviation: none; the priority, which
    the paper does not have, is the absolute difference of the means of target and prediction, as with expected returns.

    :param quantiles: N
    :raises ValueError: below 1
    """

    quantiles: int = 200

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantiles", as_int("quantiles", self.quantiles, 1, MOST_OUTPUTS))

    @property
    def n_outputs(self) -> int:
        return self.quantiles

    def loss(self, chosen_tm1: Tensor, fractions: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor]:
        """:return: quantile Huber loss, and absolute difference of the means, float32 [B]"""
        at = midpoints(self.quantiles, chosen_tm1.device).expand_as(chosen_tm1)
        priorities = (target.mean(dim=1) - chosen_tm1.detach().mean(dim=1)).abs()
        return quantile_huber_loss(chosen_tm1, at, target), priorities


@dataclass(frozen=True)
class ImplicitQuantileValues(_Quantiles):
    """
    Quantiles of the return at fractions that are drawn anew for each state, and that the network gets as an input.

    Source: Dabney et al. 2018b, section 3 (equation 3 and figure 1). Deviations: the network acts on K fixed fractions,
    the middles of equal parts, where the paper draws them: the same state then has the same greedy action. The
    priority, which the paper does not have, is the mean absolute difference of all pairs of quantiles of target and
    prediction, as in the code published with Beyond The Rainbow (Clark et al. 2024), up to a constant factor.

    :param predicted: N, fractions for the prediction
    :param targets: N', fractions for the target
    :param acting: K, fractions for the action values
    :param cosines: number of cosines that a fraction is embedded with (equation 4)
    :raises ValueError: below 1
    """

    predicted: int = 64
    targets: int = 64
    acting: int = 32
    cosines: int = 64

    def __post_init__(self) -> None:
        for name in ("predicted", "targets", "acting", "cosines"):
            object.__setattr__(self, name, as_int(name, getattr(self, name), 1, MOST_OUTPUTS))

    @property
    def n_outputs(self) -> int:
        return 1

    @property
    def online_fractions(self) -> int:
        return self.predicted

    @property
    def target_fractions(self) -> int:
        return self.targets

    def loss(self, chosen_tm1: Tensor, fractions: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor]:
        """:return: quantile Huber loss, and mean absolute difference of all pairs of quantiles, float32 [B]"""
        assert fractions is not None
        differences = target.unsqueeze(1) - chosen_tm1.detach().unsqueeze(2)
        return quantile_huber_loss(chosen_tm1, fractions, target), differences.abs().mean(dim=(1, 2))
