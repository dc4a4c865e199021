"""One game of the native environment: when an episode ends, how the next begins, and the score of the whole game.

The order of things is that of SB3's wrappers, whose names stand beside them.
"""

from __future__ import annotations

import os
import time
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
    Raw return and length of whole games, as SB3's ``Monitor`` writes them when it stands beneath the preset.

    :param env_id: for the head of the file
    :param path: without ``.monitor.csv``; None writes no file
    """

    def __init__(self, env_id: str, path: str | None) -> None:
        self._start = time.time()
        self._writer = None if path is None else ResultsWriter(path, {"t_start": self._start, "env_id": env_id})
        self._raw_return = 0

    def begin(self, paid: int) -> None:
        self._raw_return = paid

    def add(self, reward: int) -> None:
        self._raw_return += reward

    def end(self, length_frames: int) -> dict[str, float]:
        """
        :param length_frames: raw frames of the game, no-ops included
        :return: raw return, length and seconds since the start, under Monitor's names
        """
        row = {"r": float(self._raw_return), "l": length_frames, "t": round(time.time() - self._start, 6)}
        if self._writer is not None:
            self._writer.write_row(row)
        return row

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class NativeGame:
    """
    One of the games of a pool. Its public attributes are what ``get_attr`` and ``env_method`` of the vector
    environment find.

    :param pool: the games in C++
    :param number: which of them
    :param env_id: registered environment
    :param preset: the preprocessing
    :param max_frames: raw frames after which a game is truncated; None for no limit
    :param observation_space: of one observation, with its stack
    :param monitor_dir: folder for ``NUMBER.monitor.csv``; None writes no file
    :param render_mode: "rgb_array" keeps the last picture for :meth:`render`
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
        self._score = Score(env_id, None if monitor_dir is None else os.path.join(monitor_dir, str(number)))

    @property
    def unwrapped(self) -> NativeGame:
        return self

    def get_action_meanings(self) -> list[str]:
        return list(self._pool.opening.actions)

    def render(self) -> np.ndarray:
        """
        The colour picture that the newest frame of the observation was made of: the maximum over the last two raw
        frames where the preset pools them, else the last one.

        :return: uint8 [H, W, 3], the caller's own
        :raises NotImplementedError: without ``render_mode="rgb_array"``
        :raises RuntimeError: before the first reset
        """
        if self.render_mode is None:
            raise NotImplementedError(
                "These native Atari games keep no pictures: build them with render_mode='rgb_array', or build ordinary "
                "environments (the zoo's native_envs: false)"
            )
        if self._screen is None:
            raise RuntimeError("render() before reset(): there is no picture yet")
        return self._screen.copy()

    def absorb(self, reply: Reply) -> tuple[bool, dict[str, Any]]:
        """
        EpisodicLifeEnv.step: account for an action that was played.

        :param reply: its result
        :return: whether the episode is over, and the information for the learner
        """
        over, truncated, info = self._account(reply)
        self._over = over or truncated
        terminated = over or (self.preset.terminal_on_life_loss and 0 < reply.lives < self.lives)
        self.lives = reply.lives
        info["TimeLimit.truncated"] = truncated and not terminated
        return terminated or truncated, info

    def restart(self, seed: int | None = None) -> np.ndarray:
        """
        FireResetEnv.reset: begin the next episode.

        :param seed: in [0, 2**31): begin a new game even in the middle of one, loaded anew
        :return: its first frame, uint8 [C, H, W]
        """
        frame = self._begin(seed)
        if not self.fires:
            return frame
        for action in (FIRE, AFTER_FIRE):
            reply = self._pool.play(self._number, action)
            if self.absorb(reply)[0]:
                self._begin(None)
        return reply.frame

    def abandon(self) -> np.ndarray:
        """Begin a new game, whatever state this one is in; :meth:`restart`'s frame."""
        self._over = True
        return self.restart()

    def close(self) -> None:
        self._score.close()

    def _account(self, reply: Reply) -> tuple[bool, bool, dict[str, Any]]:
        """
        Monitor.step, and the frame limit: C++ would not count the no-ops, so it plays up to frame_skip - 1 on.

        :return: whether the game has ended, whether it has reached its limit, and the information for the learner
        """
        self._look(reply)
        beyond = max(0, reply.episode_frames - self._max_frames)
        length = reply.episode_frames - beyond
        info: dict[str, Any] = {
            "lives": reply.lives,
            "episode_frame_number": length,
            "frame_number": reply.frames,
        }
        over, truncated = reply.over and not beyond, length == self._max_frames
        self._score.add(reply.reward)
        if over or truncated:
            info["episode"] = self._score.end(length - self._pool.opening.frames)
        return over, truncated, info

    def _begin(self, seed: int | None) -> np.ndarray:
        """EpisodicLifeEnv.reset: after a lost life the game goes on, with one no-op."""
        if seed is not None or self._over or not self.preset.terminal_on_life_loss:
            return self._new_game(seed)
        reply = self._pool.play(self._number, NOOP)
        over, truncated, _ = self._account(reply)
        self.lives = reply.lives
        return self._new_game(None) if over or truncated else reply.frame

    def _new_game(self, seed: int | None) -> np.ndarray:
        """NoopResetEnv.reset and Monitor.reset."""
        reply, paid = self._pool.reset(self._number, seed)
        self._look(reply)
        self._score.begin(paid)
        self.lives = reply.lives
        return reply.frame

    def _look(self, reply: Reply) -> None:
        if self.render_mode is not None:
            self._screen = reply.screen
