"""RAdam's step in one kernel: PyTorch has none for RAdam, but one for Adam, of which it is a special case.

Once the rectification is defined (from the sixth step on with the usual beta2), RAdam is Adam with another learning
rate and another epsilon in each step (Liu et al. 2020, algorithm 2). On the CPU the step then takes a tenth of the
time of PyTorch's own, which makes several passes over the memory.
"""

import math
from typing import Any

from torch import Tensor, optim
from torch.optim.adam import adam


def fused_step(optimizer: optim.RAdam) -> None:
    """
    As `optimizer.step()`, up to rounding.

    :param optimizer: with parameters on the CPU and `can_fuse_radam`
    """
    rectifications = [_rectification(group, optimizer.state) for group in optimizer.param_groups]
    if None in rectifications:
        optimizer.step()
        return
    for group, rectification in zip(optimizer.param_groups, rectifications, strict=True):
        parameters = [each for each in group["params"] if each.grad is not None]
        states = [optimizer.state[each] for each in parameters]
        beta1, beta2 = group["betas"]
        bias_correction2 = 1 - beta2 ** (int(states[0]["step"]) + 1)
        adam(
            parameters,
            [each.grad for each in parameters],
            [each["exp_avg"] for each in states],
            [each["exp_avg_sq"] for each in states],
            [],
            [each["step"] for each in states],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"] * rectification,
            weight_decay=group["weight_decay"],
            eps=group["eps"] / math.sqrt(bias_correction2),
            maximize=group["maximize"],
        )


def can_fuse_radam(optimizer: optim.Optimizer) -> bool:
    """:return: whether :func:`fused_step` computes what the optimizer does"""
    if type(optimizer) is not optim.RAdam:
        return False
    return all(
        not (group["decoupled_weight_decay"] and group["weight_decay"]) and not group["differentiable"]
        for group in optimizer.param_groups
    )


def _rectification(group: dict[str, Any], state: Any) -> float | None:
    """:return: factor of the learning rate in the next step; None while it is not defined, or differs"""
    steps = {int(state[each]["step"]) if each in state else 0 for each in group["params"] if each.grad is not None}
    if len(steps) != 1 or 0 in steps or isinstance(group["lr"], Tensor):
        return None
    step, beta2 = steps.pop() + 1, group["betas"][1]
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / (1 - beta2**step)
    if length <= 5:
        return None
    return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
