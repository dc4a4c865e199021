"""Preprocessing of the published tutorials, as wrappers that the RL Zoo can name."""

from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import AtariPresetWrapper


class PongEluAtari(AtariPresetWrapper):
    """
    Every second row and column, mean of the three colours, 105x80; frames are skipped by the environment.

    Source: "Deep Q-Learning for Atari Games", a tutorial on Pong, 2019. Deviation: none.
    """

    preset = AtariPreset(grayscale="mean", size=(105, 80), resize="stride")


class MsPacmanSkip16Atari(AtariPresetWrapper):
    """
    Each action held for 16 frames, maximum over all of them in RGB, then gray, then 84x84 by area.

    Source: a tutorial on Ms. Pac-Man with classical deep Q-learning in PyTorch. Deviation: the first weight of the gray
    is 0.299, which the tutorial misprints as 0.229.
    """

    preset = AtariPreset(
        frame_skip=16, max_pool_frames=16, grayscale=(0.299, 0.587, 0.114), size=(84, 84), resize="area"
    )


class SpaceInvadersDuelingAtari(AtariPresetWrapper):
    """
    Gray, then 105x80 bilinear; frames are skipped by the environment.

    Source: "Atari Space Invaders and Dueling Q RL in TensorFlow 2". Deviation: OpenCV's gray weighs red
    with 0.299, TensorFlow's with 0.2989, and the gray is rounded to whole numbers before it is resized.
    """

    preset = AtariPreset(grayscale="luma", size=(105, 80), resize="bilinear")
