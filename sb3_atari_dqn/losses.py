"""Targets and losses of deep Q-learning: pure torch functions in the papers' words.

`_tm1` is the state acted in, `_t` the state reached. B: batch, A: actions.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def _check_ranks(function: str, **expected: tuple[Tensor, int]) -> None:
    """
    :param expected: name of an argument -> (the tensor, how many axes it must have)
    :raises ValueError: on a wrong rank or on batches of unequal size; the message carries the shapes
    """
    tensors = [tensor for tensor, _ in expected.values()]
    ranks_fit = all(tensor.dim() == rank for tensor, rank in expected.values())
    if not ranks_fit or len({tensor.shape[0] for tensor in tensors}) > 1:
        wanted = ", ".join(f"{name} [{', '.join('BA'[:rank])}]" for name, (_, rank) in expected.items())
        given = ", ".join(f"{name} {list(tensor.shape)}" for name, (tensor, _) in expected.items())
        raise ValueError(f"{function} takes {wanted} with one batch size B; got {given}.")


def _check_same_actions(function: str, left: Tensor, right: Tensor) -> None:
    """:raises ValueError: if two action-value tables differ in shape"""
    if left.shape != right.shape:
        raise ValueError(f"{function} takes two tables of one shape, got {list(left.shape)} and {list(right.shape)}.")


def chosen_value(q_tm1: Tensor, a_tm1: Tensor) -> Tensor:
    """
    Q(s, a) of the actions that were taken.

    :param q_tm1: action values, float32 [B, A]
    :param a_tm1: actions taken, int64 [B]
    :return: float32 [B]
    :raises ValueError: on a rank or batch mismatch
    """
    _check_ranks("chosen_value", q_tm1=(q_tm1, 2), a_tm1=(a_tm1, 1))
    return q_tm1.gather(1, a_tm1.unsqueeze(1)).squeeze(1)


def greedy_value(q_t: Tensor) -> Tensor:
    """
    max over a of Q(s', a): what Q-learning bootstraps from.

    :param q_t: action values of the target network, float32 [B, A]
    :return: float32 [B]
    :raises ValueError: on a wrong rank
    Source: Mnih et al. 2015, Methods, "Training algorithm for deep Q-networks". Deviation: none.
    """
    _check_ranks("greedy_value", q_t=(q_t, 2))
    return q_t.max(dim=1).values


def double_q_value(q_t_value: Tensor, q_t_selector: Tensor) -> Tensor:
    """
    Value, by one network, of the action that another network finds best.

    :param q_t_value: action values of the target network, which evaluates, float32 [B, A]
    :param q_t_selector: action values of the online network, which selects, float32 [B, A]
    :return: float32 [B]
    :raises ValueError: on a wrong rank or if the shapes differ
    Source: van Hasselt et al. 2016, section "Double DQN". Deviation: none.
    """
    _check_ranks("double_q_value", q_t_value=(q_t_value, 2), q_t_selector=(q_t_selector, 2))
    _check_same_actions("double_q_value", q_t_value, q_t_selector)
    return chosen_value(q_t_value, q_t_selector.argmax(dim=1))


def td_target(r_t: Tensor, discount_t: Tensor, v_t: Tensor) -> Tensor:
    """
    r + discount * v(s').

    :param r_t: n-step return in the units of the stored reward, float32 [B]
    :param discount_t: gamma**k, and 0 where the episode terminated, float32 [B]
    :param v_t: bootstrap value of the state reached, float32 [B]
    :return: target, detached, float32 [B]
    :raises ValueError: on a rank or batch mismatch
    Source: Mnih et al. 2015, Methods, algorithm 1. Deviation: none.
    """
    _check_ranks("td_target", r_t=(r_t, 1), discount_t=(discount_t, 1), v_t=(v_t, 1))
    return (r_t + discount_t * v_t).detach()


def huber_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """
    0.5 * d**2 for |d| < 1, |d| - 0.5 beyond, per sample: the derivative is the TD error clipped to [-1, 1].

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
    d**2 per sample, without a factor 1/2.

    :param prediction: Q(s, a), float32 [B]
    :param target: float32 [B]
    :return: float32 [B]
    :raises ValueError: on a rank or batch mismatch
    Source: Mnih et al. 2013, equation 2. Deviation: none.
    """
    _check_ranks("squared_loss", prediction=(prediction, 1), target=(target, 1))
    return F.mse_loss(prediction, target, reduction="none")


def dueling_q_values(value: Tensor, advantage: Tensor) -> Tensor:
    """
    Q(s, a) = V(s) + A(s, a) - mean over a' of A(s, a'), each sample by itself.

    :param value: float32 [B, 1]
    :param advantage: float32 [B, A]
    :return: float32 [B, A]; its mean over the actions is the value
    :raises ValueError: on a rank or batch mismatch
    Source: Wang et al. 2016, equation 9. Deviation: none.
    """
    _check_ranks("dueling_q_values", value=(value, 2), advantage=(advantage, 2))
    if value.shape[1] != 1:
        raise ValueError(f"dueling_q_values takes one value per sample, [B, 1]; got {list(value.shape)}.")
    return add_streams(value, advantage)


def add_streams(value: Tensor, advantage: Tensor) -> Tensor:
    """:func:`dueling_q_values` without the checks, for networks: torch can trace, script and export it"""
    return value + advantage - advantage.mean(dim=1, keepdim=True)


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """
    :param x: any tensor
    :param scale: what its gradient is multiplied by
    :return: x, bit for bit; x itself where nothing will be differentiated, an export included
    Source: Wang et al. 2016, section 4.2 (there with 1/sqrt(2), for the layers that two streams share).
    """
    if not (torch.is_grad_enabled() and x.requires_grad) or torch.jit.is_tracing() or torch.compiler.is_exporting():
        return x
    scaled = x.view_as(x)  # a hook on x itself would meet the gradients of its other uses
    scaled.register_hook(lambda gradient: gradient * scale)
    return scaled


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"huber": huber_loss, "mse": squared_loss}
