"""Pooling between the convolutions and the dense layer, by name. B: batch, C: channels, H W: height and width."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_atari_dqn.validation import check_known

#: Name -> how many outputs of the convolutions it needs each way.
POOLINGS = {"none": 1, "max": 6, "mean": 1}


def outputs_needed(name: str) -> int:
    """
    :param name: "none", "max" or "mean"
    :return: height and width of the smallest image that it pools
    :raises ValueError: if the name is unknown
    """
    check_known("pooling", name, POOLINGS)
    return POOLINGS[name]


def pooling_of(name: str) -> list[nn.Module]:
    """
    :param name: "none": every pixel stays. "max": the maxima of 6x6 overlapping windows. "mean": one mean per channel
    :return: what follows the convolutions, before the flattening; has no parameters
    Source: max: Clark et al. 2024 (BTR). mean: Trumpp et al. 2025 (Impoola), Sokar and Castro 2025. Deviation: none.
    """
    if name == "max":
        return [AdaptiveMaxPool2d(POOLINGS[name])]
    return [nn.AdaptiveAvgPool2d(1)] if name == "mean" else []


class AdaptiveMaxPool2d(nn.Module):
    """
    PyTorch's, and the same in slices while it is exported: torch 2.13 has no ONNX for adaptive max-pooling.

    :param side: height and width of the output
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102, TorchScript compiles both sides of an "and"
            if torch.compiler.is_exporting():
                return _maxima(_maxima(images, 2, self.side), 3, self.side)
        return F.adaptive_max_pool2d(images, [self.side, self.side])


def _maxima(images: Tensor, axis: int, n_windows: int) -> Tensor:
    """:return: with the maxima of evenly spread windows along one axis, of which neighbours may share a pixel"""
    size = images.shape[axis]
    windows = [(i * size // n_windows, -(-(i + 1) * size // n_windows)) for i in range(n_windows)]
    return torch.stack([images.narrow(axis, begin, end - begin).amax(axis) for begin, end in windows], axis)
