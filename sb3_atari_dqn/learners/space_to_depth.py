"""A strided convolution as one without a stride: blocks of pixels become channels.

Where the stride divides the kernel and the image, it is the same sum in another order. With 64 channels in place of 4,
bfloat16's matrix units are in use: forward and backward pass of the first convolution take half the time.
B: batch, C: channels, H W: height and width, F: filters, k: kernel, s: stride.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# Numbers of 1 to 8 bytes
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class SpaceToDepth(NamedTuple):
    """
    Blocks of `height` x `width` pixels: the stride of the convolution that they are for.
    """

    height: int
    width: int

    @classmethod
    def of(cls, layer: nn.Conv2d, image_shape: tuple[int, ...]) -> "SpaceToDepth | None":
        """
        :param layer: first convolution of a network
        :param image_shape: (C, H, W)
        :return: its blocks; None where blocks are not the same sum, or bring nothing
        """
        strides: Any = layer.stride
        is_plain = type(layer) is nn.Conv2d and (layer.groups, layer.dilation, layer.padding) == (1, (1, 1), (0, 0))
        if not is_plain or strides == (1, 1) or strides[1] not in _WORDS:
            return None
        sizes = zip((*layer.kernel_size, *image_shape[1:]), (*strides, *strides), strict=True)
        return None if any(size % stride for size, stride in sizes) else cls(*strides)

    def images(self, images: Tensor) -> Tensor:
        """
        :param images: [B, C, H, W]
        :return: of the same type, channels last in memory, [B, C * s * s, H / s, W / s]
        """
        batch, channels, height, width = images.shape
        rows, columns = height // self.height, width // self.width
        pixels = images.contiguous()
        if images.dtype == torch.uint8:  # a row of a block moves as one number
            pixels = pixels.view(_WORDS[self.width])
        blocks = pixels.view(batch, channels, rows, self.height, columns, -1).permute(0, 2, 4, 1, 3, 5).contiguous()
        return blocks.view(images.dtype).view(batch, rows, columns, -1).permute(0, 3, 1, 2)

    def weight(self, weight: Tensor) -> Tensor:
        """
        :param weight: [F, C, k, k]
        :return: of the convolution of blocks, [F, C * s * s, k / s, k / s]
        """
        filters, channels, height, width = weight.shape
        rows, columns = height // self.height, width // self.width
        blocks = weight.reshape(filters, channels, rows, self.height, columns, self.width).permute(0, 1, 3, 5, 2, 4)
        return blocks.reshape(filters, -1, rows, columns)

    def weight_of_pixels(self, weight: Tensor) -> Tensor:
        """The inverse of :meth:`weight`, also for gradients."""
        filters, _, rows, columns = weight.shape
        blocks = weight.reshape(filters, -1, self.height, self.width, rows, columns).permute(0, 1, 4, 2, 5, 3)
        return blocks.reshape(filters, -1, rows * self.height, columns * self.width)

    def layer(self, layer: nn.Conv2d) -> nn.Conv2d:
        """:return: the convolution of blocks, which takes over the bias"""
        weight = self.weight(layer.weight.detach())
        rows, columns = weight.shape[2:]
        blocks = nn.utils.skip_init(nn.Conv2d, weight.shape[1], len(weight), (rows, columns), bias=False)
        blocks.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        blocks.bias = layer.bias
        return blocks
