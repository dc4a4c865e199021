"""Policies: each owns an online network, mostly a target network, and the optimizer. One class per kind of observation.

Head, torso and layers are `policy_kwargs`; what is learned is the objective's concern (see `objectives`).
"""

import warnings
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from sb3_atari_dqn.networks.activations import resolve_activation
from sb3_atari_dqn.networks.generators import seed_generators
from sb3_atari_dqn.networks.heads import CENTERS, Head, resolve_head
from sb3_atari_dqn.networks.image_torso import ImageTorso
from sb3_atari_dqn.networks.normalization import check_normalization
from sb3_atari_dqn.networks.q_network import HeadedQNetwork
from sb3_atari_dqn.networks.torsos import NatureTorso, resolve_torso
from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.validation import as_int, check_between, check_keys, check_known, check_options, checked_flag

_MOST_UNITS = 1_000_000  # far beyond any use


class QPolicy(DQNPolicy):
    """
    Online and target network of deep Q-learning.

    :param observation_space: of the environment
    :param action_space: discrete
    :param lr_schedule: learning rate as a function of the remaining progress
    :param net_arch: hidden layers of the head, of each of its streams if it has several. Default: none behind a torso
        with a dense layer, [64, 64] elsewhere. A dueling head splits at the flattened convolutions of a torso, as in
        the paper: the torso's dense layer moves into each stream
    :param activation_fn: of the head's hidden layers, short name or class. Default: the torso's, or ReLU
    :param features_extractor_class: short name of a torso ("nature", "impala", ...) or a class. Default: by policy
    :param features_extractor_kwargs: arguments of the features extractor; `features_dim` is read as `hidden_size`
    :param normalize_images: divide images by 255
    :param optimizer_class: default Adam
    :param optimizer_kwargs: arguments of the optimizer besides the learning rate
    :param head: "linear", "dueling", or a subclass of :class:`~sb3_atari_dqn.networks.heads.Head`. Default: linear;
        the algorithm may set another one
    :param rescale_shared_gradient: multiply the gradient entering the features by 1/sqrt(2); only with streams.
        Source: Wang et al. 2016, section 4.2
    :param values: how returns are represented. Default: expected returns; the algorithm sets its own
    :param noisy: noisy linear layers in the head, and no noise when the policy predicts. Source: Fortunato et al. 2018
    :param noisy_std: their initial standard deviation, times 1 / sqrt(inputs). Default: 0.5, as in the paper
    :param center: what a dueling head takes the mean of the advantages over: "actions", output by output, or
        "actions and outputs"
    :param normalization: of the head's hidden layers, before their activation: "none" or "layer". Default: that of the
        torso, if its dense layer moves into the head, else none
    :param target_network: False: there is none, `q_net_target` is None
    :raises ValueError: on an unknown name, or arguments that contradict each other
    """

    q_net: HeadedQNetwork
    q_net_target: HeadedQNetwork  # None with target_network=False

    default_features_extractor: ClassVar[type[BaseFeaturesExtractor]] = FlattenExtractor

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
        head: str | type[Head] | None = None,
        rescale_shared_gradient: bool = False,
        values: Values | None = None,
        noisy: bool = False,
        noisy_std: float | None = None,
        center: str = "actions",
        target_network: bool = True,
        normalization: str | None = None,
    ) -> None:
        self._has_target = checked_flag("target_network", target_network)
        values = _checked_values(values)
        net_arch = checked_net_arch(net_arch)
        for name, options in (
            ("features_extractor_kwargs", features_extractor_kwargs),
            ("optimizer_kwargs", optimizer_kwargs),
        ):
            check_options(name, {} if options is None else options)
        if head is None:
            head = getattr(self, "default_head", "linear")  # policies of 0.1.0 have the attribute
        head_class = resolve_head(head)
        if rescale_shared_gradient and not head_class.has_streams:
            raise ValueError(f"rescale_shared_gradient needs a head with streams (head='dueling'), got head={head!r}.")
        _check_center(center, values, head_class)
        checked_flag("noisy", noisy)
        noisy_std = _checked_std(noisy, noisy_std)
        if features_extractor_class is None:
            features_extractor_class = self.default_features_extractor
        extractor = resolve_torso(features_extractor_class)
        extractor_kwargs = dict(features_extractor_kwargs or {})  # a copy: SB3 writes into it
        if issubclass(extractor, CombinedExtractor) and not isinstance(observation_space, spaces.Dict):
            raise ValueError(
                f"{type(self).__name__} takes dictionary observations, got {observation_space}; use CnnPolicy for "
                "images or MlpPolicy for vectors."
            )
        moves_dense = head_class.has_streams or noisy or isinstance(values, ImplicitQuantileValues)
        moves_dense = moves_dense and issubclass(extractor, ImageTorso)
        if extractor is FlattenExtractor:
            _refuse_options(extractor_kwargs)
        if issubclass(extractor, ImageTorso):
            owner = f"features_extractor_kwargs of {extractor.__name__}"
            check_keys(owner, extractor_kwargs, extractor.arguments() | {"features_dim"})
            net_arch, activation_fn = _fit_torso_and_head(
                extractor, extractor_kwargs, moves_dense, net_arch, activation_fn, normalize_images
            )
        if normalization is None:  # a dense layer that moves into the head takes its own along
            normalization = _normalization_of(extractor, extractor_kwargs) if moves_dense else "none"
        check_normalization(normalization)
        self._head_args: dict[str, Any] = {
            "head": head_class,
            "rescale_shared_gradient": rescale_shared_gradient,
            "values": values,
            "noisy_std": noisy_std,
            "center": center,
            "normalization": normalization,
        }
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch,
            resolve_activation(nn.ReLU if activation_fn is None else activation_fn),
            extractor,
            extractor_kwargs,
            normalize_images,
            optimizer_class,
            optimizer_kwargs,
        )

    @classmethod
    def takes_images(cls) -> bool:
        """:return: whether it has a torso by default"""
        return issubclass(cls.default_features_extractor, ImageTorso)

    @staticmethod
    def is_same_torso(one: str | type[BaseFeaturesExtractor], other: str | type[BaseFeaturesExtractor]) -> bool:
        """
        :param one: short name or class
        :param other: likewise
        :raises ValueError: on an unknown name
        """
        return resolve_torso(one) is resolve_torso(other)

    def seed_layers(self, seed: int) -> None:
        """:param seed: of all generators that layers keep for themselves"""
        seed_generators(self, seed)

    @property
    def first_action(self) -> int:
        """Number of the first action; the networks count from 0."""
        return int(self.action_space.start)  # type: ignore[attr-defined]

    def _build(self, lr_schedule: Schedule) -> None:
        if self._has_target:
            super()._build(lr_schedule)
            return
        self.q_net, self.q_net_target = self.make_q_net(), None  # type: ignore[assignment]
        parameters = self.q_net.parameters()
        self.optimizer = self.optimizer_class(parameters, lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def make_q_net(self) -> HeadedQNetwork:
        return self._new_q_net().to(self.device)

    def _new_q_net(self) -> HeadedQNetwork:
        """:return: on torch's default device"""
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return HeadedQNetwork(**net_args, **self._head_args)

    @classmethod
    def shapes(cls, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """
        Parameters: as for the constructor.

        :return: state dict of the networks that it would build, without their memory (on torch's device "meta")
        """
        return dict(cls._without_memory(*args, **kwargs).q_net.state_dict())

    @classmethod
    def description(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """
        Parameters: as for the constructor.

        :return: the same for all arguments that mean the same: its parameters with short names and defaults resolved
        """
        parameters = cls._without_memory(*args, **kwargs)._get_constructor_parameters()
        return {name: value for name, value in parameters.items() if name != "lr_schedule"}

    @classmethod
    def _without_memory(cls, *args: Any, **kwargs: Any) -> "QPolicy":

        class Shapes(cls):  # type: ignore[misc, valid-type]
            def _build(self, lr_schedule: Schedule) -> None:
                self.q_net = self._new_q_net()

        with torch.device("meta"):
            return Shapes(*args, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        noisy_std = self._head_args["noisy_std"]
        own = {**self._head_args, "noisy": noisy_std is not None}
        own["target_network"] = self._has_target
        return {**super()._get_constructor_parameters(), **own}


def _fit_torso_and_head(
    torso: type[ImageTorso],
    torso_kwargs: dict[str, Any],
    moves_dense: bool,
    net_arch: list[int] | None,
    activation_fn: str | type[nn.Module] | None,
    normalize_images: bool,
) -> tuple[list[int], str | type[nn.Module]]:
    """
    Place the dense layer: in the torso, or in the head: in each of its streams, or as what is noisy or implicit in it.

    :param torso_kwargs: arguments of the torso, changed in place
    :param moves_dense: whether it belongs to the head
    :return: hidden layers and activation of the head
    :raises ValueError: if both arguments size that of the head
    """
    torso_kwargs.setdefault("normalized_image", not normalize_images)
    if "features_dim" in torso_kwargs:  # what SB3's NatureCNN calls it
        torso_kwargs["hidden_size"] = torso_kwargs.pop("features_dim")
    activation = activation_fn
    if activation is None:
        activation = torso_kwargs.get("activation") or torso.default_activation
    if not moves_dense:
        return ([] if net_arch is None else net_arch), activation

    wanted = torso_kwargs.get("hidden_size", "default")
    torso_kwargs["hidden_size"] = None
    if net_arch is None:
        hidden_size = torso.resolve_hidden_size(wanted)
        return ([] if hidden_size is None else [hidden_size]), activation
    if wanted not in (None, "default"):
        raise ValueError(
            f"hidden_size={wanted!r} and net_arch={net_arch} both size the hidden layer of the head; give one."
        )
    return net_arch, activation


def checked_net_arch(net_arch: Any) -> list[int] | None:
    """
    :param net_arch: as the user gave it
    :return: units of each hidden layer; None for the default
    :raises ValueError: if it is not a list of whole numbers
    """
    if net_arch is None:
        return None
    if not isinstance(net_arch, list | tuple):
        raise ValueError(
            f"net_arch must be a list of the units of each hidden layer, such as [64, 64] ([] for none), got "
            f"{net_arch!r}."
        )
    return [as_int(f"each number of units in net_arch={net_arch!r}", units, 1, _MOST_UNITS) for units in net_arch]


def _checked_values(values: Any) -> Values:
    """:raises ValueError: if they are not objects"""
    if values is None:
        return ScalarValues()
    if isinstance(values, type) or not isinstance(values, Values):
        raise ValueError(
            f"values must be an object such as QuantileValues(), got {values!r}; short names are for the algorithm, "
            "which passes the object to its policy."
        )
    return values


def _refuse_options(options: dict[str, Any]) -> None:
    """:raises ValueError: if there are any, for an extractor without"""
    for name, value in options.items():
        ours = {"hidden_size": "net_arch", "features_dim": "net_arch", "activation": "activation_fn"}.get(name, name)
        hint = "omit it"
        if ours in ("net_arch", "activation_fn", "normalization"):
            hint = f"what it is for torsos of images, policy_kwargs {ours!r} is for the hidden layers here"
        raise ValueError(
            f"{name}={value!r} in features_extractor_kwargs: FlattenExtractor, which vectors go through, has no "
            f"options; {hint}."
        )


def _normalization_of(torso: Any, torso_kwargs: dict[str, Any]) -> str:
    return torso_kwargs.get("normalization") or torso.default_normalization


def _checked_std(noisy: bool, noisy_std: float | None) -> float | None:
    """
    :return: initial standard deviation of noisy layers, None without
    :raises ValueError: on a bad number, or one without noisy layers
    """
    if noisy_std is None:
        return 0.5 if noisy else None
    check_between("noisy_std", noisy_std, 0, 1000, above_low=True)
    if not noisy:
        raise ValueError(f"noisy_std={noisy_std!r} needs noisy=True, which makes the layers of the head noisy.")
    return noisy_std


def _check_center(center: str, values: Values, head: type[Head]) -> None:
    """:raises ValueError: on an unknown center, or one that this head or these values do not have"""
    check_known("center", center, CENTERS)
    if center == "actions":
        return
    if not head.has_streams:
        raise ValueError(f"center={center!r} needs head='dueling'.")
    if values.n_outputs == 1:
        raise ValueError(f"center={center!r} needs several outputs per action; those of {values!r} have one.")


class MlpPolicy(QPolicy):
    """Vectors (RAM, CartPole); two hidden layers of 64, in each stream of a dueling head."""


class CnnPolicy(QPolicy):
    """Images; the Nature torso, its dense layer of 512 in each stream of a dueling head."""

    default_features_extractor = NatureTorso


class MultiInputPolicy(QPolicy):
    """Dictionaries of vectors and images; the latter go through SB3's NatureCNN, without the options of our torsos."""

    default_features_extractor = CombinedExtractor


def __getattr__(name: str) -> type[QPolicy]:
    """The policies of version 0.1.0, one per algorithm; models saved by it name them."""
    from sb3_atari_dqn import policies_0_1_0

    if name not in policies_0_1_0.REPLACEMENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"{name} is deprecated and will be removed in the next release: use {policies_0_1_0.REPLACEMENTS[name]}.",
        FutureWarning,
        stacklevel=2,
    )
    return getattr(policies_0_1_0, name)
