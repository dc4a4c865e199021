"""One game of the native environment: episode ends, resets, and the raw score of the full game.

The order of operations follows SB3's wrappers; comments name the wrapper each part replaces.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import ResultsWriter

from sb3_atari_dqn.atari.native_pool import NO_LIMIT, GamePool, Reply
from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.skipping import CONSOLE_FPS

NOOP, FIRE, AFTER_FIRE = 0, 1, 2


class Score:
    """
    Raw return and length of full games (all lives), as SB3's ``Monitor`` logs them beneath the preset wrapper.

    :param env_id: for the header of the monitor file
    :param path: without ``.monitor.csv``; None writes no file
    """

    def __init__(self, env_id: str, path: str | None) -> None:
        self._start = time.time()
        self.writer = None if path is None else ResultsWriter(path, {"t_start": self._start, "env_id": env_id})
        self._raw_return = 0

    def state_dict(self) -> dict[str, Any]:
        """:return: the raw return so far, and the time that rows count from"""
        return {"raw_return": self._raw_return, "start": self._start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """:param state: from `state_dict`"""
        self._raw_return, self._start = state["raw_return"], state["start"]

    def begin(self, noop_return: int) -> None:
        self._raw_return = noop_return

    def add(self, reward: int) -> None:
        self._raw_return += reward

    def end(self, length_frames: int) -> dict[str, float]:
        """
        :param length_frames: raw frames of the game, including no-ops
        :return: raw return, length and seconds since the start, under Monitor's names
        """
        row = {"r": float(self._raw_return), "l": length_frames, "t": round(time.time() - self._start, 6)}
        if self.writer is not None:
            self.writer.write_row(row)
        return row

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class NativeGame:
    """
    One game of a pool. ``get_attr`` and ``env_method`` of the vectorized environment read its public attributes.

    :param pool: the C++ games
    :param number: index of this game in the pool
    :param env_id: registered environment
    :param preset: the preprocessing
    :param max_frames: raw frames after which a game is truncated; None for no limit
    :param observation_space: of one stacked observation
    :param monitor_dir: folder for ``NUMBER.monitor.csv``; None writes no file
    :param render_mode: "rgb_array" keeps the last screen for :meth:`render`
    """

    def __init__(
        self,
        pool: GamePool,
        number: int,
        env_id: str,
        preset: AtariPreset,
        max_frames: int | None,
        observation_space: spaces.Box,
        monitor_dir: str | None,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": CONSOLE_FPS / preset.frame_skip}
        self._screen: np.ndarray | None = None
        self.spec = gym.spec(env_id)
        self.preset = preset
        self.observation_space = observation_space
        self.action_space = spaces.Discrete(len(pool.opening.actions))
        self.lives = 0
        self._pool = pool
        self._number = number
        self._max_frames = max_frames or NO_LIMIT
        self.fires = preset.fire_on_reset and "FIRE" in pool.opening.actions
        self._over = True  # EpisodicLifeEnv.was_real_done
        self._latest: Reply | None = None  # without the screen
        self._frames_before = 0  # the journal loaded the game again: frames until then
        self._score = Score(env_id, None if monitor_dir is None else os.path.join(monitor_dir, str(number)))

    @property
    def unwrapped(self) -> NativeGame:
        return self

    @property
    def monitor_writer(self) -> ResultsWriter | None:
        """What writes the monitor file of this game"""
        return self._score.writer

    def get_action_meanings(self) -> list[str]:
        return list(self._pool.opening.actions)

    def render(self) -> np.ndarray:
        """
        The RGB screen behind the newest frame of the observation: the maximum over the last two raw frames if the
        preset pools them, else the last one.

        :return: a copy, uint8 [H, W, 3]
        :raises NotImplementedError: without ``render_mode="rgb_array"``
        :raises RuntimeError: before the first reset
        """
        if self.render_mode is None:
            raise NotImplementedError(
                "render_mode is None: create the native environment with render_mode='rgb_array', or use regular "
                "environments (native_envs: false in the zoo)"
            )
        if self._screen is None:
            raise RuntimeError("render() called before reset(): call reset() first")
        return self._screen.copy()

    def process(self, reply: Reply) -> tuple[bool, dict[str, Any]]:
        """
        EpisodicLifeEnv.step: process the result of an action.

        :param reply: the result
        :return: done, and the info dictionary
        """
        over, truncated, info = self._monitor_step(reply)
        self._over = over or truncated
        terminated = over or (self.preset.terminal_on_life_loss and 0 < reply.lives < self.lives)
        self.lives = reply.lives
        info["TimeLimit.truncated"] = truncated and not terminated
        return terminated or truncated, info

    def restart(self, seed: int | None = None) -> np.ndarray:
        """
        FireResetEnv.reset: start the next episode.

        :param seed: in [0, 2**31); if given, reload the ROM and start a new game, even in the middle of one
        :return: its first frame, uint8 [C, H, W]
        """
        frame = self._next_episode(seed)
        if not self.fires:
            return frame
        for action in (FIRE, AFTER_FIRE):
            reply = self._pool.play(self._number, action)
            if self.process(reply)[0]:
                self._next_episode(None)
        return reply.frame

    def restart_game(self) -> np.ndarray:
        """Start a new game, regardless of the state of the current one; returns what :meth:`restart` returns."""
        self._over = True
        return self.restart()

    def close(self) -> None:
        self._score.close()

    def state_dict(self) -> dict[str, Any]:
        """:return: all but the game in C++; of that, the newest frame and counts, to compare a rebuilt one with"""
        latest = self._latest
        return {
            "lives": self.lives,
            "over": self._over,
            "frames_before": self._frames_before,
            "score": self._score.state_dict(),
            "frame": None if latest is None else latest.frame.copy(),
            "counts": None if latest is None else _counts(latest),
        }

    def load_state_dict(self, state: Mapping[str, Any], reply: Reply | None) -> None:
        """
        :param state: from `state_dict`
        :param reply: the last one of the rebuilt game, see :meth:`check_rebuilt`
        """
        self.lives, self._over, self._frames_before = state["lives"], state["over"], state["frames_before"]
        self._score.load_state_dict(state["score"])
        self._latest = None
        if reply is not None:
            self._keep(reply)

    def check_rebuilt(self, state: Mapping[str, Any], reply: Reply | None) -> None:
        """
        :param state: from `state_dict`
        :param reply: the last one of the rebuilt game
        :raises ValueError: if it is not the one that the state was taken after
        """
        if reply is None or state["frame"] is None:
            same = reply is None and state["frame"] is None
        else:
            same = _counts(reply) == state["counts"] and np.array_equal(reply.frame, state["frame"])
        if not same:
            raise ValueError(
                f"Game {self._number}: the same seed and actions give another game of {self.spec.id} here; it was "
                "created with other settings, or recorded with another version of ale-py"
            )

    def _monitor_step(self, reply: Reply) -> tuple[bool, bool, dict[str, Any]]:
        """
        Monitor.step and the frame limit. C++ does not count the no-ops, so it may play up to frame_skip - 1 frames
        past the limit.

        :return: whether the game is over, whether it reached the limit, and the info dictionary
        """
        self._keep(reply)
        beyond = max(0, reply.episode_frames - self._max_frames)
        length = reply.episode_frames - beyond
        info: dict[str, Any] = {
            "lives": reply.lives,
            "episode_frame_number": length,
            "frame_number": self._frames_before + reply.frames,
        }
        over, truncated = reply.over and not beyond, length == self._max_frames
        self._score.add(reply.reward)
        if over or truncated:
            info["episode"] = self._score.end(length - self._pool.opening.frames)
        return over, truncated, info

    def _next_episode(self, seed: int | None) -> np.ndarray:
        """EpisodicLifeEnv.reset: after a lost life, continue the game with one no-op."""
        if seed is not None or self._over or not self.preset.terminal_on_life_loss:
            return self._new_game(seed)
        reply = self._pool.play(self._number, NOOP)
        over, truncated, _ = self._monitor_step(reply)
        self.lives = reply.lives
        return self._new_game(None) if over or truncated else reply.frame

    def _new_game(self, seed: int | None) -> np.ndarray:
        """NoopResetEnv.reset and Monitor.reset."""
        if seed is not None:
            self._frames_before = 0
        elif (seed := self._reload_seed()) is not None and self._latest is not None:
            self._frames_before += self._latest.frames
        reply, noop_return = self._pool.reset(self._number, seed)
        self._keep(reply)
        self._score.begin(noop_return)
        self.lives = reply.lives
        return reply.frame

    def _reload_seed(self) -> int | None:
        """:return: the seed to load this game again with, once its journal has become long"""
        journal, limit = self._pool.journals[self._number], self._pool.reload_after
        return None if journal is None or limit is None or len(journal.entries) < limit else journal.next_seed()

    def _keep(self, reply: Reply) -> None:
        if self.render_mode is not None:
            self._screen = reply.screen
        self._latest = reply._replace(screen=_NO_SCREEN)


_NO_SCREEN = np.empty((0, 0, 3), np.uint8)


def _counts(reply: Reply) -> list[int]:
    return [reply.lives, reply.episode_frames, reply.frames]
