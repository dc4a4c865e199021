"""Atari preprocessing: frozen descriptions and the wrappers that apply them."""

from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import SKIPPING_WRAPPERS, AtariPresetWrapper, NatureAtari, env_kwargs_for

__all__ = ["SKIPPING_WRAPPERS", "AtariPreset", "AtariPresetWrapper", "NatureAtari", "env_kwargs_for"]
