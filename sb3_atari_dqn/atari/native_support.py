"""Which Atari environments ALE's C++ vector environment can play, and how it is told to."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ale_py
import gymnasium as gym
from ale_py.env import AtariEnv

from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import AtariPresetWrapper
from sb3_atari_dqn.validation import as_int, check_between

#: What ``AtariEnv`` is built with where neither the registered environment nor the user says otherwise.
_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(AtariEnv.__init__).parameters.items()
    if parameter.default is not parameter.empty
}

#: Keyword arguments of ``AtariEnv`` that C++ has no word for: the only value it plays, and what that means.
_FIXED = {
    "mode": (None, "plays a game's default mode"),
    "difficulty": (None, "plays a game's default difficulty"),
    "obs_type": ("rgb", "takes its pictures from the screen"),
    "continuous": (False, "takes numbered actions"),
    "sound_obs": (False, "is silent"),
}
#: Pictures are those that C++ delivers anyway; it opens no window.
_RENDER_MODES = (None, "rgb_array")
_EXPRESSIBLE = {"game", "frameskip", "repeat_action_probability", "full_action_space", "max_num_frames_per_episode"}


@dataclass(frozen=True)
class NativeSettings:
    """
    One Atari game as C++ plays it.

    :param game: ROM name, such as ``ms_pacman``
    :param preset: the preprocessing
    :param repeat_action_probability: sticky actions per raw frame, the environment's or the preset's
    :param full_action_space: all 18 actions instead of those the game knows
    :param max_frames: raw frames after which a game is truncated, no-ops included; None for no limit
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
    Can the C++ environment stand in for an environment and its wrappers?

    :param env_id: registered environment
    :param wrappers: classes around it with their keyword arguments, as the zoo's ``env_wrapper`` lists them
    :param env_kwargs: keyword arguments of the environment
    :return: None if it can, else one line that says what it lacks
    """
    wrapper, overrides = wrappers[0] if len(wrappers) == 1 else (object, {})
    if not issubclass(wrapper, AtariPresetWrapper):
        names = ", ".join(wrapper.__name__ for wrapper, _ in wrappers) or "nothing"
        return f"env_wrapper names {names}, the C++ environment plays one preset alone"
    if own := _own_code(wrapper):
        return f"{wrapper.__name__} has code of its own ({', '.join(sorted(own))}), the C++ environment runs none"
    return preset_obstacle(env_id, wrapper.preset.with_overrides(overrides), env_kwargs)


def preset_obstacle(env_id: str, preset: AtariPreset, env_kwargs: Mapping[str, Any] | None = None) -> str | None:
    """
    :param env_id: registered environment
    :param preset: the preprocessing
    :param env_kwargs: keyword arguments of the environment
    :return: None if the C++ environment can play it, else one line that says what it lacks
    """
    if obstacle := _build_obstacle():
        return obstacle
    spec = gym.spec(env_id)
    if "AtariEnv" not in str(spec.entry_point):
        return f"{env_id} is no Atari game of ale-py"
    if spec.max_episode_steps is not None or spec.additional_wrappers:
        return f"{env_id} is registered with wrappers of its own, the C++ environment runs none"
    kwargs = {**_DEFAULTS, **spec.kwargs, **(env_kwargs or {})}
    return _kwargs_obstacle(kwargs) or _time_obstacle(kwargs, preset)


def native_settings(env_id: str, preset: AtariPreset, env_kwargs: Mapping[str, Any] | None = None) -> NativeSettings:
    """
    :param env_id: registered environment
    :param preset: the preprocessing
    :param env_kwargs: keyword arguments of the environment
    :return: what the C++ environment must be told
    :raises ValueError: where it cannot play that
    """
    if obstacle := preset_obstacle(env_id, preset, env_kwargs):
        raise ValueError(f"{obstacle}: build {env_id} with make_vec_env and the preset's wrapper class instead")
    kwargs = {**_DEFAULTS, **gym.spec(env_id).kwargs, **(env_kwargs or {})}
    _check_values(kwargs)
    sticky = preset.action_repeat_probability or kwargs["repeat_action_probability"]
    limit = kwargs["max_num_frames_per_episode"]
    limit = None if limit is None or limit <= 0 else int(limit)  # as ALE reads them
    return NativeSettings(
        kwargs["game"], preset, float(sticky), kwargs["full_action_space"], limit, kwargs["render_mode"]
    )


def _check_values(kwargs: Mapping[str, Any]) -> None:
    """:raises ValueError: on what C++ would play in some way of its own, or stumble over much later"""
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
    """:return: methods and properties that a subclass of the preset wrapper defines"""
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
            return f"{name}={kwargs[name]!r} is asked for, the C++ environment {means}"
    if kwargs["render_mode"] not in _RENDER_MODES:
        return f"render_mode={kwargs['render_mode']!r} is asked for, the C++ environment renders 'rgb_array' or nothing"
    unknown = sorted(set(kwargs) - set(_DEFAULTS) - _EXPRESSIBLE)
    return f"the C++ environment knows no {', '.join(unknown)}" if unknown else None


def _time_obstacle(kwargs: Mapping[str, Any], preset: AtariPreset) -> str | None:
    if kwargs["frameskip"] != 1:
        return f"the game skips frames itself (frameskip={kwargs['frameskip']}), the C++ environment skips the preset's"
    if preset.max_pool_frames > 2:
        return f"max_pool_frames={preset.max_pool_frames}, the C++ environment pools two frames or none"
    if preset.action_repeat_probability is not None and kwargs["repeat_action_probability"] > 0:
        return "preset and environment both repeat actions"
    return None
