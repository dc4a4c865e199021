"""Plays full episodes (over all lives) with a trained model, step by step. Uses SB3, not the zoo."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv


@dataclass
class EpisodeStats:
    """
    :param score: raw return so far, or the environment's own score
    :param env_steps: actions taken
    :param raw_frames: of the emulator since its reset, including no-ops; None outside Atari
    :param actions: how often each action was taken, by name; empty for action spaces that are not discrete
    :param finished: whether it ended, and was not interrupted
    """

    score: float = 0.0
    env_steps: int = 0
    raw_frames: int | None = None
    actions: Counter[str] = field(default_factory=Counter)
    finished: bool = False


@dataclass(frozen=True)
class Step:
    """
    One decision: the observation, and the selected action before it is executed.

    :param picture: the rendered image, uint8 [H, W, 3]
    :param observation: of the agent, without the batch axis
    :param action: as the environment takes it
    :param place: index of the action in a discrete action space, from 0
    :param number: of the episode, from 1
    :param episode: statistics before the action
    """

    picture: np.ndarray
    observation: Any
    action: Any
    place: int
    number: int
    episode: EpisodeStats


class EpisodePlayer:
    """
    Plays a model like the zoo's ``enjoy``, and collects statistics.

    :param model: any algorithm of SB3
    :param env: one environment that renders, with SB3's Monitor inside, which determines the end of an episode; outer
        wrappers that end episodes on a lost life have no effect
    :param deterministic: deterministic policy, without exploration
    :param score_key: key of the score in the environment's info; None: the score is the return
    """

    def __init__(self, model: Any, env: VecEnv, deterministic: bool, score_key: str | None = None) -> None:
        self.episodes: list[EpisodeStats] = []
        self._model, self._env, self._deterministic, self._score_key = model, env, deterministic, score_key
        single: gym.Env = env.unwrapped.envs[0]  # type: ignore[attr-defined]
        self._emulator = getattr(single.unwrapped, "ale", None)
        self._monitor = _monitor_of(single)
        self.action_names = action_names(single, env.action_space)

    def steps(self, n_episodes: int, max_steps: int | None = None) -> Iterator[Step]:
        """
        :param n_episodes: number of full episodes
        :param max_steps: limit of steps over all episodes
        :return: one per action, before it is executed; :attr:`episodes` grows with them
        """
        observations, states, starts = self._env.reset(), None, np.ones(1, bool)
        episode = self._begin()
        taken = 0
        while taken != max_steps:
            actions, states = self._model.predict(
                observations, state=states, episode_start=starts, deterministic=self._deterministic
            )
            place = self._place(actions[0])
            yield Step(self._picture(), _only(observations), actions[0], place, len(self.episodes), episode)
            rewards = self._monitor.rewards  # grows in this step; a reset within the step starts another list
            observations, _, starts, infos = self._env.step(actions)
            taken += 1
            score = sum(rewards) if self._score_key is None else infos[0][self._score_key]
            self._count(episode, place, infos[0], float(score))
            if episode.finished and len(self.episodes) == n_episodes:
                return
            episode = self._begin() if episode.finished else episode

    def _picture(self) -> np.ndarray:
        """:raises ValueError: if the environment does not render"""
        picture = self._env.get_images()[0]
        if picture is None:
            raise ValueError(f"{self._env} does not render: build it with render_mode='rgb_array'")
        return picture

    def _begin(self) -> EpisodeStats:
        self.episodes.append(EpisodeStats(raw_frames=self._frames()))
        return self.episodes[-1]

    def _place(self, action: Any) -> int:
        return int(action) - int(self._env.action_space.start) if self.action_names else 0  # type: ignore[attr-defined]

    def _count(self, episode: EpisodeStats, place: int, info: dict[str, Any], score: float) -> None:
        episode.env_steps += 1
        episode.score = score
        if self.action_names:
            episode.actions[self.action_names[place]] += 1
        # A time limit outside the Monitor ends episodes, too.
        episode.finished = "episode" in info or bool(info.get("TimeLimit.truncated"))
        # After its end the environment has been reset: the emulator counts the next episode.
        episode.raw_frames = info.get("episode_frame_number") if episode.finished else self._frames()

    def _frames(self) -> int | None:
        return None if self._emulator is None else self._emulator.getEpisodeFrameNumber()


def action_names(env: gym.Env, space: spaces.Space) -> list[str]:
    """
    :param env: an environment with its wrappers
    :param space: action space of the agent
    :return: the game's action names, numbers if it has none, [] for action spaces that are not discrete
    """
    if not isinstance(space, spaces.Discrete):
        return []
    meanings: list[str] = getattr(env.unwrapped, "get_action_meanings", list)()
    return list(meanings) if len(meanings) == space.n else [str(space.start + number) for number in range(int(space.n))]


def _monitor_of(env: gym.Env) -> Monitor:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Monitor):
            return env
        env = env.env
    raise ValueError(f"{env} has no Monitor that counts the score: wrap it in stable_baselines3.common.monitor.Monitor")


def _only(observations: Any) -> Any:
    """:return: the observation of the first environment"""
    if isinstance(observations, dict):
        return {key: value[0].copy() for key, value in observations.items()}
    return observations[0].copy()
