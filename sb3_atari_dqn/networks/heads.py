"""Heads: what turns features into outputs per action.

B: batch, F: features, A: actions, D: numbers per action (1 for expected returns).
"""

from typing import NamedTuple

from stable_baselines3.common.torch_layers import create_mlp
from torch import Tensor, nn


class Streams(NamedTuple):
    """
    What a head can tell of how its outputs come about.

    :param value: of the state, [B, 1, D]
    :param advantages: less their mean over the actions, [B, A, D]
    """

    value: Tensor
    advantages: Tensor


class LinearHead(nn.Sequential):
    """
    One stream: SB3's own layers under SB3's own names.

    :param layers: the last one has A * D outputs
    :param n_actions: A
    :param n_outputs: D
    """

    def __init__(self, layers: list[nn.Module], n_actions: int, n_outputs: int = 1) -> None:
        super().__init__(*layers)
        self.n_actions, self.n_outputs = n_actions, n_outputs

    @classmethod
    def build(
        cls, features_dim: int, n_actions: int, n_outputs: int, net_arch: list[int], activation_fn: type[nn.Module]
    ) -> "LinearHead":
        """Parameters: see :class:`DuelingHead`."""
        return cls(create_mlp(features_dim, n_actions * n_outputs, net_arch, activation_fn), n_actions, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """
        :param features: float32 [B, F]
        :return: float32 [B, A, D]
        """
        for layer in self:
            features = layer(features)
        return features.view(-1, self.n_actions, self.n_outputs)

    def float32_layers(self) -> list[nn.Linear]:
        """:return: those whose outputs are values: 8 bits of mantissa are too few for them"""
        return [_last_linear(self)]

    def streams(self, features: Tensor) -> Streams | None:
        """:return: None: there is one stream"""
        return None


class DuelingHead(nn.Module):
    """
    Two streams, one for the state value and one for the advantages, joined per sample and per output.

    :param features_dim: F
    :param n_actions: A
    :param net_arch: hidden layers of each stream
    :param activation_fn: after each hidden layer
    :param n_outputs: D
    Source: Wang et al. 2016, section 3. Deviation: none.
    """

    def __init__(
        self,
        features_dim: int,
        n_actions: int,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        n_outputs: int = 1,
    ) -> None:
        super().__init__()
        self.n_actions, self.n_outputs = n_actions, n_outputs
        self.value = nn.Sequential(*create_mlp(features_dim, n_outputs, net_arch, activation_fn))
        self.advantage = nn.Sequential(*create_mlp(features_dim, n_actions * n_outputs, net_arch, activation_fn))

    @classmethod
    def build(
        cls, features_dim: int, n_actions: int, n_outputs: int, net_arch: list[int], activation_fn: type[nn.Module]
    ) -> "DuelingHead":
        """Parameters: see above."""
        return cls(features_dim, n_actions, net_arch, activation_fn, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """
        :param features: float32 [B, F]
        :return: float32 [B, A, D]
        """
        value = self.value(features).view(-1, 1, self.n_outputs)
        advantage = self.advantage(features).view(-1, self.n_actions, self.n_outputs)
        return join_streams(value, advantage)

    def float32_layers(self) -> list[nn.Linear]:
        """:return: those whose outputs are values or advantages"""
        return [_last_linear(self.value), _last_linear(self.advantage)]

    def streams(self, features: Tensor) -> Streams | None:
        """:param features: float32 [B, F]"""
        value = self.value(features).view(-1, 1, self.n_outputs)
        advantage = self.advantage(features).view(-1, self.n_actions, self.n_outputs)
        return Streams(value, advantage - advantage.mean(dim=1, keepdim=True))


def join_streams(value: Tensor, advantage: Tensor) -> Tensor:
    """
    Q(s, a) = V(s) + A(s, a) - mean over a' of A(s, a'), each sample and each output by itself.

    :param value: float32 [B, 1, D]
    :param advantage: float32 [B, A, D]
    :return: float32 [B, A, D]; its mean over the actions is the value
    Source: Wang et al. 2016, equation 9. Deviation: none.
    """
    return value + advantage - advantage.mean(dim=1, keepdim=True)


def _last_linear(stream: nn.Sequential) -> nn.Linear:
    return [layer for layer in stream if isinstance(layer, nn.Linear)][-1]


Head = LinearHead | DuelingHead

HEADS: dict[str, type[LinearHead] | type[DuelingHead]] = {"plain": LinearHead, "dueling": DuelingHead}
