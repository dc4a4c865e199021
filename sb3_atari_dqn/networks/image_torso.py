"""What all torsos have in common: images checked, convolutions, an optional dense layer.

B: batch, C: channels (stacked frames), H W: height and width of the image in pixels.
Every torso is `cnn` (convolutions, flattened) followed by `linear` (one dense layer), the names that SB3's
`NatureCNN` uses.
"""

from abc import abstractmethod
from inspect import signature
from typing import ClassVar

import gymnasium as gym
import torch
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from sb3_atari_dqn.networks.activations import resolve_activation
from sb3_atari_dqn.networks.initialization import initialize
from sb3_atari_dqn.networks.normalization import check_normalization, norm_of_images, norm_of_units
from sb3_atari_dqn.networks.pooling import outputs_needed, pooling_of
from sb3_atari_dqn.validation import as_int, checked_flag


class ImageTorso(BaseFeaturesExtractor):
    """
    Base of all torsos: checks the images, builds convolutions and an optional dense layer.

    :param observation_space: channel-first images (C, H, W) of any size that the convolutions can take
    :param hidden_size: units of the dense layer; "default" is the paper's number, None omits the dense layer (the
        features are then the flattened output of the convolutions)
    :param activation: short name or class, after every layer; None is the paper's
    :param initialization: "orthogonal", "he_normal", "glorot_uniform", or None for PyTorch's default
    :param normalization: "none", or "layer": layer norm directly after each convolution and after the dense layer,
        before the activation; None is the paper's
    :param pooling: after the convolutions: "none" (flattened as they are), "max" (to 6x6), or "mean" (to 1x1)
    :param center_images: subtract from each image its mean over all frames and pixels. Without it, most of a first
        filter's gradient moves its output on the unchanging background, and filters die; see docs/networks.md
    :param normalized_image: the images are floats already: check the number of axes only, as SB3's `NatureCNN` does
    :raises ValueError: on a space that holds no images, an image that is too small, or a bad argument
    """

    default_hidden_size: ClassVar[int]
    default_activation: ClassVar[str] = "relu"
    default_normalization: ClassVar[str] = "none"

    def __init__(
        self,
        observation_space: gym.Space,
        hidden_size: int | str | None = "default",
        activation: str | type[nn.Module] | None = None,
        initialization: str | None = None,
        normalized_image: bool = False,
        normalization: str | None = None,
        pooling: str = "none",
        center_images: bool = False,
    ) -> None:
        normalization = self.default_normalization if normalization is None else normalization
        check_normalization(normalization)
        checked_flag("center_images", center_images)
        shape = self._check_images(observation_space, normalized_image)
        self._check_size(shape, pooling)
        super().__init__(observation_space, features_dim=1)  # replaced once the convolutions are built
        self.activation = resolve_activation(activation or self.default_activation)
        self.initialization = initialization
        self.normalization = normalization
        self.center_images = center_images

        convolutions = self._convolutions(shape[0], self.activation)
        self.cnn = nn.Sequential(*convolutions, *pooling_of(pooling), nn.Flatten())
        with torch.no_grad():
            self._features_dim = self.cnn(torch.zeros(1, *shape)).shape[1]
        self.linear = self._dense(self.resolve_hidden_size(hidden_size))
        initialize(self, initialization)

    def forward(self, observations: Tensor) -> Tensor:
        """
        :param observations: float32 [B, C, H, W], in [0, 1] if the policy normalizes
        :return: float32 [B, features_dim]
        """
        if self.center_images:  # linear: the fast learner moves the factor 1/255 from images into weights
            observations = observations - observations.mean(dim=(1, 2, 3), keepdim=True)
        return self.linear(self.cnn(observations))

    @classmethod
    def resolve_hidden_size(cls, hidden_size: int | str | None) -> int | None:
        """
        :param hidden_size: as given to the constructor
        :return: units of the dense layer, or None if there is none
        :raises ValueError: if it is neither "default", None nor a positive whole number
        """
        if hidden_size is None:
            return None
        if hidden_size == "default":
            return cls.default_hidden_size
        return as_int("hidden_size", hidden_size, minimum=1)

    @classmethod
    def arguments(cls) -> set[str]:
        """:return: names of what the constructors take, beside the observation space"""
        signatures = [signature(parent.__init__) for parent in cls.__mro__ if issubclass(parent, ImageTorso)]
        return {name for each in signatures for name in each.parameters} - {"self", "observation_space", "options"}

    @abstractmethod
    def _convolutions(self, channels: int, activation: type[nn.Module]) -> list[nn.Module]:
        """:return: the layers before the flattening, with `self._norm(filters)` after each convolution"""

    @abstractmethod
    def _smallest_image(self, n_outputs: int) -> int:
        """
        :param n_outputs: height and width of what the convolutions must give, at least 1
        :return: height and width, in pixels, of the smallest image from which they give it
        """

    def _norm(self, channels: int, n_branches: int = 1) -> list[nn.Module]:
        """:return: what the chosen normalization puts after a convolution, see :func:`norm_of_images`"""
        return norm_of_images(self.normalization, channels, n_branches)

    def _dense(self, hidden_size: int | None) -> nn.Module:
        if hidden_size is None:
            return nn.Identity()
        n_flatten, self._features_dim = self._features_dim, hidden_size
        return nn.Sequential(
            nn.Linear(n_flatten, hidden_size), *norm_of_units(self.normalization, hidden_size), self.activation()
        )

    def _check_images(self, space: gym.Space, normalized_image: bool) -> tuple[int, int, int]:
        name = type(self).__name__
        if not is_image_space(space, check_channels=False, normalized_image=normalized_image):
            raise ValueError(
                f"{name} takes images (uint8 in [0, 255], three axes), got {space}. For other observations take "
                "MlpPolicy or MultiInputPolicy; for images that are floats already pass normalize_images=False."
            )
        assert space.shape is not None
        channels, height, width = space.shape
        return channels, height, width

    def _check_size(self, shape: tuple[int, int, int], pooling: str) -> None:
        """:raises ValueError: if the convolutions of an image (C, H, W) give less than the pooling needs"""
        n_outputs = outputs_needed(pooling)
        smallest = self._smallest_image(n_outputs)
        if min(shape[1:]) < smallest:
            pooled, way_out = (f" with pooling={pooling!r}", ", choose another pooling") if n_outputs > 1 else ("", "")
            raise ValueError(
                f"{type(self).__name__} needs images of at least {smallest}x{smallest} pixels{pooled}, got "
                f"{shape[1]}x{shape[2]} from the channel-first shape {shape}; resize the frames larger{way_out} or "
                "name another torso in policy_kwargs (features_extractor_class)."
            )
