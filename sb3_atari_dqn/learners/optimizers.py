"""One kernel for the whole step of an optimizer, and the way back."""

import torch

_WITH_FUSED_KERNEL = (torch.optim.Adam, torch.optim.AdamW)


def can_fuse(optimizer: torch.optim.Optimizer) -> bool:
    """:return: whether PyTorch has the step of this very class as one kernel, on CPU and CUDA"""
    return type(optimizer) in _WITH_FUSED_KERNEL


def fuse(optimizer: torch.optim.Optimizer, capturable: bool) -> None:
    """
    :param optimizer: one that can be fused
    :param capturable: a CUDA graph may record the step; its counters move to the device
    """
    for group in optimizer.param_groups:
        group["fused"], group["foreach"], group["capturable"] = True, None, capturable
    if capturable:
        for state in optimizer.state.values():
            state["step"] = state["step"].to(state["exp_avg"].device)


def unfuse(optimizer: torch.optim.Optimizer) -> None:
    """
    Back to what the optimizer was built with, where a fast learner trained before (the files hold these flags).

    :param optimizer: any
    """
    if not can_fuse(optimizer) or not any(group["fused"] for group in optimizer.param_groups):
        return
    built_with = {name: optimizer.defaults[name] for name in ("fused", "foreach", "capturable")}
    for group in optimizer.param_groups:
        group.update(built_with)
    if not (built_with["fused"] or built_with["capturable"]):
        for state in optimizer.state.values():
            state["step"] = state["step"].cpu()
