"""Features of observations that are bytes but no image, such as the console's memory. B: batch, F: numbers."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor


class BytesExtractor(FlattenExtractor):
    """
    Brings bytes into [0, 1]; SB3 does so with images only.

    :param observation_space: uint8, any shape
    :raises ValueError: on other observations
    """

    def __init__(self, observation_space: gym.Space) -> None:
        if not (isinstance(observation_space, spaces.Box) and observation_space.dtype == np.uint8):
            raise ValueError(
                f"features_extractor_class 'bytes' takes uint8 observations, got {observation_space}; leave it out for "
                "numbers of another kind."
            )
        super().__init__(observation_space)

    def forward(self, observations: Tensor) -> Tensor:
        """
        :param observations: float32 in [0, 255], [B, ...]
        :return: float32 in [0, 1], [B, F]
        """
        return super().forward(observations) / 255
