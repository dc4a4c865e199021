"""'same' padding as TensorFlow computes it.

PyTorch's own padding="same" refuses strides, and symmetric padding shifts the image where TensorFlow pads one more
pixel below and to the right than above and to the left. H, W: height and width of the image, in pixels.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """
    :param size: length of one image axis
    :return: pixels to add before and after it, so that ceil(size / stride) come out
    Source: TensorFlow, tf.nn, "Notes on padding".
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(images: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """
    :param images: [B, C, H, W]
    :param value: what the added pixels hold
    """
    height, width = images.shape[-2:]
    return F.pad(images, (*same_padding(width, kernel, stride), *same_padding(height, kernel, stride)), value=value)


class SameConv2d(nn.Conv2d):
    """Convolution with a square kernel and TensorFlow's 'same' padding."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad_same(input, self.kernel_size[0], self.stride[0]))


class SameMaxPool2d(nn.Module):
    """Max-pooling with a square window and TensorFlow's 'same' padding; added pixels never win."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, images: Tensor) -> Tensor:
        padded = pad_same(images, self.kernel, self.stride, value=-float("inf"))
        return F.max_pool2d(padded, self.kernel, self.stride)
