"""Gradients that differ from those of the function computed."""

import torch
from torch import Tensor


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
