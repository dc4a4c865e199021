"""One kernel for the whole step of an optimizer where there is one, a step that a CUDA graph can capture, and back."""

from typing import Any

import torch
from torch import optim

_WITH_FUSED_KERNEL = (optim.Adam, optim.AdamW)

# Those whose step counters and learning rate may be tensors on the device.
_CAPTURABLE = (*_WITH_FUSED_KERNEL, optim.NAdam, optim.RAdam, optim.RMSprop)


def can_fuse(optimizer: optim.Optimizer) -> bool:
    """:return: whether PyTorch has the step of this very class as one kernel, on CPU and CUDA"""
    return type(optimizer) in _WITH_FUSED_KERNEL


def can_capture(optimizer: optim.Optimizer) -> bool:
    """:return: whether a CUDA graph can capture the step of this very class, with a learning rate that changes"""
    return type(optimizer) in _CAPTURABLE


def fuse(optimizer: optim.Optimizer, capturable: bool) -> None:
    """
    :param optimizer: one that can be fused
    :param capturable: a CUDA graph may capture the step; its counters move to the device
    """
    for group in optimizer.param_groups:
        group["fused"], group["foreach"], group["capturable"] = True, None, capturable
    if capturable:
        _move_counters(optimizer)


def make_capturable(optimizer: optim.Optimizer) -> None:
    """:param optimizer: one that can be captured; its counters move to the device"""
    for group in optimizer.param_groups:
        group["foreach"], group["capturable"] = None, True
    _move_counters(optimizer)


def _move_counters(optimizer: optim.Optimizer) -> None:
    for parameter, state in optimizer.state.items():
        state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=parameter.device)
        if "mu_product" in state:  # of NAdam
            state["mu_product"] = torch.as_tensor(state["mu_product"], device=parameter.device)


def unfuse(optimizer: optim.Optimizer) -> None:
    """
    Restore the flags the optimizer was built with, where a fast learner changed them (saved models hold these flags).

    :param optimizer: any
    """
    if not can_capture(optimizer) or not any(
        group.get("fused") or group["capturable"] for group in optimizer.param_groups
    ):
        return
    flags = ("fused", "foreach", "capturable")
    built_with: dict[str, Any] = {name: optimizer.defaults[name] for name in flags if name in optimizer.defaults}
    for group in optimizer.param_groups:
        group.update(built_with)
    if not (built_with.get("fused") or built_with["capturable"]):
        for state in optimizer.state.values():
            state["step"] = state["step"].cpu()
            if "mu_product" in state:
                state["mu_product"] = state["mu_product"].cpu()
