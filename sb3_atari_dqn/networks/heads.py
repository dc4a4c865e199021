"""Heads: from features to outputs per action.

B: batch, F: features, A: actions, D: outputs per action (1 for expected returns).
"""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from stable_baselines3.common.torch_layers import create_mlp
from torch import Tensor, nn

from sb3_atari_dqn.networks.noisy import NoisyLinear
from sb3_atari_dqn.networks.normalization import norms_of_mlp
from sb3_atari_dqn.validation import check_known, renamed_value


class Streams(NamedTuple):
    """
    State value and advantages, whose sum is the output.

    :param value: state value, [B, 1, D]
    :param advantages: with mean 0 over the actions, [B, A, D]
    """

    value: Tensor
    advantages: Tensor


class HeadSize(NamedTuple):
    """
    :param features_dim: F
    :param n_actions: A
    :param n_outputs: D
    :param net_arch: units of the hidden layers, per stream
    :param activation_fn: after each hidden layer
    :param noisy_std: initial standard deviation of noisy layers; None: ordinary linear layers
    :param center: what the mean of the advantages is taken over, see :data:`CENTERS`
    :param normalization: after each hidden layer, before its activation: "none" or "layer"
    """

    features_dim: int
    n_actions: int
    n_outputs: int
    net_arch: list[int]
    activation_fn: type[nn.Module]
    noisy_std: float | None = None
    center: str = "actions"
    normalization: str = "none"

    def mlp(self, rows: int) -> list[nn.Module]:
        """:param rows: number of rows of D outputs: A, or 1 for the state value"""
        layers = create_mlp(
            self.features_dim,
            rows * self.n_outputs,
            self.net_arch,
            self.activation_fn,
            post_linear_modules=norms_of_mlp(self.normalization),
        )
        return [self._noisy(layer) if isinstance(layer, nn.Linear) else layer for layer in layers]

    def _noisy(self, layer: nn.Linear) -> nn.Linear:
        if self.noisy_std is None:
            return layer
        return NoisyLinear(layer.in_features, layer.out_features, self.noisy_std)


class Head(ABC, nn.Module):
    """Base of all heads. Those that split the features into streams set :attr:`has_streams`."""

    #: Whether the head has several streams; each of them then gets its own copy of the torso's dense layer.
    has_streams: ClassVar[bool] = False

    n_actions: int
    n_outputs: int

    @classmethod
    @abstractmethod
    def build(cls, size: HeadSize, sb3_layers: list[nn.Module]) -> "Head":
        """
        :param size: of the head
        :param sb3_layers: created by SB3's constructor: linear layers with one output per action. A head with the same
            layers reuses them, so that a seed gives the same weights as in SB3; empty if its inputs are others
        """

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """
        :param features: float32 [B, F]
        :return: float32 [B, A, D]
        """

    @abstractmethod
    def float32_layers(self) -> list[nn.Linear]:
        """:return: the output layers, for which bfloat16 with its 8 bits of precision is not accurate enough"""

    def streams(self, features: Tensor) -> Streams | None:
        """
        :param features: float32 [B, F]
        :return: state value and advantages, None for a head without streams
        """
        return None


class LinearHead(nn.Sequential, Head):
    """
    A single stream with SB3's layers and parameter names.

    :param layers: the last one has A * D outputs
    :param n_actions: A
    :param n_outputs: D
    """

    def __init__(self, layers: list[nn.Module], n_actions: int, n_outputs: int = 1) -> None:
        super().__init__(*layers)
        self.n_actions, self.n_outputs = n_actions, n_outputs

    @classmethod
    def build(cls, size: HeadSize, sb3_layers: list[nn.Module]) -> "LinearHead":
        are_sb3s = sb3_layers and size.n_outputs == 1 and size.noisy_std is None
        layers = sb3_layers if are_sb3s else size.mlp(size.n_actions)
        return cls(layers, size.n_actions, size.n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        for layer in self:
            features = layer(features)
        return features.view(-1, self.n_actions, self.n_outputs)

    def float32_layers(self) -> list[nn.Linear]:
        return [_last_linear(self)]


class DuelingHead(Head):
    """
    Two streams, for the state value and the advantages, combined per sample and per output.

    :param size: of the head
    Source: Wang et al. 2016, section 3. Deviation: none. With several outputs per action, as Rainbow combines them
    (Hessel et al. 2018, section "The integrated agent"): output by output; or, centered over "actions and outputs",
    less the mean of all advantages of a state, so that the advantages shape distributions too.
    """

    has_streams = True

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        self.n_actions, self.n_outputs = size.n_actions, size.n_outputs
        self._over_outputs = CENTERS[size.center]
        self.value = nn.Sequential(*size.mlp(1))
        self.advantage = nn.Sequential(*size.mlp(size.n_actions))

    @classmethod
    def build(cls, size: HeadSize, sb3_layers: list[nn.Module]) -> "DuelingHead":
        return cls(size)

    def forward(self, features: Tensor) -> Tensor:
        return join_streams(*self._parts(features), self._over_outputs)

    def float32_layers(self) -> list[nn.Linear]:
        return [_last_linear(self.value), _last_linear(self.advantage)]

    def streams(self, features: Tensor) -> Streams:
        value, advantage = self._parts(features)
        return Streams(value, advantage - _mean_of(advantage, self._over_outputs))

    def _parts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """:return: value [B, 1, D] and advantages before subtracting their mean [B, A, D]"""
        value = self.value(features).view(-1, 1, self.n_outputs)
        return value, self.advantage(features).view(-1, self.n_actions, self.n_outputs)


def join_streams(value: Tensor, advantage: Tensor, over_outputs: bool = False) -> Tensor:
    """
    Q(s, a) = V(s) + A(s, a) - mean over a' of A(s, a'), per sample and per output.

    :param value: float32 [B, 1, D]
    :param advantage: float32 [B, A, D]
    :param over_outputs: take the mean over actions and outputs
    :return: float32 [B, A, D]; its mean over what the mean is taken over is that of the value
    Source: Wang et al. 2016, equation 9. Deviation: none.
    """
    return value + advantage - _mean_of(advantage, over_outputs)


def _mean_of(advantage: Tensor, over_outputs: bool) -> Tensor:
    """:return: [B, 1, D], or [B, 1, 1]; can be compiled by TorchScript"""
    mean = advantage.mean(dim=1, keepdim=True)
    return mean.mean(dim=2, keepdim=True) if over_outputs else mean


def _last_linear(stream: nn.Sequential) -> nn.Linear:
    return [layer for layer in stream if isinstance(layer, nn.Linear)][-1]


#: What the mean of the advantages is taken over, and whether that includes the outputs.
CENTERS: dict[str, bool] = {"actions": False, "actions and outputs": True}

HEADS: dict[str, type[Head]] = {"linear": LinearHead, "dueling": DuelingHead}


def resolve_head(head: Any) -> type[Head]:
    """
    :param head: short name, or a subclass of :class:`Head`
    :raises ValueError: on anything else
    """
    if inspect.isclass(head) and issubclass(head, Head) and not inspect.isabstract(head):
        return head
    if not isinstance(head, str):
        given = head.__name__ if inspect.isclass(head) else f"{type(head).__name__} object"
        raise ValueError(f"head must be one of {', '.join(sorted(HEADS))} or a complete subclass of Head, got {given}.")
    head = renamed_value("policy_kwargs", "head", head, {"plain": "linear"})
    check_known("head", head, HEADS)
    return HEADS[head]
