"""A one-line summary of an environment's preprocessing."""

import gymnasium as gym
from ale_py.env import AtariEnv
from stable_baselines3.common.monitor import Monitor

from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import AtariPresetWrapper


def settings_of(env: gym.Env) -> str:
    """
    :param env: an environment with its wrappers
    :return: its preprocessing in one line
    """
    game, wrappers = env.unwrapped, []
    settings = _game_settings(game) if isinstance(game, AtariEnv) else []
    while isinstance(env, gym.Wrapper):
        if isinstance(env, AtariPresetWrapper):
            settings += _preset_settings(env.preset)
        elif not (_is_gymnasium_wrapper(env) or isinstance(env, Monitor)):
            wrappers.append(type(env).__name__)
        env = env.env
    return "; ".join(settings or wrappers[::-1]) or "no preprocessing"


def _is_gymnasium_wrapper(wrapper: gym.Wrapper) -> bool:
    """:return: whether it is one of gymnasium's wrappers, or the zoo's variant of ``TimeLimit``"""
    return type(wrapper).__module__.split(".")[0] == "gymnasium" or isinstance(wrapper, gym.wrappers.TimeLimit)


def _game_settings(game: AtariEnv) -> list[str]:
    settings = []
    skip = game._frameskip
    if isinstance(skip, tuple):
        settings.append(f"random frame skip of {skip[0]} to {skip[1] - 1} in the game itself")
    elif skip > 1:
        settings.append(f"frame skip {skip} in the game itself")
    if (chance := game.ale.getFloat("repeat_action_probability")) > 0:
        settings.append(f"sticky actions ({chance:g})")
    return settings


def _preset_settings(preset: AtariPreset) -> list[str]:
    lines = {
        f"frame skip {preset.frame_skip}": preset.frame_skip > 1,
        f"sticky actions ({preset.action_repeat_probability})": preset.action_repeat_probability,
        f"no-op start of 1 to {preset.noop_max} steps": preset.noop_max,
        "FIRE after a reset if the game has it": preset.fire_on_reset,
        "life-loss termination": preset.terminal_on_life_loss,
        "rewards clipped to -1, 0, 1": preset.clip_reward,
        f"rewards scaled by {preset.reward_scale:g}": preset.reward_scale != 1,
        f"crop {preset.crop}": preset.crop,
        f"grayscale {preset.grayscale}": preset.grayscale,
        f"resized to {preset.size} ({preset.resize})": preset.size,
    }
    return [text for text, holds in lines.items() if holds]
