"""Normalization between a layer and its activation, by name. B: batch, C: channels, H W: height and width, F: units."""

from torch import nn
from torch.nn.utils import parametrizations

from sb3_atari_dqn.validation import check_known

NORMALIZATIONS = ("none", "layer")


def check_normalization(name: str) -> None:
    """
    :param name: "none" or "layer"
    :raises ValueError: if the name is unknown
    """
    check_known("normalization", name, NORMALIZATIONS)


def norm_of_images(name: str, channels: int, n_branches: int = 1) -> list[nn.Module]:
    """
    Layer norm of images [B, C, H, W]: mean and variance of each image over its channels and pixels.

    :param name: "none" or "layer"
    :param channels: C
    :param n_branches: parts of the channels, one after the other, each of which is normalized by itself
    :return: what follows a convolution, before its activation; draws no random number
    Source: Ba et al. 2016; placed as in PQN, Gallici et al. 2024. Deviation: gain and bias per channel, as in group
    norm with one group. CleanRL's PQN has them per channel and pixel; on the CPU, bfloat16 and channels last, the
    convolutions' forward and backward passes then take 1.7 times as long.
    """
    return [nn.GroupNorm(n_branches, channels)] if name == "layer" else []


def norm_of_units(name: str, units: int) -> list[nn.Module]:
    """
    :param name: "none" or "layer"
    :param units: F
    :return: what follows a dense layer with outputs [B, F], before its activation
    Source: Ba et al. 2016.
    """
    return [nn.LayerNorm(units)] if name == "layer" else []


def norms_of_mlp(name: str) -> list[type[nn.Module]]:
    """
    :param name: "none" or "layer"
    :return: what SB3's `create_mlp` adds after each hidden layer, before its activation: `post_linear_modules`
    """
    return [nn.LayerNorm] if name == "layer" else []


def normalize_spectrally(convolution: nn.Conv2d) -> None:
    """
    Divide the kernel, as a matrix with a row per filter, by its largest singular value at each forward pass.

    One power iteration per forward pass in training mode follows the weights; the vectors are buffers.

    :param convolution: with its initial weights: 15 iterations begin from them. Draws random numbers
    Source: Miyato et al. 2018, section 2.1 and appendix A. Deviation: none.
    """
    parametrizations.spectral_norm(convolution)
