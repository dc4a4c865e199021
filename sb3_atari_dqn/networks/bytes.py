"""Features extractor for uint8 observations other than images, such as Atari RAM. B: batch, F: features."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor


class BytesExtractor(FlattenExtractor):
    """
    Scales uint8 observations to [0, 1], which SB3 only does for images.

    :param observation_space: uint8, any shape
    :raises ValueError: on other observations
    """

    def __init__(self, observation_space: gym.Space) -> None:
        if not (isinstance(observation_space, spaces.Box) and observation_space.dtype == np.uint8):
            raise ValueError(
                f"features_extractor_class 'bytes' needs uint8 observations, got {observation_space}; omit it for "
                "other observations."
            )
        super().__init__(observation_space)

    def forward(self, observations: Tensor) -> Tensor:
        """
        :param observations: float32 in [0, 255], [B, ...]
        :return: float32 in [0, 1], [B, F]
        """
        return super().forward(observations) / 255
