"""What is done to a game on its way to the agent, in words."""

import gymnasium as gym
from ale_py.env import AtariEnv
from stable_baselines3.common.monitor import Monitor

from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import AtariPresetWrapper


def settings_of(env: gym.Env) -> str:
    """
    :param env: a game and the wrappers around it
    :return: one line
    """
    game, wrappers = env.unwrapped, []
    settings = _of_game(game) if isinstance(game, AtariEnv) else []
    while isinstance(env, gym.Wrapper):
        if isinstance(env, AtariPresetWrapper):
            settings += _of_preset(env.preset)
        elif not (_of_gymnasium(env) or isinstance(env, Monitor)):
            wrappers.append(type(env).__name__)
        env = env.env
    return "; ".join(settings or wrappers[::-1]) or "as it is"


def _of_gymnasium(wrapper: gym.Wrapper) -> bool:
    """:return: whether it is one of its own wrappers, or the zoo's edition of one"""
    return type(wrapper).__module__.split(".")[0] == "gymnasium" or isinstance(wrapper, gym.wrappers.TimeLimit)


def _of_game(game: AtariEnv) -> list[str]:
    settings = []
    skip = game._frameskip
    if isinstance(skip, tuple):
        settings.append(f"the game skips {skip[0]} to {skip[1] - 1} frames at random")
    elif skip > 1:
        settings.append(f"the game holds each action for {skip} frames")
    if (chance := game.ale.getFloat("repeat_action_probability")) > 0:
        settings.append(f"sticky actions ({chance:g})")
    return settings


def _of_preset(preset: AtariPreset) -> list[str]:
    said = {
        f"each action held for {preset.frame_skip} frames": preset.frame_skip > 1,
        f"sticky actions ({preset.action_repeat_probability})": preset.action_repeat_probability,
        f"1 to {preset.noop_max} no-ops after a reset": preset.noop_max,
        "FIRE after a reset where there is that button": preset.fire_on_reset,
        "a lost life ends the episode": preset.terminal_on_life_loss,
        "rewards clipped to -1, 0, 1": preset.clip_reward,
        f"rewards times {preset.reward_scale:g}": preset.reward_scale != 1,
        f"crop {preset.crop}": preset.crop,
        f"gray by {preset.grayscale}": preset.grayscale,
        f"size {preset.size} by {preset.resize}": preset.size,
    }
    return [text for text, holds in said.items() if holds]
