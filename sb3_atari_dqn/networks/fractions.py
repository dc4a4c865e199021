"""Quantile fractions as an input of the network. B: batch, N: fractions, F: features, C: cosines."""

import math

import torch
from stable_baselines3.common.torch_layers import CombinedExtractor, create_mlp
from torch import Tensor, nn

from sb3_atari_dqn.networks.generators import DrawingLayer
from sb3_atari_dqn.networks.normalization import norms_of_mlp
from sb3_atari_dqn.objectives.quantile import midpoints


class FractionEmbedding(DrawingLayer):
    """
    Multiplies the features of each state by an embedding of each of its fractions.

    Source: Dabney et al. 2018b, equation 4 and figure 1: phi_j(tau) = ReLU(sum over i < C of cos(pi i tau) w_ij + b_j).
    Deviation: none for images, where the features are the flattened convolutions. Elsewhere, see
    :func:`split_at_product`.

    :param features_dim: F of the features extractor
    :param hidden: units of the layers before the product
    :param activation_fn: after each of these layers
    :param cosines: C
    :param normalization: of these layers, "none" or "layer"
    """

    def __init__(
        self,
        features_dim: int,
        hidden: list[int],
        activation_fn: type[nn.Module],
        cosines: int,
        normalization: str = "none",
    ) -> None:
        super().__init__()
        self.cosines = cosines
        self.features_dim = hidden[-1] if hidden else features_dim
        norms = norms_of_mlp(normalization)
        layers = create_mlp(features_dim, -1, hidden, activation_fn, post_linear_modules=norms)
        self.hidden = nn.Sequential(*layers) if hidden else nn.Identity()
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


def learns_features(extractor: nn.Module) -> bool:
    """:return: whether layers with parameters are between all of an observation and the features"""
    parts = extractor.extractors.values() if isinstance(extractor, CombinedExtractor) else [extractor]
    return all(any(True for _ in part.parameters()) for part in parts)


def split_at_product(hidden: list[int], features_are_learned: bool) -> tuple[list[int], list[int]]:
    """
    Place the product of features and embedding between the hidden layers.

    All but the last come before it, and the last one too if it alone separates it from a raw observation: where that is
    0 (a one-hot position, a normalized value), the product would be 0 for all fractions.

    :param hidden: units of the hidden layers
    :param features_are_learned: see :func:`learns_features`
    :return: those before the product, and those after it
    :raises ValueError: if no layer separates the product from a raw observation
    """
    if not hidden and not features_are_learned:
        raise ValueError(
            "net_arch=[] leaves no layer between observations and quantile fractions, which values='implicit' "
            "multiplies with learned features: give a hidden layer such as net_arch=[64]."
        )
    n_before = len(hidden) if len(hidden) == 1 and not features_are_learned else max(len(hidden) - 1, 0)
    return hidden[:n_before], hidden[n_before:]
