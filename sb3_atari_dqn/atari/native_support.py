"""Which Atari environments ALE's vectorized C++ environment supports, and with which settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from stable_baselines3.common.atari_wrappers import (
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
)
from stable_baselines3.common.monitor import Monitor

from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import AtariPresetWrapper
from sb3_atari_dqn.validation import as_int, check_between

#: What to do where the native environments cannot be used.
USE_REGULAR = (
    "use regular environments instead (make_vec_env with the preset's wrapper class; native_envs: false in the zoo)"
)

#: Far beyond any use, and what one byte per frame of a stack can count.
MOST_ENVS, MOST_FRAMES = 4096, 254

#: Default arguments of ``AtariEnv``.
_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(AtariEnv.__init__).parameters.items()
    if parameter.default is not parameter.empty
}

#: Keyword arguments of ``AtariEnv`` that C++ does not have: the only value it supports, and what that means.
_FIXED = {
    "mode": (None, "only plays a game's default mode"),
    "difficulty": (None, "only plays a game's default difficulty"),
    "obs_type": ("rgb", "only returns RGB screens"),
    "continuous": (False, "only takes discrete actions"),
    "sound_obs": (False, "has no sound"),
}
#: Rendering returns the screens C++ produces anyway; it cannot open a window.
_RENDER_MODES = (None, "rgb_array")
_EXPRESSIBLE = {"game", "frameskip", "repeat_action_probability", "full_action_space", "max_num_frames_per_episode"}


@dataclass(frozen=True)
class NativeSettings:
    """
    One Atari game with all settings of the C++ environment.

    :param game: ROM name, such as ``ms_pacman``
    :param preset: the preprocessing
    :param repeat_action_probability: of sticky actions, per raw frame; from the environment or the preset
    :param full_action_space: all 18 actions instead of the game's minimal set
    :param max_frames: raw frames after which a game is truncated, including no-ops; None for no limit
    :param render_mode: "rgb_array" or None
    """

    game: str
    preset: AtariPreset
    repeat_action_probability: float
    full_action_space: bool
    max_frames: int | None
    render_mode: str | None


def why_not_native(
    env_id: str, wrappers: Sequence[tuple[type, Mapping[str, Any]]], env_kwargs: Mapping[str, Any] | None = None
) -> str | None:
    """
    Check whether the C++ environment can replace an environment and its wrappers.

    :param env_id: registered environment
    :param wrappers: classes around it with their keyword arguments, as the zoo's ``env_wrapper`` lists them
    :param env_kwargs: keyword arguments of the environment
    :return: None if it can, else the reason in one line
    """
    wrapper, overrides = wrappers[0] if len(wrappers) == 1 else (object, {})
    if not issubclass(wrapper, AtariPresetWrapper):
        names = ", ".join(wrapper.__name__ for wrapper, _ in wrappers) or "nothing"
        return f"env_wrapper names {names}, but the C++ environment supports exactly one preset"
    if own := _own_code(wrapper):
        return f"{wrapper.__name__} defines {', '.join(sorted(own))}, but the C++ environment runs no Python wrappers"
    return preset_obstacle(env_id, wrapper.preset.with_overrides(overrides), env_kwargs)


def preset_obstacle(env_id: str, preset: AtariPreset, env_kwargs: Mapping[str, Any] | None = None) -> str | None:
    """
    :param env_id: registered environment
    :param preset: the preprocessing
    :param env_kwargs: keyword arguments of the environment
    :return: None if the C++ environment supports it, else the reason in one line
    """
    if obstacle := _build_obstacle():
        return obstacle
    spec = gym.spec(env_id)
    if "AtariEnv" not in str(spec.entry_point):
        return f"{env_id} is not an Atari game of ale-py"
    if spec.max_episode_steps is not None or spec.additional_wrappers:
        return f"{env_id} is registered with its own wrappers, but the C++ environment runs no Python wrappers"
    kwargs = {**_DEFAULTS, **spec.kwargs, **(env_kwargs or {})}
    return _kwargs_obstacle(kwargs) or _time_obstacle(kwargs, preset)


def native_settings(env_id: str, preset: AtariPreset, env_kwargs: Mapping[str, Any] | None = None) -> NativeSettings:
    """
    :param env_id: registered environment
    :param preset: the preprocessing
    :param env_kwargs: keyword arguments of the environment
    :return: settings of the C++ environment
    :raises ValueError: if it does not support them
    """
    if obstacle := preset_obstacle(env_id, preset, env_kwargs):
        raise ValueError(f"{obstacle}: create {env_id} with make_vec_env and the preset's wrapper class instead")
    kwargs = {**_DEFAULTS, **gym.spec(env_id).kwargs, **(env_kwargs or {})}
    _check_values(kwargs)
    sticky = preset.action_repeat_probability or kwargs["repeat_action_probability"]
    limit = kwargs["max_num_frames_per_episode"]
    limit = None if limit is None or limit <= 0 else int(limit)  # as ALE reads them
    return NativeSettings(
        kwargs["game"], preset, float(sticky), kwargs["full_action_space"], limit, kwargs["render_mode"]
    )


def _check_values(kwargs: Mapping[str, Any]) -> None:
    """:raises ValueError: on values that C++ would misread, or reject much later"""
    check_between("repeat_action_probability", kwargs["repeat_action_probability"], 0, 1)
    limit = kwargs["max_num_frames_per_episode"]
    if limit is not None:
        as_int("max_num_frames_per_episode", limit, minimum=-(2**31))
    for name, kind in (("full_action_space", bool), ("game", str)):
        if not isinstance(kwargs[name], kind):
            raise ValueError(f"{name} must be {'True or False' if kind is bool else 'a name'}, got {kwargs[name]!r}.")


def _build_obstacle() -> str | None:
    if not hasattr(ale_py, "ALEVectorInterface"):
        return f"ale-py {ale_py.__version__} was built without its C++ environment"
    return None


def _own_code(wrapper: type) -> set[str]:
    """:return: methods and properties defined by subclasses of the preset wrapper"""
    below = wrapper.__mro__[: wrapper.__mro__.index(AtariPresetWrapper)]
    return {
        name
        for cls in below
        for name, value in vars(cls).items()
        if inspect.isroutine(value) or isinstance(value, property)
    }


def _kwargs_obstacle(kwargs: Mapping[str, Any]) -> str | None:
    for name, (only, means) in _FIXED.items():
        if kwargs[name] != only:
            return f"{name}={kwargs[name]!r} is set, but the C++ environment {means}"
    if kwargs["render_mode"] not in _RENDER_MODES:
        return f"render_mode={kwargs['render_mode']!r} is set, but the C++ environment only renders 'rgb_array'"
    unknown = sorted(set(kwargs) - set(_DEFAULTS) - _EXPRESSIBLE)
    return f"the C++ environment has no option {', '.join(unknown)}" if unknown else None


def _time_obstacle(kwargs: Mapping[str, Any], preset: AtariPreset) -> str | None:
    if kwargs["frameskip"] != 1:
        return f"frameskip={kwargs['frameskip']} is set, but the C++ environment only supports the preset's frame_skip"
    if preset.max_pool_frames > 2:
        return f"max_pool_frames={preset.max_pool_frames} is set, but the C++ environment pools at most 2 frames"
    if preset.action_repeat_probability is not None and kwargs["repeat_action_probability"] > 0:
        return (
            f"action_repeat_probability={preset.action_repeat_probability} (preset) and repeat_action_probability="
            f"{kwargs['repeat_action_probability']} (environment) both make actions sticky"
        )
    return None


def check_limits(n_envs: int, n_stack: int, preset: AtariPreset) -> None:
    """:raises ValueError: on sizes beyond what machines and replay buffers hold, or a wrapper class as the preset"""
    if n_envs > MOST_ENVS or n_stack > MOST_FRAMES:
        raise ValueError(f"n_envs={n_envs}, n_stack={n_stack}: use n_envs <= {MOST_ENVS}, n_stack <= {MOST_FRAMES}")
    if not isinstance(preset, AtariPreset):
        raise ValueError(f"preset={preset!r}: pass an AtariPreset, such as NatureAtari.preset")


def check_actions(env_id: str, actions: Sequence[str], preset: AtariPreset) -> None:
    """:raises ValueError: if the preset needs NOOP as action 0, and action 0 of this game is another one"""
    if actions[0] != "NOOP" and (preset.noop_max > 0 or preset.terminal_on_life_loss):
        raise ValueError(
            f"noop_max={preset.noop_max} and terminal_on_life_loss={preset.terminal_on_life_loss} need NOOP as action "
            f"0, but the actions of {env_id} are {', '.join(actions)}: create it with "
            "env_kwargs=dict(full_action_space=True)"
        )


def implemented_wrappers(preset: AtariPreset, fires: bool) -> set[type[gym.Wrapper]]:
    """
    :param preset: of a game
    :param fires: whether the game starts with FIRE
    :return: the wrappers that the game implements
    """
    by_option = {
        NoopResetEnv: preset.noop_max > 0,
        MaxAndSkipEnv: preset.max_pool_frames == 2,
        EpisodicLifeEnv: preset.terminal_on_life_loss,
        FireResetEnv: fires,
        ClipRewardEnv: preset.clip_reward,
    }
    return {Monitor, AtariPresetWrapper} | {wrapper for wrapper, used in by_option.items() if used}


def emulator_seed(seed: int) -> int:
    """:return: the seed ``AtariEnv`` would pass to its emulator, without the sign bit, which C++ rejects"""
    return int(np.random.SeedSequence(seed).generate_state(2)[1]) & (2**31 - 1)


def checked_actions(actions: np.ndarray, n_envs: int, n_actions: int) -> list[int]:
    """
    :return: one action per environment
    :raises ValueError: if they are not `n_envs` integers in [0, `n_actions`)
    """
    actions = np.asarray(actions)
    whole = actions.shape == (n_envs,) and np.issubdtype(actions.dtype, np.integer)
    if not whole or actions.min() < 0 or actions.max() >= n_actions:
        raise ValueError(f"actions={actions!r}: pass {n_envs} integers from 0 to {n_actions - 1}")
    return actions.tolist()
