"""Preprocessing of the published tutorials, as wrappers for the RL Zoo's ``env_wrapper``."""

from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import AtariPresetWrapper


class PongEluAtari(AtariPresetWrapper):
    """
    Every second row and column, mean of the RGB channels, 105x80; the environment skips frames itself.

    Source: "Deep Q-Learning for Atari Games", a tutorial on Pong, 2019. Deviation: none.
    """

    preset = AtariPreset(grayscale="mean", size=(105, 80), resize="stride")


class MsPacmanSkip16Atari(AtariPresetWrapper):
    """
    Frame skip 16, maximum over all 16 frames in RGB, then grayscale, then 84x84 by area interpolation.

    Source: a tutorial on Ms. Pac-Man with classical deep Q-learning in PyTorch. Deviation: the grayscale weight of red
    is 0.299, which the tutorial misprints as 0.229.
    """

    preset = AtariPreset(
        frame_skip=16, max_pool_frames=16, grayscale=(0.299, 0.587, 0.114), size=(84, 84), resize="area"
    )


class SpaceInvadersDuelingAtari(AtariPresetWrapper):
    """
    Grayscale, then 105x80 bilinear; the environment skips frames itself.

    Source: "Atari Space Invaders and Dueling Q RL in TensorFlow 2". Deviation: OpenCV's grayscale weight of red is
    0.299, TensorFlow's 0.2989, and OpenCV rounds to integers before the resize.
    """

    preset = AtariPreset(grayscale="luma", size=(105, 80), resize="bilinear")
