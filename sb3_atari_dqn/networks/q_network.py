"""The Q-network: features extractor, head and representation of returns.

B: batch, A: actions, D: outputs per action.
"""

import math
from typing import Any, NamedTuple, cast

from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.dqn.policies import QNetwork
from torch import Tensor, nn

from sb3_atari_dqn.finite import check_values
from sb3_atari_dqn.networks.fractions import FractionEmbedding, learns_features, split_at_product
from sb3_atari_dqn.networks.gradient import scale_gradient
from sb3_atari_dqn.networks.heads import Head, HeadSize, LinearHead
from sb3_atari_dqn.networks.image_torso import ImageTorso
from sb3_atari_dqn.networks.initialization import initialize
from sb3_atari_dqn.networks.padding import PairedConv2d, SameConv2d
from sb3_atari_dqn.objectives.outputs import Distribution as Distribution
from sb3_atari_dqn.objectives.outputs import Outputs, Values
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues
from sb3_atari_dqn.objectives.scalar import ScalarValues


class Explanation(NamedTuple):
    """
    :param q: action values, [B, A]
    :param value: state values, [B, 1]; None for a head without streams, or whose streams are not in units of returns
    :param advantages: with mean 0 over the actions, so that q = value + advantages, [B, A]; None where the value is
    :param distribution: of the return of each action; None where only expected returns are learned
    """

    q: Tensor
    value: Tensor | None = None
    advantages: Tensor | None = None
    distribution: Distribution | None = None


class HeadedQNetwork(QNetwork):
    """
    SB3's QNetwork with a configurable head and representation of returns.

    :meth:`forward` returns action values; :meth:`outputs` returns the outputs whose means they are.

    :param head: class of the head
    :param rescale_shared_gradient: multiply the gradient from the head to the features by 1/sqrt(2)
    :param values: representation of returns, which determines the number of outputs per action
    :param noisy_std: initial standard deviation of noisy layers in the head; None: ordinary linear layers
    :param center: what a dueling head takes the mean of the advantages over
    :param normalization: of the hidden layers of the head, and of those before the product with quantile fractions:
        "none" or "layer"
    Other parameters: see SB3's `QNetwork`. An initialization set in the torso also applies to the head.
    """

    q_net: Head  # type: ignore[assignment]

    def __init__(
        self,
        *args: Any,
        head: type[Head] = LinearHead,
        rescale_shared_gradient: bool = False,
        values: Values | None = None,
        noisy_std: float | None = None,
        center: str = "actions",
        normalization: str = "none",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.head = head
        self.rescale_shared_gradient = rescale_shared_gradient
        self.values = ScalarValues() if values is None else values
        self.noisy_std, self.center, self.normalization = noisy_std, center, normalization
        features_dim, hidden = self.features_dim, self.net_arch
        self.embedding: FractionEmbedding | None = None
        if isinstance(self.values, ImplicitQuantileValues):
            before, hidden = split_at_product(hidden, learns_features(self.features_extractor))
            cosines = self.values.cosines
            self.embedding = FractionEmbedding(features_dim, before, self.activation_fn, cosines, normalization)
            features_dim = self.embedding.features_dim
        n_actions, n_outputs = int(self.action_space.n), self.values.n_outputs
        activation_fn = self.activation_fn
        size = HeadSize(features_dim, n_actions, n_outputs, hidden, activation_fn, noisy_std, center, normalization)
        sb3_layers = [] if self.embedding or normalization != "none" else list(self.q_net.children())
        self.q_net = head.build(size, sb3_layers)
        initialize(self.q_net, getattr(self.features_extractor, "initialization", None))

    def forward(self, obs: PyTorchObs) -> Tensor:
        """
        :param obs: as returned by the environment, batch first
        :return: action values, float32 [B, A]
        """
        return self.values.mean(self.outputs(obs))

    def outputs(self, obs: PyTorchObs, n_fractions: int | None = None) -> Outputs:
        """
        :param obs: as returned by the environment, batch first
        :param n_fractions: of quantiles, drawn; None: those that the network acts with
        :return: outputs for the objective
        """
        return self._outputs(self.extract_features(obs, self.features_extractor), n_fractions)

    def outputs_of_images(self, images: Tensor, n_fractions: int | None = None) -> Outputs:
        """
        :param images: preprocessed, in the precision of the parameters, [B, C, H, W]
        :param n_fractions: as for :meth:`outputs`
        :return: as :meth:`outputs`
        """
        return self._outputs(self._rescaled(self.features_extractor(images)), n_fractions)

    def _outputs(self, features: Tensor, n_fractions: int | None = None) -> Outputs:
        if self.embedding is None:
            return Outputs(self.q_net(features))
        if n_fractions is None:
            fractions = self.embedding.fixed_fractions(len(features), cast(ImplicitQuantileValues, self.values).acting)
        else:
            fractions = self.embedding.fractions(len(features), n_fractions)
        rows = self.q_net(self.embedding(features, fractions))  # [B * N, A, 1]
        return Outputs(_by_action(rows, fractions), fractions)

    def explain(self, obs: PyTorchObs) -> Explanation:
        """:param obs: batch first"""
        features = self.extract_features(obs, self.features_extractor)
        outputs = self._outputs(features)
        q, distribution = self.values.mean(outputs), self.values.distribution(outputs)
        if not self.values.outputs_are_returns:  # the streams are logits: Q is not V + A
            streams: Any = None
        elif outputs.fractions is None or self.embedding is None:
            streams = self.q_net.streams(features)
        elif streams := self.q_net.streams(self.embedding(features, outputs.fractions)):
            streams = [_by_action(stream, outputs.fractions) for stream in streams]
        value, advantages = [self.values.mean(Outputs(stream)) for stream in streams] if streams else (None, None)
        return Explanation(q, value, advantages, distribution)

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor) -> Tensor:
        return self._rescaled(super().extract_features(obs, features_extractor))

    def _rescaled(self, features: Tensor) -> Tensor:
        return scale_gradient(features, 1 / math.sqrt(2)) if self.rescale_shared_gradient else features

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        """
        :return: greedy actions, including the action space's `start`, int64 [B]
        :raises NonFiniteValues: on an action value that is NaN or infinite
        """
        q = self(observation)
        check_values(q)
        chosen = q.argmax(dim=1)
        first = int(self.action_space.start)
        return chosen + first if first else chosen

    def float32_layers(self) -> list[nn.Linear]:
        """:return: the output layers, see :meth:`Head.float32_layers`"""
        return self.q_net.float32_layers()

    def first_convolution(self) -> nn.Conv2d | None:
        """:return: the first convolution; None unless its inputs are certain to be the images, or linear in them"""
        extractor: Any = self.features_extractor
        if type(extractor).forward not in (ImageTorso.forward, NatureCNN.forward):
            return None  # another extractor with a `cnn` may transform the images before it
        first = extractor.cnn[0]
        is_hooked = any(module._forward_pre_hooks for module in (extractor, extractor.cnn, first))
        # A subclass may have its own forward, or computed weights.
        return first if type(first) in (nn.Conv2d, SameConv2d, PairedConv2d) and not is_hooked else None

    def _get_constructor_parameters(self) -> dict[str, Any]:
        names = ("head", "rescale_shared_gradient", "values", "noisy_std", "center", "normalization")
        own = {name: getattr(self, name) for name in names}
        return {**super()._get_constructor_parameters(), **own}


def _by_action(rows: Tensor, fractions: Tensor) -> Tensor:
    """
    :param rows: of a head with one output per action, [B * N, A, 1]
    :param fractions: [B, N]
    :return: [B, A, N]
    """
    return rows.view(*fractions.shape, -1).transpose(1, 2)
