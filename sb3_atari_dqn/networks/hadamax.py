"""The Hadamax torso: products of two convolutions of the same images. B: batch, C: channels, H W: height and width."""

from typing import NamedTuple

from torch import Tensor, nn

from sb3_atari_dqn.networks.image_torso import ImageTorso
from sb3_atari_dqn.networks.padding import PairedConv2d, SameMaxPool2d


class Block(NamedTuple):
    """Filters and kernel of both convolutions, whose stride is 1; window and stride of the pooling, in pixels."""

    filters: int
    kernel: int
    window: int
    stride: int


class HadamardProduct(nn.Module):
    """From two images, one after the other in the channels [B, 2 C, H, W], to their product [B, C, H, W]."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.chunk(2, dim=1)
        return first * second


class HadamaxTorso(ImageTorso):
    """
    Three blocks; dense 512, layer norm, GELU. A block convolves the same images twice, with weights of its own, strides
    of 1 and 'same' padding; each of the two gets layer norm and GELU; their product is max-pooled, 'same' too:
    32 8x8 with 4x4/4 pooling, 64 4x4 with 2x2/2, 64 3x3 with 3x3/1. Takes images of any size.

    Source: Kooi et al. 2025, "Hadamax Encoding: Elevating Performance in Model-Free Atari", appendix B, and their
    published JAX and PyTorch code. Deviations: layer norm is ours, see `norm_of_images` (mean and variance of
    each image over channels and pixels, as in their C51 in PyTorch; their PQN in JAX takes each pixel's over its
    channels; gain and bias per channel, which only the latter has). The exact GELU, as in their C51 (JAX: its tanh
    approximation). The weights are PyTorch's unless `initialization` says otherwise (their PQN: Glorot normal, and He
    normal for the dense layer).
    """

    blocks = (Block(32, 8, 4, 4), Block(64, 4, 2, 2), Block(64, 3, 3, 1))
    default_hidden_size = 512
    default_activation = "gelu"
    default_normalization = "layer"

    def _convolutions(self, channels: int, activation: type[nn.Module]) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for filters, kernel, window, stride in self.blocks:
            modules += [PairedConv2d(channels, 2 * filters, kernel), *self._norm(2 * filters, n_branches=2)]
            modules += [activation(), HadamardProduct(), SameMaxPool2d(window, stride)]
            channels = filters
        return modules

    def _smallest_image(self, n_outputs: int) -> int:
        size = n_outputs
        for block in reversed(self.blocks):
            size = (size - 1) * block.stride + 1  # 'same' padding rounds up
        return size
