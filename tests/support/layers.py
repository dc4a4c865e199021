"""Small torsos with layers that a copy of a network could treat otherwise: noise, dropout, buffers. C H W: image."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from sb3_atari_dqn.networks.torsos import DQN2013Torso

N_FEATURES = 16


class SmallTorso(BaseFeaturesExtractor):
    """Convolution, a layer to be tested, SiLU (no kinks), a dense layer to be tested."""

    def __init__(self, observation_space: Any, **options: Any) -> None:
        super().__init__(observation_space, N_FEATURES)
        channels = observation_space.shape[0]
        self.net = nn.Sequential(self.convolution(channels), self.between(), nn.SiLU(), nn.AdaptiveAvgPool2d(4))
        self.last = self.dense()

    def convolution(self, channels: int) -> nn.Module:
        return nn.Conv2d(channels, 8, 8, 4)

    def between(self) -> nn.Module:
        return nn.Identity()

    def dense(self) -> nn.Module:
        return nn.Linear(8 * 4 * 4, N_FEATURES)

    def forward(self, observations: Tensor) -> Tensor:
        return F.silu(self.last(self.net(observations).flatten(1)))


class NoisyLinear(nn.Linear):
    """Factorised noise while training, none in evaluation (Fortunato et al. 2018); `sigma` is learned."""

    def __init__(self, n_inputs: int, n_outputs: int, scale: float, generator: torch.Generator | None) -> None:
        super().__init__(n_inputs, n_outputs)
        self.sigma = nn.Parameter(torch.full((n_outputs, n_inputs), scale))
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        kind: Any = {"generator": self.generator, "device": input.device, "dtype": input.dtype}
        noise = torch.outer(torch.randn(self.out_features, **kind), torch.randn(self.in_features, **kind))
        return F.linear(input, self.weight + self.sigma * noise, self.bias)


class NoisyTorso(SmallTorso):
    """With a generator of its own."""

    scale = 0.05

    def dense(self) -> nn.Module:
        return NoisyLinear(8 * 4 * 4, N_FEATURES, self.scale, torch.Generator().manual_seed(5))


class QuietTorso(NoisyTorso):
    """The same without noise."""

    scale = 0.0


class GlobalNoiseTorso(SmallTorso):
    """From torch's generator."""

    def dense(self) -> nn.Module:
        return NoisyLinear(8 * 4 * 4, N_FEATURES, 0.05, None)


class DropoutTorso(SmallTorso):
    def dense(self) -> nn.Module:
        return nn.Sequential(super().dense(), nn.Dropout(0.3))


class FunctionalDropoutTorso(SmallTorso):
    """Without a layer that says so."""

    def forward(self, observations: Tensor) -> Tensor:
        return F.dropout(super().forward(observations), 0.3, self.training)


class SpectralTorso(SmallTorso):
    """Power iterations, which move buffers at each forward pass while training."""

    def convolution(self, channels: int) -> nn.Module:
        return parametrizations.spectral_norm(super().convolution(channels))

    def between(self) -> nn.Module:
        return parametrizations.spectral_norm(nn.Conv2d(8, 8, 3, padding=1))

    def dense(self) -> nn.Module:
        return parametrizations.spectral_norm(super().dense())


class BatchNormTorso(SmallTorso):
    def between(self) -> nn.Module:
        return nn.BatchNorm2d(8)

    def dense(self) -> nn.Module:
        return nn.Sequential(super().dense(), nn.BatchNorm1d(N_FEATURES))


class FrozenNorm(nn.BatchNorm2d):
    """Never trains, whatever mode its network is in."""

    def train(self, mode: bool = True) -> "FrozenNorm":
        super().train(False)
        return self


class FrozenNormTorso(SmallTorso):
    def between(self) -> nn.Module:
        return FrozenNorm(8).train()


class RunningScale(nn.Module):
    """A layer of the user's own with a statistic, not one of PyTorch's."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.scale.lerp_(images.detach().std(), 0.1)
        return images / self.scale


class RunningScaleTorso(SmallTorso):
    def between(self) -> nn.Module:
        return RunningScale()


class ReplacingScale(RunningScale):
    """Puts another tensor in the buffer's place."""

    def forward(self, images: Tensor) -> Tensor:
        self.scale = 0.9 * self.scale + 0.1 * images.detach().std()
        return images / self.scale


class ReplacingTorso(SmallTorso):
    def between(self) -> nn.Module:
        return ReplacingScale()


class NumpyNoiseTorso(SmallTorso):
    """Draws from a generator that seeding torch does not reach."""

    def forward(self, observations: Tensor) -> Tensor:
        return super().forward(observations) * float(np.random.default_rng().random())


class LayerNormTorso(DQN2013Torso):
    """As shipped, without the kinks of ReLU."""

    def __init__(self, observation_space: Any, **options: Any) -> None:
        super().__init__(observation_space, **{**options, "activation": "silu", "normalization": "layer"})
