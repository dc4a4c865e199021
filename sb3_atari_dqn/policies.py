"""Policies: each owns an online and a target network and their optimizer.

Three families by the algorithm that trains them: `QPolicy`, `DoubleQPolicy`, and `DuelingQPolicy`, whose head is the
dueling one. Each has a leaf per kind of observation. What is learned is not theirs to say: see `objectives`.
B: batch, A: actions.
"""

import math
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn

from sb3_atari_dqn.networks.activations import resolve_activation
from sb3_atari_dqn.networks.gradient import scale_gradient
from sb3_atari_dqn.networks.heads import HEADS, Head, LinearHead
from sb3_atari_dqn.networks.initialization import initialize
from sb3_atari_dqn.networks.padding import SameConv2d
from sb3_atari_dqn.networks.torsos import ImageTorso, NatureTorso, resolve_torso
from sb3_atari_dqn.objectives.outputs import Outputs, Values
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.validation import check_keys, check_known


class HeadedQNetwork(QNetwork):
    """
    SB3's QNetwork with a choice of head and of what its outputs mean.

    Called, it gives action values; :meth:`outputs` gives what they are the means of.

    :param head: "plain" (SB3's own layers under SB3's own names) or "dueling"
    :param rescale_shared_gradient: multiply the gradient that the head sends into the features by 1/sqrt(2)
    :param values: how returns are represented, which says how many numbers an action has
    Other parameters: see SB3's `QNetwork`. An initialization asked from the torso reaches the head's layers too.
    """

    q_net: Head  # type: ignore[assignment]

    def __init__(
        self,
        *args: Any,
        head: str = "plain",
        rescale_shared_gradient: bool = False,
        values: Values | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.head = head
        self.rescale_shared_gradient = rescale_shared_gradient
        self.values = ScalarValues() if values is None else values
        n_actions, n_outputs = int(self.action_space.n), self.values.n_outputs
        if HEADS[head] is LinearHead and n_outputs == 1:
            self.q_net = LinearHead(list(self.q_net.children()), n_actions)  # the layers that SB3 has just made
        else:
            layers = self.net_arch, self.activation_fn
            self.q_net = HEADS[head].build(self.features_dim, n_actions, n_outputs, *layers)
        initialize(self.q_net, getattr(self.features_extractor, "initialization", None))

    def forward(self, obs: PyTorchObs) -> Tensor:
        """
        :param obs: as the environment gives them, batch first
        :return: action values, float32 [B, A]
        """
        return self.values.mean(self.outputs(obs))

    def outputs(self, obs: PyTorchObs) -> Outputs:
        """
        :param obs: as the environment gives them, batch first
        :return: what the objective learns from
        """
        return Outputs(self.q_net(self.extract_features(obs, self.features_extractor)))

    def outputs_of_images(self, images: Tensor) -> Outputs:
        """
        :param images: preprocessed already, in the precision of the parameters, [B, C, H, W]
        :return: as :meth:`outputs`
        """
        return Outputs(self.q_net(self._rescaled(self.features_extractor(images))))

    def explain(self, obs: PyTorchObs) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """
        :param obs: batch first
        :return: action values [B, A], and where the head has two streams: state value [B, 1], centred advantages [B, A]
        """
        features = self.extract_features(obs, self.features_extractor)
        streams = self.q_net.streams(features)
        q = self.values.mean(Outputs(self.q_net(features)))
        if streams is None:
            return q, None, None
        return q, self.values.mean(Outputs(streams.value)), self.values.mean(Outputs(streams.advantages))

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor) -> Tensor:
        return self._rescaled(super().extract_features(obs, features_extractor))

    def _rescaled(self, features: Tensor) -> Tensor:
        return scale_gradient(features, 1 / math.sqrt(2)) if self.rescale_shared_gradient else features

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        """:return: greedy actions as the action space numbers them, int64 [B]"""
        chosen = super()._predict(observation, deterministic)
        first = int(self.action_space.start)
        return chosen + first if first else chosen

    def float32_layers(self) -> list[nn.Linear]:
        """:return: the layers whose outputs are values"""
        return self.q_net.float32_layers()

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
        own = {"head": self.head, "rescale_shared_gradient": self.rescale_shared_gradient, "values": self.values}
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
    :param values: how returns are represented. Default: as expected returns; the algorithm says otherwise
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
        values: Values | None = None,
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
        self._head_args: dict[str, Any] = {
            "head": head,
            "rescale_shared_gradient": rescale_shared_gradient,
            "values": ScalarValues() if values is None else values,
        }
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
    """Of double Q-learning, whose networks are those of deep Q-learning."""


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
