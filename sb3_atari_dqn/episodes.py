"""Playing whole games with a trained model, one step after the other. Knows SB3, not the zoo."""

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
    :param score: raw return so far, or what the environment itself counts
    :param env_steps: actions taken
    :param raw_frames: of the emulator since its reset, no-ops included; None for what is no Atari game
    :param actions: how often each action was taken, by its name; empty for actions that cannot be counted
    :param finished: not cut short
    """

    score: float = 0.0
    env_steps: int = 0
    raw_frames: int | None = None
    actions: Counter[str] = field(default_factory=Counter)
    finished: bool = False


@dataclass(frozen=True)
class Step:
    """
    A decision: what was seen, and what will be done.

    :param picture: what the game shows, uint8 [H, W, 3]
    :param observation: what the agent gets, without the axis of the environments
    :param action: its choice, as the environment takes it
    :param place: of that choice among the actions that can be counted, from 0
    :param number: of the game, from 1
    :param game: before the action
    """

    picture: np.ndarray
    observation: Any
    action: Any
    place: int
    number: int
    game: EpisodeStats


class EpisodePlayer:
    """
    Plays a model as the zoo's ``enjoy`` does, and keeps count.

    :param model: any of SB3's algorithms
    :param env: one environment that renders, with SB3's Monitor in it: a game ends where that says so, whatever a
        wrapper makes of lost lives
    :param deterministic: the model's best action, no exploration
    :param score_key: under which the environment's info tells the score; None: the score is the return
    """

    def __init__(self, model: Any, env: VecEnv, deterministic: bool, score_key: str | None = None) -> None:
        self.games: list[EpisodeStats] = []
        self._model, self._env, self._deterministic, self._score_key = model, env, deterministic, score_key
        single: gym.Env = env.unwrapped.envs[0]  # type: ignore[attr-defined]
        self._emulator = getattr(single.unwrapped, "ale", None)
        self._monitor = _monitor_of(single)
        self.action_names = action_names(single, env.action_space)

    def steps(self, n_games: int, max_steps: int | None = None) -> Iterator[Step]:
        """
        :param n_games: whole games
        :param max_steps: actions after which the game is cut short, over all games
        :return: one per action, before it is taken; :attr:`games` grows with them
        """
        observations, states, starts = self._env.reset(), None, np.ones(1, bool)
        game = self._begin()
        taken = 0
        while taken != max_steps:
            actions, states = self._model.predict(
                observations, state=states, episode_start=starts, deterministic=self._deterministic
            )
            place = self._place(actions[0])
            yield Step(self._picture(), _only(observations), actions[0], place, len(self.games), game)
            rewards = self._monitor.rewards  # grows in this step, and is left behind where the step resets the game
            observations, _, starts, infos = self._env.step(actions)
            taken += 1
            score = sum(rewards) if self._score_key is None else infos[0][self._score_key]
            self._count(game, place, infos[0], float(score))
            if game.finished and len(self.games) == n_games:
                return
            game = self._begin() if game.finished else game

    def _picture(self) -> np.ndarray:
        """:raises ValueError: if the environment renders nothing"""
        picture = self._env.get_images()[0]
        if picture is None:
            raise ValueError(f"{self._env} renders no picture: build it with render_mode='rgb_array'")
        return picture

    def _begin(self) -> EpisodeStats:
        self.games.append(EpisodeStats(raw_frames=self._frames()))
        return self.games[-1]

    def _place(self, action: Any) -> int:
        return int(action) - int(self._env.action_space.start) if self.action_names else 0  # type: ignore[attr-defined]

    def _count(self, game: EpisodeStats, place: int, info: dict[str, Any], score: float) -> None:
        game.env_steps += 1
        game.score = score
        if self.action_names:
            game.actions[self.action_names[place]] += 1
        # A time limit outside of the Monitor ends games, too.
        game.finished = "episode" in info or bool(info.get("TimeLimit.truncated"))
        # A game that is over has been reset since: its emulator counts the next one.
        game.raw_frames = info.get("episode_frame_number") if game.finished else self._frames()

    def _frames(self) -> int | None:
        return None if self._emulator is None else self._emulator.getEpisodeFrameNumber()


def action_names(env: gym.Env, space: spaces.Space) -> list[str]:
    """
    :param env: a game and the wrappers around it
    :param space: of the actions that the agent chooses from
    :return: the game's names of them, numbers where it has none, nothing for actions that are not discrete
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
    raise ValueError(f"Nobody counts the score in {env}: wrap it in stable_baselines3.common.monitor.Monitor")


def _only(observations: Any) -> Any:
    """:return: the observation of the first environment"""
    if isinstance(observations, dict):
        return {key: value[0].copy() for key, value in observations.items()}
    return observations[0].copy()
