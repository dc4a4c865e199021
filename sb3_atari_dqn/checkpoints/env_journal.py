"""The actions of an environment that gives no state, and their replay in another one."""

import zlib
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor

from sb3_atari_dqn.checkpoints.state import State

RESET = 255
#: The first new episode after so many steps starts from a seed of its own, and the journal with it: this bounds the
#: replay (some seconds of an Atari game, where a step is a frame; minutes of a slow environment).
RESEED_AFTER = 40_000


class Diverged(ValueError):
    """A replay does not give what the environment gave the first time."""


class ActionJournal(gym.Wrapper[Any, Any, Any, Any]):
    """
    Keeps the seed of the last seeded reset and, one byte each, all actions and resets since.

    A reset without a seed gets one derived from the last, once the journal has :data:`RESEED_AFTER` entries. Results
    are fingerprinted at the 1st, 2nd, 4th, 8th ... entry and compared in the replay, so that an environment that is
    not deterministic is found out early; the fingerprint of the last entry covers all rewards and ends.

    :param env: with a ``Discrete`` action space of at most 255 actions; not yet reset
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._begin(None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        :param seed: as in gymnasium; one of the journal's own if None, at times
        :param options: a reset with options cannot be replayed: the episode will not be continued exactly
        """
        continues = _continues_game(self.env)  # such a reset ignores the seed
        if seed is None and not continues and (self._seed is None or len(self._entries) >= RESEED_AFTER):
            seed = _next_seed(self._seed)
        if seed is not None and not continues:
            self._begin(seed)
        self._has_options |= bool(options)
        observation, info = self.env.reset(seed=seed, options=options)
        self._record(RESET, observation, 0.0, False)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """:param action: as of the environment"""
        observation, reward, terminated, truncated, info = self.env.step(action)
        first = self.env.action_space.start  # type: ignore[attr-defined]
        self._record(int(action - first), observation, float(reward), terminated or truncated)
        return observation, reward, terminated, truncated, info

    def obstacle(self) -> str | None:
        """:return: why the actions cannot be replayed, in one line; None if they can be"""
        if self._has_options:
            return "it was reset with options"
        return "it has not been reset since its actions are recorded" if self._seed is None else None

    def state_dict(self) -> State:
        """:return: seed, entries (uint8) and fingerprints"""
        return {
            "seed": self._seed,
            "entries": np.frombuffer(bytes(self._entries), np.uint8).copy(),
            "checks": list(self._checks),
            "last": self._fingerprint(),
        }

    def load_state_dict(self, state: State) -> None:
        """
        Play everything again; no monitor file gets a second row of it.

        :param state: of a journal around the same environment
        :raises Diverged: at the first result that differs
        """
        first, checks = self.env.action_space.start, state["checks"]  # type: ignore[attr-defined]
        with_files = _without_files(self.env)
        try:
            for index, entry in enumerate(state["entries"].tolist()):
                if index == 0:
                    self._begin(state["seed"])
                    self._record(RESET, self.env.reset(seed=state["seed"])[0], 0.0, False)
                elif entry == RESET:
                    self._record(RESET, self.env.reset()[0], 0.0, False)
                else:
                    self.step(np.int64(entry + first))
                if self._checks != checks[: len(self._checks)]:
                    raise Diverged(f"after {index + 1} of {len(state['entries'])} steps and resets")
        finally:
            for monitor, writer in with_files:
                monitor.results_writer = writer
        if self._fingerprint() != state["last"]:
            raise Diverged(f"at the last of {len(state['entries'])} steps and resets")

    def _begin(self, seed: int | None) -> None:
        self._seed, self._has_options = seed, False
        self._entries = bytearray()
        self._checks: list[int] = []
        self._latest: Any = None
        self._reward_sum, self._ends = 0.0, 0

    def _record(self, entry: int, observation: Any, reward: float, over: bool) -> None:
        self._entries.append(entry)
        self._latest = observation
        self._reward_sum += reward
        self._ends += over
        count = len(self._entries)
        if count & (count - 1) == 0:
            self._checks.append(self._fingerprint())

    def _fingerprint(self) -> int:
        print_ = zlib.crc32(np.array([self._reward_sum, self._ends], np.float64).tobytes())
        for part in _arrays(self._latest):
            print_ = zlib.crc32(np.ascontiguousarray(part).tobytes(), print_)
        return print_


def can_record(env: gym.Env) -> bool:
    """:return: whether one byte holds any action"""
    return isinstance(env.action_space, spaces.Discrete) and env.action_space.n <= RESET


def layers(env: gym.Env) -> list[gym.Env]:
    """:return: the wrappers and the environment, outermost first, journals left out"""
    found = []
    while isinstance(env, gym.Wrapper):
        found += [] if isinstance(env, ActionJournal) else [env]
        env = env.env
    return [*found, env]


def _continues_game(env: gym.Env) -> bool:
    """EpisodicLifeEnv: a reset after a lost life goes on with the game."""
    return not all(getattr(layer, "was_real_done", True) for layer in layers(env))


def _without_files(env: gym.Env) -> list[tuple[Any, Any]]:
    """:return: the monitors inside, which write no file from now on, with their writers"""
    monitors = [layer for layer in layers(env) if isinstance(layer, Monitor)]
    writers = [monitor.results_writer for monitor in monitors]
    for monitor in monitors:
        monitor.results_writer = None
    return list(zip(monitors, writers, strict=True))


def _next_seed(seed: int | None) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1)[0]) & (2**31 - 1)


def _arrays(observation: Any) -> Iterator[np.ndarray]:
    if isinstance(observation, dict):
        for key in sorted(observation):
            yield from _arrays(observation[key])
    elif isinstance(observation, tuple | list):
        for each in observation:
            yield from _arrays(each)
    elif observation is not None:
        yield np.asarray(observation)
