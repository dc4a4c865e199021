"""Weight initialisations by name, beside PyTorch's default."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from sb3_atari_dqn.validation import check_known

# Gains are those for ReLU, which SB3 takes for its feature extractors too.
INITIALIZATIONS: dict[str, Callable[[Any], Any]] = {
    "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain=math.sqrt(2)),  # Saxe et al. 2014
    "he_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # He et al. 2015, section 2.2
    "glorot_uniform": nn.init.xavier_uniform_,  # Glorot and Bengio 2010, equation 16
}


def initialize(module: nn.Module, name: str | None) -> None:
    """
    Redraw the weights of all convolutions and dense layers inside a module and set their biases to 0, as Keras does.

    :param name: "orthogonal", "he_normal", "glorot_uniform", or None to leave PyTorch's default
    :raises ValueError: if the name is unknown
    Deviation from Keras: its He normal is cut off at two standard deviations, this one is not.
    """
    if name is None:
        return
    check_known("initialization", name, INITIALIZATIONS)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            INITIALIZATIONS[name](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
