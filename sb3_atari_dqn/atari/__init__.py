"""Atari preprocessing: frozen presets, the wrappers that apply them, and a vectorized C++ environment."""

from sb3_atari_dqn.atari.native_support import why_not_native
from sb3_atari_dqn.atari.native_vec_env import NativeAtariVecEnv
from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.skipping import GameSpeed
from sb3_atari_dqn.atari.stacking import VecRepeatFirstStack
from sb3_atari_dqn.atari.tutorials import MsPacmanSkip16Atari, PongEluAtari, SpaceInvadersDuelingAtari
from sb3_atari_dqn.atari.wrappers import SKIPPING_WRAPPERS, AtariPresetWrapper, NatureAtari, env_kwargs_for

__all__ = [
    "SKIPPING_WRAPPERS",
    "AtariPreset",
    "AtariPresetWrapper",
    "GameSpeed",
    "MsPacmanSkip16Atari",
    "NativeAtariVecEnv",
    "NatureAtari",
    "PongEluAtari",
    "SpaceInvadersDuelingAtari",
    "VecRepeatFirstStack",
    "env_kwargs_for",
    "why_not_native",
]
