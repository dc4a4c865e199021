"""'same' padding as TensorFlow computes it.

PyTorch's own padding="same" does not support strides, and symmetric padding shifts the image whenever TensorFlow pads
one pixel more at the bottom and right than at the top and left. H, W: height and width of the image, in pixels.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """
    :param size: length of one image axis
    :return: pixels to add before and after it, for an output of ceil(size / stride)
    Source: TensorFlow, tf.nn, "Notes on padding".
    """
    outputs = (size + stride - 1) // stride
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(images: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """
    :param images: [B, C, H, W]
    :param value: of the padding
    """
    above, below = same_padding(images.shape[2], kernel, stride)
    left, right = same_padding(images.shape[3], kernel, stride)
    return F.pad(images, [left, right, above, below], value=value)


class SameConv2d(nn.Conv2d):
    """Convolution with a square kernel and TensorFlow's 'same' padding."""

    def forward(self, input: Tensor) -> Tensor:
        padded = pad_same(input, self.kernel_size[0], self.stride[0])
        return self._conv_forward(padded, self.weight, self.bias)  # TorchScript does not support super()


class PairedConv2d(SameConv2d):
    """Two convolutions of the same images as one: the filters of the first, then those of the second."""

    n_branches = 2


class SameMaxPool2d(nn.Module):
    """Max-pooling with a square window and TensorFlow's 'same' padding; ignores the padding."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, images: Tensor) -> Tensor:
        padded = pad_same(images, self.kernel, self.stride, value=-float("inf"))
        return F.max_pool2d(padded, self.kernel, self.stride)
