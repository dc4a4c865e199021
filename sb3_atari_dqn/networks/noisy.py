"""Noisy layers: exploration by learned noise on the weights. B: batch, F: inputs, G: outputs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_atari_dqn.networks.generators import DrawingLayer

# With more rows than this, adding the noise to the weights once is cheaper than a second product with the inputs.
_FEW_ROWS = 128


class NoisyLinear(DrawingLayer, nn.Linear):
    """
    A linear layer whose weights are the means of normal distributions with learned standard deviations.

    Noise is factorised, and drawn anew in each forward pass: while training, and while :func:`exploration_noise` is on.
    Otherwise the layer is the linear layer of its means, whose parameter names it has.

    Source: Fortunato et al. 2018, section 3 (equations 10 and 11; initialization: section 3.2). Deviation: a forward
    pass draws one noise for all observations in it, so parallel environments share it, as in published code.

    :param in_features: F
    :param out_features: G
    :param std: initial standard deviations, times 1 / sqrt(F)
    """

    def __init__(self, in_features: int, out_features: int, std: float = 0.5) -> None:
        super().__init__(in_features, out_features)
        self.weight_std = nn.Parameter(torch.full((out_features, in_features), std / math.sqrt(in_features)))
        self.bias_std = nn.Parameter(torch.full((out_features,), std / math.sqrt(in_features)))
        self.explores = False

    def forward(self, inputs: Tensor) -> Tensor:
        """
        :param inputs: [B, F]
        :return: [B, G]
        """
        if not (self.training or self.explores):
            return F.linear(inputs, self.weight, self.bias)
        noise_in, noise_out = self._noise(self.in_features), self._noise(self.out_features)
        if len(inputs) <= _FEW_ROWS:  # (mean + std * outer(out, in)) x = mean x + out * (std (in * x))
            noise = F.linear(inputs * noise_in, self.weight_std, self.bias_std)
            return torch.addcmul(F.linear(inputs, self.weight, self.bias), noise, noise_out)
        weight = torch.addcmul(self.weight, self.weight_std, torch.outer(noise_out, noise_in))
        return F.linear(inputs, weight, torch.addcmul(self.bias, self.bias_std, noise_out))

    def _noise(self, size: int) -> Tensor:
        """:return: sign(x) * sqrt(|x|) of standard normal x, in the type of the weights, [size]"""
        normal = torch.randn(size, generator=self.generator, device=self.weight.device)
        return (normal.sign() * normal.abs().sqrt()).to(self.weight.dtype)


def noisy_layers(network: nn.Module) -> list[NoisyLinear]:
    """:return: all noisy layers of a network"""
    return [layer for layer in network.modules() if isinstance(layer, NoisyLinear)]


@contextmanager
def exploration_noise(network: nn.Module) -> Iterator[None]:
    """Let noisy layers draw in evaluation mode too: where the network acts to collect, and where it makes targets."""
    layers = noisy_layers(network)
    before = [layer.explores for layer in layers]
    for layer in layers:
        layer.explores = True
    try:
        yield
    finally:
        for layer, explores in zip(layers, before, strict=True):
            layer.explores = explores
