"""Regular environments as created by the zoo's ``enjoy``, for commands that display or record them."""

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
    """:raises ValueError: if the environment is not registered"""
    try:
        gym.spec(env_id)
    except gym.error.Error as error:
        raise ValueError(f"Unknown environment {env_id} ({_one_line(error)})") from error


def is_atari(env_id: str) -> bool:
    """:raises ValueError: if the environment is not registered"""
    check_env_id(env_id)
    return is_atari_game(env_id)


def create_untrained(env_id: str, hyperparams: Mapping[str, Any], seed: int) -> VecEnv:
    """
    Create one environment as in training with this configuration.

    :param env_id: environment
    :param hyperparams: as in a configuration of the zoo; keys of the algorithm are ignored
    :param seed: of the environment
    :raises ValueError: if the environment is not registered, a wrapper does not fit it, or its observations are not a
        single array
    """
    check_env_id(env_id)
    settings = {**deepcopy(dict(hyperparams)), "normalize": False}
    wanted = env_kwargs_of_presets(env_id, named_classes("env_wrapper", settings.get("env_wrapper")))
    env_kwargs = {**wanted, **settings.pop("env_kwargs", {})}
    try:
        env = create(env_id, settings, env_kwargs, stats_path="", seed=seed)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise ValueError(f"{env_id} has missing dependencies: {_one_line(error)}") from error
    except TypeError as error:  # not a wrapper, or an unknown option
        wrapper = settings.get("env_wrapper")
        raise ValueError(f"env_wrapper: {wrapper} cannot wrap {env_id} ({_one_line(error)})") from error
    if not isinstance(env.observation_space, spaces.Box):
        raise ValueError(
            f"{env_id} has observation space {env.observation_space}: choose an environment with Box observations"
        )
    return env


def create(
    env_id: str, hyperparams: dict[str, Any], env_kwargs: dict[str, Any], stats_path: str | None, seed: int
) -> VecEnv:
    """
    :param env_id: environment
    :param hyperparams: of the run, as the zoo's ``get_saved_hyperparams`` gives them
    :param env_kwargs: of the environment's constructor
    :param stats_path: folder with the normalization statistics; without it, the zoo does not stack frames
    :param seed: of the environment
    :raises ValueError: if it needs a browser and none is found
    """
    _check_browser(env_id, env_kwargs.get("browser"))
    with redirect_stdout(StringIO()):  # the zoo prints every wrapper
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
    """Look for the browser early; otherwise the first reset would fail, long after loading the model."""
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
