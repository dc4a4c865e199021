"""Policies: each owns an online and a target network and says what next observations are worth.

Three families that differ by one idea each: `QPolicy` (maximum of the target network), `DoubleQPolicy` (double
Q-learning) and `DuelingQPolicy` (the same with a dueling head). Each has a leaf per kind of observation.
B: batch, A: actions.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn

from sb3_atari_dqn.arguments import check_keys, check_known
from sb3_atari_dqn.losses import double_q_value, greedy_value, scale_gradient
from sb3_atari_dqn.networks.activations import resolve_activation
from sb3_atari_dqn.networks.heads import HEADS
from sb3_atari_dqn.networks.initialization import initialize
from sb3_atari_dqn.networks.padding import SameConv2d
from sb3_atari_dqn.networks.torsos import ImageTorso, NatureTorso, resolve_torso

# Raw observations to action values.
QFunction = Callable[[PyTorchObs], Tensor]


class HeadedQNetwork(QNetwork):
    """
    SB3's QNetwork with a choice of head.

    :param head: "plain" (SB3's own layers under SB3's own names) or "dueling"
    :param rescale_shared_gradient: multiply the gradient that the head sends into the features by 1/sqrt(2)
    Other parameters: see SB3's `QNetwork`. An initialization asked from the torso reaches the head's layers too.
    """

    def __init__(self, *args: Any, head: str = "plain", rescale_shared_gradient: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head = head
        self.rescale_shared_gradient = rescale_shared_gradient
        head_class = HEADS[head]
        if head_class is not None:
            n_actions = int(self.action_space.n)
            self.q_net = head_class(self.features_dim, n_actions, self.net_arch, self.activation_fn)  # type: ignore[assignment]
        initialize(self.q_net, getattr(self.features_extractor, "initialization", None))

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor) -> Tensor:
        features = super().extract_features(obs, features_extractor)
        return scale_gradient(features, 1 / math.sqrt(2)) if self.rescale_shared_gradient else features

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        """:return: greedy actions as the action space numbers them, int64 [B]"""
        chosen = super()._predict(observation, deterministic)
        first = int(self.action_space.start)
        return chosen + first if first else chosen

    def values_of(self, images: Tensor) -> Tensor:
        """
        :param images: preprocessed already, in the precision of the parameters, [B, C, H, W]
        :return: action values, [B, A]
        """
        features = self.features_extractor(images)
        if self.rescale_shared_gradient:
            features = scale_gradient(features, 1 / math.sqrt(2))
        return self.q_net(features)

    def output_layers(self) -> list[nn.Linear]:
        """:return: the layers whose output are values or advantages"""
        net: Any = self.q_net
        streams = [net.value, net.advantage] if self.head == "dueling" else [net]
        return [[layer for layer in stream if isinstance(layer, nn.Linear)][-1] for stream in streams]

    def first_convolution(self) -> nn.Conv2d | None:
        """:return: the layer that sees the images first, if it is a convolution and known to get them as they are"""
        extractor: Any = self.features_extractor
        if type(extractor).forward not in (ImageTorso.forward, NatureCNN.forward):
            return None  # one that has a `cnn` too may do something else to the images before
        first = extractor.cnn[0]
        is_hooked = any(module._forward_pre_hooks for module in (extractor, extractor.cnn, first))
        # a class of its own: a forward of its own, or weights that are computed from others
        return first if type(first) in (nn.Conv2d, SameConv2d) and not is_hooked else None

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"head": self.head, "rescale_shared_gradient": self.rescale_shared_gradient}
        return {**super()._get_constructor_parameters(), **own}


class QPolicy(DQNPolicy):
    """
    Online and target network of deep Q-learning.

    :param observation_space: what the agent sees
    :param action_space: discrete
    :param lr_schedule: learning rate over the remaining progress
    :param net_arch: hidden layers of the head, of each of its streams if it has two. Default: none behind a torso
        with a dense layer, [64, 64] elsewhere. A dueling head on a torso parts at the flattened convolutions, as in
        the paper: there the torso's dense layer moves into each stream
    :param activation_fn: of the head's hidden layers, short name or class. Default: the torso's, or ReLU
    :param features_extractor_class: short name of a torso ("nature", "impala", ...) or a class. Default: by policy
    :param features_extractor_kwargs: arguments of the features extractor; `features_dim` is read as `hidden_size`
    :param normalize_images: divide images by 255
    :param optimizer_class: default Adam
    :param optimizer_kwargs: arguments of the optimizer besides the learning rate
    :param head: "plain" or "dueling". Default: by policy
    :param rescale_shared_gradient: multiply the gradient entering the features by 1/sqrt(2); dueling head only.
        Source: Wang et al. 2016, section 4.2
    :raises ValueError: on an unknown name, or arguments that contradict each other
    """

    q_net: HeadedQNetwork
    q_net_target: HeadedQNetwork

    default_features_extractor: ClassVar[type[BaseFeaturesExtractor]] = FlattenExtractor
    default_head: ClassVar[str] = "plain"

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        activation_fn: str | type[nn.Module] | None = None,
        features_extractor_class: str | type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        head: str | None = None,
        rescale_shared_gradient: bool = False,
    ) -> None:
        head = head or self.default_head
        check_known("head", head, HEADS)
        if rescale_shared_gradient and head != "dueling":
            raise ValueError(f"rescale_shared_gradient needs head='dueling' (two streams), got head={head!r}.")
        extractor = resolve_torso(features_extractor_class or self.default_features_extractor)
        extractor_kwargs = dict(features_extractor_kwargs or {})  # a copy: SB3 writes into it
        if issubclass(extractor, CombinedExtractor) and not isinstance(observation_space, spaces.Dict):
            raise ValueError(
                f"{type(self).__name__} takes dictionary observations, got {observation_space}; take CnnPolicy for "
                "images or MlpPolicy for vectors."
            )
        if issubclass(extractor, ImageTorso):
            owner = f"features_extractor_kwargs of {extractor.__name__}"
            check_keys(owner, extractor_kwargs, extractor.arguments() | {"features_dim"})
            net_arch, activation_fn = _fit_torso_and_head(
                extractor, extractor_kwargs, head, net_arch, activation_fn, normalize_images
            )
        self._head_args: dict[str, Any] = {"head": head, "rescale_shared_gradient": rescale_shared_gradient}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch,
            resolve_activation(activation_fn or nn.ReLU),
            extractor,
            extractor_kwargs,
            normalize_images,
            optimizer_class,
            optimizer_kwargs,
        )

    @property
    def first_action(self) -> int:
        """Number of the first action; the networks count from 0."""
        return int(self.action_space.start)  # type: ignore[attr-defined]

    def make_q_net(self) -> HeadedQNetwork:
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return HeadedQNetwork(**net_args, **self._head_args).to(self.device)

    @staticmethod
    def bootstrap(online: QFunction, target: QFunction, next_observations: PyTorchObs) -> Tensor:
        """
        The idea that sets a family apart, for whatever computes the two networks.

        :param online: action values by the online network, [B, A]
        :param target: action values by the target network, [B, A]
        :param next_observations: what both functions take
        :return: what they are worth: maximum of the target network, float32 [B]
        Source: Mnih et al. 2015, Methods, algorithm 1. Deviation: none.
        """
        return greedy_value(target(next_observations))

    @torch.no_grad()
    def bootstrap_values(self, next_observations: PyTorchObs) -> Tensor:
        """
        :param next_observations: raw observations, batch first
        :return: what they are worth by this policy's own networks, float32 [B, 1]
        """
        return self.bootstrap(self.q_net, self.q_net_target, next_observations).unsqueeze(1)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self._head_args}


def _fit_torso_and_head(
    torso: type[ImageTorso],
    torso_kwargs: dict[str, Any],
    head: str,
    net_arch: list[int] | None,
    activation_fn: str | type[nn.Module] | None,
    normalize_images: bool,
) -> tuple[list[int], str | type[nn.Module]]:
    """
    Decide who gets the dense layer: the torso, or each stream of a dueling head.

    :param torso_kwargs: arguments of the torso, brought in order here
    :return: hidden layers and activation of the head
    :raises ValueError: if a dueling head gets its hidden layers twice
    """
    torso_kwargs.setdefault("normalized_image", not normalize_images)
    if "features_dim" in torso_kwargs:  # what SB3's NatureCNN calls it
        torso_kwargs["hidden_size"] = torso_kwargs.pop("features_dim")
    activation = activation_fn or torso_kwargs.get("activation") or torso.default_activation
    if head == "plain":
        return ([] if net_arch is None else net_arch), activation

    wanted = torso_kwargs.get("hidden_size", "default")
    torso_kwargs["hidden_size"] = None
    if net_arch is None:
        hidden_size = torso.resolve_hidden_size(wanted)
        return ([] if hidden_size is None else [hidden_size]), activation
    if wanted not in (None, "default"):
        raise ValueError(
            f"hidden_size={wanted!r} and net_arch={net_arch} both size the streams of the dueling head; give one."
        )
    return net_arch, activation


class MlpPolicy(QPolicy):
    """Vectors (RAM, CartPole); two hidden layers of 64."""


class CnnPolicy(QPolicy):
    """Images; the Nature torso."""

    default_features_extractor = NatureTorso


class MultiInputPolicy(QPolicy):
    """Dictionaries of vectors and images."""

    default_features_extractor = CombinedExtractor


class DoubleQPolicy(QPolicy):
    """Bootstraps as double Q-learning does: the online network chooses the action, the target network values it."""

    @staticmethod
    def bootstrap(online: QFunction, target: QFunction, next_observations: PyTorchObs) -> Tensor:
        """
        :return: float32 [B]
        Source: van Hasselt et al. 2016, section "Double DQN". Deviation: none.
        """
        return double_q_value(target(next_observations), online(next_observations))


class DoubleMlpPolicy(DoubleQPolicy):
    """Vectors (RAM, CartPole); two hidden layers of 64."""


class DoubleCnnPolicy(DoubleQPolicy):
    """Images; the Nature torso."""

    default_features_extractor = NatureTorso


class DoubleMultiInputPolicy(DoubleQPolicy):
    """Dictionaries of vectors and images."""

    default_features_extractor = CombinedExtractor


class DuelingQPolicy(DoubleQPolicy):
    """A double Q-learning policy whose head is the dueling one unless it is told otherwise."""

    default_head = "dueling"


class DuelingMlpPolicy(DuelingQPolicy):
    """Vectors (RAM, CartPole); two streams with two hidden layers of 64 each."""


class DuelingCnnPolicy(DuelingQPolicy):
    """Images; the convolutions of the Nature torso, two streams with 512 hidden units each."""

    default_features_extractor = NatureTorso


class DuelingMultiInputPolicy(DuelingQPolicy):
    """Dictionaries of vectors and images."""

    default_features_extractor = CombinedExtractor
