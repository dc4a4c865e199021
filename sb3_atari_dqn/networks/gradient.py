"""Gradient scaling."""

import torch
from torch import Tensor


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """
    Identity in the forward pass, multiplies the gradient in the backward pass.

    :param x: any tensor
    :param scale: factor for the gradient
    :return: a view of x; x itself without autograd and during export
    Source: Wang et al. 2016, section 4.2 (there with 1/sqrt(2), for the layers that two streams share).
    """
    if not (torch.is_grad_enabled() and x.requires_grad) or torch.jit.is_tracing() or torch.compiler.is_exporting():
        return x
    scaled = x.view_as(x)  # a hook on x itself would also scale the gradients of its other uses
    scaled.register_hook(lambda gradient: gradient * scale)
    return scaled
