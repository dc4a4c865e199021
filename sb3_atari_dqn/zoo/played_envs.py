"""Ordinary environments as the zoo's ``enjoy`` builds them, for commands that show what happens in them."""

from collections.abc import Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from io import StringIO
from typing import Any

import gymnasium as gym
import rl_zoo3.import_envs  # noqa: F401 (registers the games)
from gymnasium import spaces
from rl_zoo3.utils import create_test_env
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.zoo.experiment import env_kwargs_of_presets, is_atari_game
from sb3_atari_dqn.zoo.named_classes import named_classes


def check_env_id(env_id: str) -> None:
    """:raises ValueError: if gymnasium knows no such environment"""
    try:
        gym.spec(env_id)
    except gym.error.Error as error:
        raise ValueError(f"There is no environment {env_id} ({_one_line(error)})") from error


def is_atari(env_id: str) -> bool:
    """:raises ValueError: if gymnasium knows no such environment"""
    check_env_id(env_id)
    return is_atari_game(env_id)


def create_untrained(env_id: str, hyperparams: Mapping[str, Any], seed: int) -> VecEnv:
    """
    One environment as a training with this configuration would build it.

    :param env_id: environment
    :param hyperparams: as in a configuration of the zoo; keys of the learner are ignored
    :param seed: of the environment
    :raises ValueError: if there is no such environment, a wrapper does not fit it, or it shows several things at once
    """
    check_env_id(env_id)
    settings = {**deepcopy(dict(hyperparams)), "normalize": False}
    wanted = env_kwargs_of_presets(env_id, named_classes("env_wrapper", settings.get("env_wrapper")))
    env_kwargs = {**wanted, **settings.pop("env_kwargs", {})}
    try:
        env = create(env_id, settings, env_kwargs, stats_path="", seed=seed)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise ValueError(f"{env_id} needs what is not installed: {_one_line(error)}") from error
    except TypeError as error:  # what is no wrapper, or has no such option
        raise ValueError(f"{settings.get('env_wrapper')} does not fit around {env_id} ({_one_line(error)})") from error
    if not isinstance(env.observation_space, spaces.Box):
        raise ValueError(f"{env_id} shows {env.observation_space}: choose an environment that shows one picture")
    return env


def create(
    env_id: str, hyperparams: dict[str, Any], env_kwargs: dict[str, Any], stats_path: str | None, seed: int
) -> VecEnv:
    """
    :param env_id: environment
    :param hyperparams: of the run, as the zoo's ``get_saved_hyperparams`` gives them
    :param env_kwargs: of the environment's constructor
    :param stats_path: folder with the normalization; the zoo stacks no frames without one
    :param seed: of the environment
    :raises ValueError: if it is played in a browser and there is none
    """
    _check_browser(env_id, env_kwargs.get("browser"))
    with redirect_stdout(StringIO()):  # the zoo announces every layer
        return create_test_env(
            env_id,
            n_envs=1,
            stats_path=stats_path,
            seed=seed,
            should_render=False,
            hyperparams=deepcopy(hyperparams),
            env_kwargs=env_kwargs,
        )


def _check_browser(env_id: str, asked: str | None) -> None:
    """Without it the first reset would say so, long after the model was loaded."""
    if not str(gym.spec(env_id).entry_point).startswith("sb3_atari_dqn.dino"):
        return
    from sb3_atari_dqn.dino.browser import find_browser
    from sb3_atari_dqn.dino.faults import NoBrowser

    try:
        find_browser(asked)
    except NoBrowser as error:
        raise ValueError(str(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
