"""Heads: what turns features into action values. B: batch, A: actions."""

from stable_baselines3.common.torch_layers import create_mlp
from torch import Tensor, nn

from sb3_atari_dqn.losses import add_streams


class DuelingHead(nn.Module):
    """
    Two streams, one for the state value and one for the advantages, joined per sample.

    :param features_dim: width of the features
    :param n_actions: A
    :param net_arch: hidden layers of each stream
    :param activation_fn: after each hidden layer
    Source: Wang et al. 2016, section 3. Deviation: none.
    """

    def __init__(
        self, features_dim: int, n_actions: int, net_arch: list[int], activation_fn: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.value = nn.Sequential(*create_mlp(features_dim, 1, net_arch, activation_fn))
        self.advantage = nn.Sequential(*create_mlp(features_dim, n_actions, net_arch, activation_fn))

    def forward(self, features: Tensor) -> Tensor:
        """
        :param features: float32 [B, features_dim]
        :return: action values, float32 [B, A]
        """
        return add_streams(self.value(features), self.advantage(features))


# "plain" has no class of its own: it is what SB3's QNetwork builds.
HEADS: dict[str, type[nn.Module] | None] = {"plain": None, "dueling": DuelingHead}
