"""Torsos: from a stack of frames to features. One class per published network.

B: batch, C: channels (stacked frames), H W: height and width of the image in pixels.
"""

from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from sb3_atari_dqn.networks.bytes import BytesExtractor
from sb3_atari_dqn.networks.hadamax import HadamaxTorso
from sb3_atari_dqn.networks.image_torso import ImageTorso
from sb3_atari_dqn.networks.normalization import norm_of_images, normalize_spectrally
from sb3_atari_dqn.networks.padding import SameConv2d, SameMaxPool2d
from sb3_atari_dqn.validation import as_int, check_known, checked_flag

_MOST_WIDTH = 64  # far beyond any use


class Conv(NamedTuple):
    """One convolution: how many filters, its kernel (a side, or height and width), stride (in pixels)."""

    filters: int
    kernel: int | tuple[int, int]
    stride: int


class ConvTorso(ImageTorso):
    """A plain stack of unpadded convolutions, described by `layers`."""

    layers: ClassVar[tuple[Conv, ...]] = ()

    def _layers(self) -> tuple[Conv, ...]:
        return self.layers

    def _convolutions(self, channels: int, activation: type[nn.Module]) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for filters, kernel, stride in self._layers():
            modules += [nn.Conv2d(channels, filters, kernel, stride), *self._norm(filters), activation()]
            channels = filters
        return modules

    def _smallest_image(self, n_outputs: int) -> int:
        size = n_outputs
        for layer in reversed(self._layers()):
            side = layer.kernel if isinstance(layer.kernel, int) else max(layer.kernel)
            size = (size - 1) * layer.stride + side
        return size


class DQN2013Torso(ConvTorso):
    """
    Source: Mnih et al. 2013, section 4.1: 16 8x8/4, 32 4x4/2, dense 256.
    """

    layers = (Conv(16, 8, 4), Conv(32, 4, 2))
    default_hidden_size = 256


class NatureTorso(ConvTorso):
    """
    Equal to SB3's `NatureCNN`: the same parameter names, and the same weights from the same torch seed.

    Source: Mnih et al. 2015, Methods, "Model architecture": 32 8x8/4, 64 4x4/2, 64 3x3/1, dense 512.
    """

    layers = (Conv(32, 8, 4), Conv(64, 4, 2), Conv(64, 3, 1))
    default_hidden_size = 512


class NatureStride2Torso(ConvTorso):
    """The Nature torso with a third stride of 2, as several tutorials print it: about a third of the features."""

    layers = (Conv(32, 8, 4), Conv(64, 4, 2), Conv(64, 3, 2))
    default_hidden_size = 512


class DataEfficientTorso(ConvTorso):
    """
    A small torso for few environment steps: a 3x3 map of 64 channels from 84x84 frames.

    Source: van Hasselt et al. 2019, appendix E: 32 5x5/5, 64 5x5/5, dense 256. Deviation: none.
    """

    layers = (Conv(32, 5, 5), Conv(64, 5, 5))
    default_hidden_size = 256


class EluTorso(ConvTorso):
    """
    32 8x8, 64 3x3, 64 3x3, dense 512, with ELU; the torso of a tutorial on Pong of 2019, with square kernels.

    Without strides nearly every pixel reaches the dense layer: 213 million weights at 105x80.

    :param strides: of the three convolutions; (4, 2, 2) takes the tutorial's (8, 4), (3, 2), (3, 2) for kernel and
        stride
    """

    default_hidden_size = 512
    default_activation = "elu"

    def __init__(self, observation_space: gym.Space, strides: tuple[int, int, int] = (1, 1, 1), **options: Any) -> None:
        if not isinstance(strides, tuple | list) or len(strides) != 3:
            raise ValueError(f"strides must be three numbers, one per convolution, got {strides!r}.")
        self._strides = [as_int("strides", stride, minimum=1) for stride in strides]
        super().__init__(observation_space, **options)

    def _layers(self) -> tuple[Conv, ...]:
        first, second, third = self._strides
        return Conv(32, 8, first), Conv(64, 3, second), Conv(64, 3, third)


class PrintedEluTorso(ConvTorso):
    """
    The tutorial's `Conv2D(32, (8, 4))` and twice `Conv2D(64, (3, 2))` as Keras reads them: kernels that are not
    square, and no strides. 231 million weights in the dense layer at 105x80.

    Source: "Deep Q-Learning for Atari Games", 2019, as printed. Deviation: none.
    """

    layers = (Conv(32, (8, 4), 1), Conv(64, (3, 2), 1), Conv(64, (3, 2), 1))
    default_hidden_size = 512
    default_activation = "elu"


class MaxPoolTorso(ConvTorso):
    """32 8x8/4, 64 4x4/2, 64 3x3/1 with 'same' padding, each followed by 2x2 max-pooling, dense 512."""

    layers = (Conv(32, 8, 4), Conv(64, 4, 2), Conv(64, 3, 1))
    default_hidden_size = 512

    def _convolutions(self, channels: int, activation: type[nn.Module]) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for filters, kernel, stride in self._layers():
            modules += [SameConv2d(channels, filters, kernel, stride), *self._norm(filters)]
            modules += [activation(), nn.MaxPool2d(2)]
            channels = filters
        return modules

    def _smallest_image(self, n_outputs: int) -> int:
        size = n_outputs
        for layer in reversed(self._layers()):
            size = (2 * size - 1) * layer.stride + 1  # pooling halves, 'same' padding rounds up
        return size


class ResidualBlock(nn.Module):
    """
    x + conv(activation(conv(activation(x)))), 3x3 convolutions that keep size and channels.

    :param channels: of the images
    :param activation: before each convolution
    :param normalization: "none", or "layer": after each convolution
    """

    def __init__(self, channels: int, activation: type[nn.Module], normalization: str = "none") -> None:
        super().__init__()
        self.body = nn.Sequential(
            activation(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            *norm_of_images(normalization, channels),
            activation(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            *norm_of_images(normalization, channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.body(images)


class ImpalaTorso(ImageTorso):
    """
    Three times: 3x3 convolution, 3x3/2 max-pooling, two residual blocks; dense 256. Takes images of any size.

    Source: Espeholt et al. 2018, figure 3 (right), without its LSTM and reward inputs: 15 convolutions of 16, 32, 32
    channels. Deviation: none in the convolutions. Layer norm stands where Cobbe et al. 2019 put batch norm: directly
    after each convolution, before the pooling and before a block's sum.

    With `width=2, spectral_norm=True, pooling="max"` it is the torso of Beyond The Rainbow (Clark et al. 2024), but
    for the pooling of each stage, which pads as TensorFlow does (the odd pixel below and to the right); theirs pads one
    pixel on all sides.

    :param width: multiplies the channels, a whole number
    :param spectral_norm: of the convolutions in the residual blocks, not of the first one of each stage
    """

    default_hidden_size = 256

    def __init__(
        self, observation_space: gym.Space, width: int = 1, spectral_norm: bool = False, **options: Any
    ) -> None:
        self.channels = tuple(channels * as_int("width", width, 1, _MOST_WIDTH) for channels in (16, 32, 32))
        checked_flag("spectral_norm", spectral_norm)
        super().__init__(observation_space, **options)
        if spectral_norm:  # now that they are initialized
            blocks = [block for block in self.cnn if isinstance(block, ResidualBlock)]
            for layer in (layer for block in blocks for layer in block.body if isinstance(layer, nn.Conv2d)):
                normalize_spectrally(layer)

    def _convolutions(self, channels: int, activation: type[nn.Module]) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for filters in self.channels:
            modules += [nn.Conv2d(channels, filters, kernel_size=3, padding=1), *self._norm(filters)]
            modules += [SameMaxPool2d(kernel=3, stride=2)]
            modules += [ResidualBlock(filters, activation, self.normalization) for _ in range(2)]
            channels = filters
        return [*modules, activation()]

    def _smallest_image(self, n_outputs: int) -> int:
        size = n_outputs
        for _ in self.channels:
            size = 2 * size - 1  # 'same' padding rounds up
        return size


TORSOS: dict[str, type[ImageTorso]] = {
    "dqn2013": DQN2013Torso,
    "nature": NatureTorso,
    "nature_stride2": NatureStride2Torso,
    "data_efficient": DataEfficientTorso,
    "elu": EluTorso,
    "elu_printed": PrintedEluTorso,
    "maxpool": MaxPoolTorso,
    "impala": ImpalaTorso,
    "hadamax": HadamaxTorso,
}


def resolve_torso(name_or_class: str | type[BaseFeaturesExtractor]) -> type[BaseFeaturesExtractor]:
    """
    :param name_or_class: a short name, or any features extractor class
    :raises ValueError: if the name is unknown; the message lists the known ones
    """
    if isinstance(name_or_class, type):
        return name_or_class
    known: dict[str, type[BaseFeaturesExtractor]] = {**TORSOS, "bytes": BytesExtractor}
    check_known("torso (features_extractor_class)", name_or_class, known)
    return known[name_or_class]
