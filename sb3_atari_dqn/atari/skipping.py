"""Frame skip with max-pooling, and the number of agent steps per second that results."""

import contextlib
from collections import deque
from collections.abc import Mapping
from functools import reduce
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv
from stable_baselines3.common.vec_env import VecEnv

#: Frame rate of the Atari 2600 (NTSC).
CONSOLE_FPS = 60


class SkipAndPoolEnv(gym.Wrapper[np.ndarray, int, np.ndarray, int]):
    """
    Repeat each action for ``skip`` frames and return the maximum over the last ``pool`` of them.

    If the episode ends early, the maximum covers the last frames seen; SB3's ``MaxAndSkipEnv`` (pool 2) may return
    frames of the previous step.

    :param env: environment to wrap
    :param skip: frames per action
    :param pool: number of frames to max-pool, at most ``skip``
    """

    def __init__(self, env: gym.Env, skip: int, pool: int) -> None:
        super().__init__(env)
        self._skip = skip
        self._pool = pool

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """
        :param action: the action to repeat
        :return: pooled frame, sum of rewards, terminated, truncated, info of the last frame
        """
        window: deque[np.ndarray] = deque(maxlen=self._pool)
        total_reward = 0.0
        for _ in range(self._skip):
            frame, reward, terminated, truncated, info = self.env.step(action)
            window.append(frame)
            total_reward += float(reward)
            if terminated or truncated:
                break
        return reduce(np.maximum, window), total_reward, terminated, truncated, info


class GameSpeed(gym.Wrapper[Any, int, Any, int]):
    """
    Sets ``metadata["render_fps"]`` to agent steps per second, for environments without a preset.

    The environment's own value ignores frame-skipping wrappers, so recorded videos would play too fast.

    :param env: an Atari game with its frame-skipping wrappers
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.metadata = {**env.metadata, "render_fps": actions_per_second(env)}


def actions_per_second(env: gym.Env | VecEnv) -> float:
    """
    :param env: an environment with its wrappers; of a vectorized environment the first
    :return: agent steps per second when the game runs at its original speed
    """
    if isinstance(env, VecEnv):
        games = getattr(env.unwrapped, "envs", None)  # a SubprocVecEnv has none in this process
        return actions_per_second(games[0]) if games else _render_fps(env.get_attr("metadata", [0])[0])
    game = env.unwrapped
    if not isinstance(game, AtariEnv):
        return _render_fps(env.metadata)
    skip = game._frameskip
    frames = (skip[0] + skip[1] - 1) / 2 if isinstance(skip, tuple) else skip
    while isinstance(env, gym.Wrapper):
        if isinstance(env, MaxAndSkipEnv | SkipAndPoolEnv):
            frames *= env._skip
        env = env.env
    return CONSOLE_FPS / frames


def _render_fps(metadata: Mapping[str, Any]) -> float:
    return float(metadata.get("render_fps") or 30)


def own_skip(env_id: str, env_kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """
    :param env_id: an environment, registered or not
    :param env_kwargs: its keyword arguments
    :return: minimum and maximum frames per step, before any wrapper; 1 if unknown
    """
    skip = {**_registered(env_id), **env_kwargs}.get("frameskip", 1)
    return (int(skip[0]), int(skip[1]) - 1) if isinstance(skip, list | tuple) else (int(skip), int(skip))


def own_stickiness(env_id: str, env_kwargs: Mapping[str, Any]) -> float:
    """
    :param env_id: an environment, registered or not
    :param env_kwargs: its keyword arguments
    :return: its probability of repeating the previous action, before any wrapper; 0 if unknown
    """
    return float({**_registered(env_id), **env_kwargs}.get("repeat_action_probability", 0.0))


def _registered(env_id: str) -> Mapping[str, Any]:
    """:return: keyword arguments that the environment is registered with; {} if it is not registered"""
    gym.register_envs(ale_py)
    if ":" not in env_id:  # gymnasium would import the module before the colon, and the id may be untrusted
        with contextlib.suppress(gym.error.Error):
            return gym.spec(env_id).kwargs
    return {}
