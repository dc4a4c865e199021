"""Frames that pass while an action is held."""

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

#: Of the Atari 2600 on an American television.
CONSOLE_FPS = 60


class SkipAndPoolEnv(gym.Wrapper[np.ndarray, int, np.ndarray, int]):
    """
    Hold each action for ``skip`` frames and return the maximum over the last ``pool`` of them.

    When a game ends early the pool takes the last frames there were, where SB3's ``MaxAndSkipEnv`` (pool 2) may
    still hold frames of the step before.

    :param env: environment to wrap
    :param skip: frames each action is held
    :param pool: frames in the maximum, at most ``skip``
    """

    def __init__(self, env: gym.Env, skip: int, pool: int) -> None:
        super().__init__(env)
        self._skip = skip
        self._pool = pool

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """
        :param action: the action to hold
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
    Tells recorders how many actions of a game make a second, for environments without a preset.

    The game's own number (``metadata["render_fps"]``) knows nothing of the frames that are skipped.

    :param env: an Atari game, with what skips frames
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.metadata = {**env.metadata, "render_fps": actions_per_second(env)}


def actions_per_second(env: gym.Env | VecEnv) -> float:
    """
    :param env: a game and the wrappers around it; of several games the first
    :return: how many actions per second people would see in the game at its own speed
    """
    if isinstance(env, VecEnv):
        games = getattr(env.unwrapped, "envs", None)  # there are none in this process, of a SubprocVecEnv
        return actions_per_second(games[0]) if games else _told(env.get_attr("metadata", [0])[0])
    game = env.unwrapped
    if not isinstance(game, AtariEnv):
        return _told(env.metadata)
    skip = game._frameskip
    frames = (skip[0] + skip[1] - 1) / 2 if isinstance(skip, tuple) else skip
    while isinstance(env, gym.Wrapper):
        if isinstance(env, MaxAndSkipEnv | SkipAndPoolEnv):
            frames *= env._skip
        env = env.env
    return CONSOLE_FPS / frames


def _told(metadata: Mapping[str, Any]) -> float:
    return float(metadata.get("render_fps") or 30)


def own_skip(env_id: str, env_kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """
    :param env_id: an environment, known here or not
    :param env_kwargs: that it is built with
    :return: fewest and most frames that it plays per step, before any wrapper; 1 where nobody says
    """
    gym.register_envs(ale_py)
    known: Mapping[str, Any] = {}
    if ":" not in env_id:  # gymnasium would import the module in front of it, whoever wrote that name
        with contextlib.suppress(gym.error.Error):
            known = gym.spec(env_id).kwargs
    skip = {**known, **env_kwargs}.get("frameskip", 1)
    return (int(skip[0]), int(skip[1]) - 1) if isinstance(skip, list | tuple) else (int(skip), int(skip))
