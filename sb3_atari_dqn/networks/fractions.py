"""Quantile fractions as an input of the network. B: batch, N: fractions, F: features, C: cosines."""

import math

import torch
from stable_baselines3.common.torch_layers import create_mlp
from torch import Tensor, nn

from sb3_atari_dqn.networks.generators import DrawingLayer
from sb3_atari_dqn.objectives.quantile import midpoints


class FractionEmbedding(DrawingLayer):
    """
    Multiplies the features of each state by an embedding of each of its fractions.

    Source: Dabney et al. 2018b, equation 4 and figure 1: phi_j(tau) = ReLU(sum over i < C of cos(pi i tau) w_ij + b_j).
    Deviation: none for images, where the features are the flattened convolutions. Elsewhere, all hidden
    layers but the last come before the product, which needs learned features rather than raw observations.

    :param features_dim: F of the features extractor
    :param hidden: units of the layers before the product
    :param activation_fn: after each of these layers
    :param cosines: C
    """

    def __init__(self, features_dim: int, hidden: list[int], activation_fn: type[nn.Module], cosines: int) -> None:
        super().__init__()
        self.cosines = cosines
        self.features_dim = hidden[-1] if hidden else features_dim
        self.hidden = nn.Sequential(*create_mlp(features_dim, -1, hidden, activation_fn)) if hidden else nn.Identity()
        self.linear = nn.Linear(cosines, self.features_dim)

    def fractions(self, batch_size: int, n: int) -> Tensor:
        """:return: drawn uniformly from [0, 1), float32 [B, N]"""
        return torch.rand(batch_size, n, generator=self.generator, device=self.linear.weight.device)

    def fixed_fractions(self, batch_size: int, n: int) -> Tensor:
        """:return: the middles of N equal parts of [0, 1], float32 [B, N]"""
        return midpoints(n, self.linear.weight.device).expand(batch_size, n)

    def forward(self, features: Tensor, fractions: Tensor) -> Tensor:
        """
        :param features: [B, F]
        :param fractions: [B, N]
        :return: [B * N, F], the fractions of a state one after the other
        """
        steps = math.pi * torch.arange(self.cosines, device=fractions.device)
        waves = torch.cos(fractions.unsqueeze(2) * steps).to(self.linear.weight.dtype)  # [B, N, C]
        embedded = torch.relu(self.linear(waves))
        return (self.hidden(features).unsqueeze(1) * embedded).flatten(0, 1)
