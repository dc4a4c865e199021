"""Targets and losses of deep Q-learning: pure torch functions in the papers' notation.

The suffix `_tm1` marks the current state (t-1), `_t` the next state. B: batch, A: actions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from sb3_atari_dqn.objectives.outputs import Outputs, Values
from sb3_atari_dqn.validation import check_known


def _check_ranks(function: str, **expected: tuple[Tensor, int]) -> None:
    """
    :param expected: name of an argument -> (tensor, expected rank)
    :raises ValueError: on a wrong rank or different batch sizes; the message contains the shapes
    """
    tensors = [tensor for tensor, _ in expected.values()]
    ranks_fit = all(tensor.dim() == rank for tensor, rank in expected.values())
    if not ranks_fit or len({tensor.shape[0] for tensor in tensors}) > 1:
        wanted = ", ".join(f"{name} [{', '.join('BA'[:rank])}]" for name, (_, rank) in expected.items())
        given = ", ".join(f"{name} {list(tensor.shape)}" for name, (tensor, _) in expected.items())
        raise ValueError(f"{function} expects {wanted} with the same batch size B, got {given}.")


def td_target(r_t: Tensor, discount_t: Tensor, v_t: Tensor) -> Tensor:
    """
    r + discount * v(s').

    :param r_t: n-step return in the units of the stored reward, float32 [B]
    :param discount_t: gamma**k, and 0 where the episode terminated, float32 [B]
    :param v_t: bootstrap value of the next state, float32 [B]
    :return: target, detached, float32 [B]
    :raises ValueError: on a rank or batch mismatch
    Source: Mnih et al. 2015, Methods, algorithm 1. Deviation: none.
    """
    _check_ranks("td_target", r_t=(r_t, 1), discount_t=(discount_t, 1), v_t=(v_t, 1))
    return (r_t + discount_t * v_t).detach()


def huber_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """
    0.5 * d**2 for |d| < 1, else |d| - 0.5, per sample: the derivative is the TD error clipped to [-1, 1].

    :param prediction: Q(s, a), float32 [B]
    :param target: float32 [B]
    :return: float32 [B]
    :raises ValueError: on a rank or batch mismatch
    Source: Mnih et al. 2015, Methods ("clip the error term to be between -1 and 1"). Deviation: none.
    """
    _check_ranks("huber_loss", prediction=(prediction, 1), target=(target, 1))
    return F.smooth_l1_loss(prediction, target, reduction="none")


def squared_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """
    d**2 per sample, without a factor of 1/2.

    :param prediction: Q(s, a), float32 [B]
    :param target: float32 [B]
    :return: float32 [B]
    :raises ValueError: on a rank or batch mismatch
    Source: Mnih et al. 2013, equation 2. Deviation: none.
    """
    _check_ranks("squared_loss", prediction=(prediction, 1), target=(target, 1))
    return F.mse_loss(prediction, target, reduction="none")


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"huber": huber_loss, "mse": squared_loss}


@dataclass(frozen=True)
class ScalarValues(Values):
    """
    Expected returns: one number per action.

    :param error: short name of the loss, "huber" or "mse"
    """

    error: str = "huber"

    #: D
    n_outputs: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_known("loss", self.error, LOSSES)

    def mean(self, outputs: Outputs) -> Tensor:
        """:return: the outputs themselves, [B, A]"""
        return outputs.per_action[:, :, 0]

    def target(self, chosen_t: Tensor, r_t: Tensor, discount_t: Tensor) -> Tensor:
        """:return: r + discount * v, float32 [B, 1]"""
        return td_target(r_t, discount_t, chosen_t[:, 0]).unsqueeze(1)

    def loss(self, chosen_tm1: Tensor, fractions: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor]:
        """:return: loss and absolute TD error of each sample, float32 [B]"""
        prediction, target = chosen_tm1[:, 0], target[:, 0]
        return LOSSES[self.error](prediction, target), (target - prediction).detach().abs()
