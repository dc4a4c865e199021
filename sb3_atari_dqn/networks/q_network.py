"""The Q-network: features extractor, head and representation of returns.

B: batch, A: actions, D: outputs per action.
"""

import math
from typing import Any, NamedTuple

from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.dqn.policies import QNetwork
from torch import Tensor, nn

from sb3_atari_dqn.finite import check_values
from sb3_atari_dqn.networks.gradient import scale_gradient
from sb3_atari_dqn.networks.heads import Head, HeadSize, LinearHead
from sb3_atari_dqn.networks.image_torso import ImageTorso
from sb3_atari_dqn.networks.initialization import initialize
from sb3_atari_dqn.networks.padding import SameConv2d
from sb3_atari_dqn.objectives.outputs import Outputs, Values
from sb3_atari_dqn.objectives.scalar import ScalarValues


class Explanation(NamedTuple):
    """
    :param q: action values, [B, A]
    :param value: state values, [B, 1]; None for a head without streams
    :param advantages: with mean 0 over the actions, [B, A]; None for a head without streams
    """

    q: Tensor
    value: Tensor | None = None
    advantages: Tensor | None = None


class HeadedQNetwork(QNetwork):
    """
    SB3's QNetwork with a configurable head and representation of returns.

    :meth:`forward` returns action values; :meth:`outputs` returns the outputs whose means they are.

    :param head: class of the head
    :param rescale_shared_gradient: multiply the gradient from the head to the features by 1/sqrt(2)
    :param values: representation of returns, which determines the number of outputs per action
    Other parameters: see SB3's `QNetwork`. An initialization set in the torso also applies to the head.
    """

    q_net: Head  # type: ignore[assignment]

    def __init__(
        self,
        *args: Any,
        head: type[Head] = LinearHead,
        rescale_shared_gradient: bool = False,
        values: Values | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.head = head
        self.rescale_shared_gradient = rescale_shared_gradient
        self.values = ScalarValues() if values is None else values
        n_actions, n_outputs = int(self.action_space.n), self.values.n_outputs
        size = HeadSize(self.features_dim, n_actions, n_outputs, self.net_arch, self.activation_fn)
        self.q_net = head.build(size, list(self.q_net.children()))
        initialize(self.q_net, getattr(self.features_extractor, "initialization", None))

    def forward(self, obs: PyTorchObs) -> Tensor:
        """
        :param obs: as returned by the environment, batch first
        :return: action values, float32 [B, A]
        """
        return self.values.mean(self.outputs(obs))

    def outputs(self, obs: PyTorchObs) -> Outputs:
        """
        :param obs: as returned by the environment, batch first
        :return: outputs for the objective
        """
        return Outputs(self.q_net(self.extract_features(obs, self.features_extractor)))

    def outputs_of_images(self, images: Tensor) -> Outputs:
        """
        :param images: preprocessed, in the precision of the parameters, [B, C, H, W]
        :return: as :meth:`outputs`
        """
        return Outputs(self.q_net(self._rescaled(self.features_extractor(images))))

    def explain(self, obs: PyTorchObs) -> Explanation:
        """:param obs: batch first"""
        features = self.extract_features(obs, self.features_extractor)
        streams = self.q_net.streams(features)
        q = self.values.mean(Outputs(self.q_net(features)))
        if streams is None:
            return Explanation(q)
        return Explanation(q, *(self.values.mean(Outputs(stream)) for stream in streams))

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
        return first if type(first) in (nn.Conv2d, SameConv2d) and not is_hooked else None

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"head": self.head, "rescale_shared_gradient": self.rescale_shared_gradient, "values": self.values}
        return {**super()._get_constructor_parameters(), **own}
