"""Presets as gymnasium wrappers, for the RL Zoo's ``env_wrapper``."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation, TransformReward
from stable_baselines3.common.atari_wrappers import (
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
    StickyActionEnv,
)
from stable_baselines3.common.env_util import is_wrapped

from sb3_atari_dqn.atari.frames import FramePipeline
from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.skipping import SkipAndPoolEnv, actions_per_second

# By name, because older gymnasium versions lack some of them.
SKIPPING_WRAPPERS = frozenset(
    {"MaxAndSkipEnv", "MaxAndSkipObservation", "RepeatAction", "AtariPreprocessing", "AtariWrapper"}
)
STICKY_WRAPPERS = frozenset({"StickyActionEnv", "StickyAction"})


class AtariPresetWrapper(gym.Wrapper[np.ndarray, int, np.ndarray, int]):
    """
    Applies an :class:`AtariPreset` to an Atari game. Subclass it with another ``preset`` to define a named preset.

    SB3's ``make_vec_env`` puts its ``Monitor`` inside this wrapper, so logged returns are raw returns of full games
    (no life-loss termination) and episode lengths count the environment's own steps. As in SB3, a reset after a lost
    life continues the game with a no-op (and ignores the seed).

    :param env: Atari game with RGB observations
    :param overrides: options of :class:`AtariPreset` that replace those of the class
    :raises ValueError: if the preset does not fit the environment; the message names the way out
    """

    preset = AtariPreset()

    def __init__(self, env: gym.Env, **overrides: Any) -> None:
        preset = self.preset.with_overrides(overrides)
        _check_fit(env, preset, type(self).__name__)
        super().__init__(_apply(env, preset))
        self.preset = preset
        # The frame rate of recorded videos; the environment's own value ignores the preset's frame skip.
        self.metadata = {**self.metadata, "render_fps": actions_per_second(self.env)}


class NatureAtari(AtariPresetWrapper):
    """
    The preprocessing of the Nature paper, identical to SB3's ``AtariWrapper`` frame by frame.

    Source: Mnih et al. 2015, Methods ("Preprocessing", "Training details", "Evaluation procedure"). Deviations, all
    SB3's: 1 to 30 no-ops instead of 0 to 30, FIRE after each reset in games that have it, area interpolation, and if a
    game ends during the frame skip, max-pooling may use frames of the previous step. Sticky actions are those of the
    environment.
    """

    preset = AtariPreset(
        noop_max=30,
        fire_on_reset=True,
        frame_skip=4,
        max_pool_frames=2,
        terminal_on_life_loss=True,
        clip_reward=True,
        grayscale="luma",
        size=(84, 84),
    )


def env_kwargs_for(
    wrapper_class: type, overrides: Mapping[str, Any], env_spec_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Keyword arguments for an environment that keep its own frame skip from multiplying with the wrapper's.

    :param wrapper_class: any wrapper class; only presets need such arguments
    :param overrides: keyword arguments of the wrapper
    :param env_spec_kwargs: keyword arguments of the registered environment (``gym.spec(env_id).kwargs``)
    :return: ``{"frameskip": 1}`` if both the preset and the environment skip frames, else ``{}``
    :raises ValueError: on an unknown override or a value out of range
    """
    if not issubclass(wrapper_class, AtariPresetWrapper):
        return {}
    preset = wrapper_class.preset.with_overrides(overrides)
    # Environments without this keyword are not Atari games; the wrapper's error explains that better than a TypeError.
    return {"frameskip": 1} if preset.frame_skip > 1 and env_spec_kwargs.get("frameskip", 1) != 1 else {}


def _apply(env: gym.Env, preset: AtariPreset) -> gym.Env:
    """The layers of a preset in the order of SB3's ``AtariWrapper``."""
    env = _apply_to_time(env, preset)
    frame_space = env.observation_space
    assert isinstance(frame_space, spaces.Box)  # ensured by _check_fit
    pipeline = FramePipeline(preset, frame_space.shape)
    env = TransformObservation(env, pipeline, spaces.Box(0, 255, pipeline.shape, np.uint8))
    if preset.clip_reward:
        env = ClipRewardEnv(env)
    if preset.reward_scale != 1.0:
        env = TransformReward(env, partial(operator.mul, preset.reward_scale))
    return env


def _apply_to_time(env: gym.Env, preset: AtariPreset) -> gym.Env:
    if preset.action_repeat_probability:
        env = StickyActionEnv(env, preset.action_repeat_probability)
    if preset.noop_max > 0:
        env = NoopResetEnv(env, preset.noop_max)
    if preset.max_pool_frames == 2:
        env = MaxAndSkipEnv(env, preset.frame_skip)
    elif preset.frame_skip > 1:
        env = SkipAndPoolEnv(env, preset.frame_skip, preset.max_pool_frames)
    if preset.terminal_on_life_loss:
        env = EpisodicLifeEnv(env)
    if preset.fire_on_reset and "FIRE" in _game(env).get_action_meanings():
        env = FireResetEnv(env)
    return env


def _check_fit(env: gym.Env, preset: AtariPreset, name: str) -> None:
    if is_wrapped(env, AtariPresetWrapper):
        raise ValueError(f"{name} wraps {env}, which already has a preset: name only one preset in env_wrapper")
    if not isinstance(env.unwrapped, AtariEnv):
        raise ValueError(
            f"{name} needs an Atari game of ale-py, not {_env_name(env)}: remove the preset from env_wrapper, "
            "or choose an id such as PongNoFrameskip-v4"
        )
    _check_rgb(env, name)
    if preset.frame_skip > 1:
        _check_single_skip(env, preset, name)
    if preset.action_repeat_probability is not None:
        _check_single_stickiness(env, preset, name)


def _check_rgb(env: gym.Env, name: str) -> None:
    space = env.observation_space
    if not (
        isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] == 3
    ):
        raise ValueError(
            f"{name} needs RGB frames [H, W, 3], but {_env_name(env)} (obs_type={_game(env)._obs_type!r}) returns "
            f"{space}: create it with env_kwargs=dict(obs_type='rgb') and without sound or other observation wrappers, "
            "or remove the preset from env_wrapper"
        )


def _check_single_skip(env: gym.Env, preset: AtariPreset, name: str) -> None:
    own_skip = _game(env)._frameskip
    if own_skip != 1:
        raise ValueError(
            f"{name} has frame_skip={preset.frame_skip}, but {_env_name(env)} already skips frames "
            f"(frameskip={own_skip}) and the two would multiply: create it with env_kwargs=dict(frameskip=1), "
            "use its NoFrameskip id, or set frame_skip=1 and max_pool_frames=1 in the preset"
        )
    if inside := _layers(env) & SKIPPING_WRAPPERS:
        raise ValueError(
            f"{name} has frame_skip={preset.frame_skip}, and {', '.join(sorted(inside))} inside it skips frames too: "
            "remove one of them"
        )


def _check_single_stickiness(env: gym.Env, preset: AtariPreset, name: str) -> None:
    own_chance = _game(env).ale.getFloat("repeat_action_probability")
    if own_chance > 0:
        raise ValueError(
            f"{name} sets action_repeat_probability={preset.action_repeat_probability}, but {_env_name(env)} already "
            f"has sticky actions (repeat_action_probability={own_chance}): create it with "
            "env_kwargs=dict(repeat_action_probability=0.0), or set action_repeat_probability=None in the preset"
        )
    if inside := _layers(env) & STICKY_WRAPPERS:
        raise ValueError(
            f"{name} sets action_repeat_probability={preset.action_repeat_probability}, and "
            f"{', '.join(sorted(inside))} inside it adds sticky actions too: remove one of them"
        )


def _game(env: gym.Env) -> AtariEnv:
    assert isinstance(env.unwrapped, AtariEnv)  # ensured by _check_fit
    return env.unwrapped


def _env_name(env: gym.Env) -> str:
    return env.spec.id if env.spec is not None else str(env)


def _layers(env: gym.Env) -> set[str]:
    """Class names of the wrappers around the game."""
    names = set()
    while isinstance(env, gym.Wrapper):
        names.add(type(env).__name__)
        env = env.env
    return names
