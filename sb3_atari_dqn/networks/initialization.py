"""Weight initializations by name."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from sb3_atari_dqn.validation import check_known

# With the gain for ReLU, as in SB3's feature extractors.
INITIALIZATIONS: dict[str, Callable[[Any], Any]] = {
    "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain=math.sqrt(2)),  # Saxe et al. 2014
    "he_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # He et al. 2015, section 2.2
    "glorot_uniform": nn.init.xavier_uniform_,  # Glorot and Bengio 2010, equation 16
}


def initialize(module: nn.Module, name: str | None) -> None:
    """
    Reinitialize the weights of all convolutional and linear layers of a module, and set their biases to 0 as in Keras.

    :param name: "orthogonal", "he_normal", "glorot_uniform", or None to keep PyTorch's default
    :raises ValueError: if the name is unknown
    Deviation from Keras: its He normal is truncated at two standard deviations, this one is not.
    """
    if name is None:
        return
    check_known("initialization", name, INITIALIZATIONS)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            _initialize_weight(layer, INITIALIZATIONS[name])
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _initialize_weight(layer: nn.Conv2d | nn.Linear, fill: Callable[[Any], Any]) -> None:
    weight = layer.weight.detach()
    for kernel in weight.chunk(getattr(layer, "n_branches", 1)):  # several layers in one: each by itself
        fill(kernel)
    if parametrize.is_parametrized(layer, "weight"):  # its weight is computed from others, which this sets
        layer.weight = weight
