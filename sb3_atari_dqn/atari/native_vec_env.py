"""Atari games in C++ threads as an SB3 ``VecEnv``: ALE's vector environment with the semantics of SB3's wrappers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import (
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from sb3_atari_dqn.atari.native_game import NOOP, NativeGame
from sb3_atari_dqn.atari.native_pool import GamePool, Reply
from sb3_atari_dqn.atari.native_support import native_settings
from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import AtariPresetWrapper, NatureAtari
from sb3_atari_dqn.validation import as_int

MOST_ENVS, MOST_FRAMES = 4096, 254


class NativeAtariVecEnv(VecEnv):
    """
    A drop-in for ``VecTransposeImage(VecFrameStack(make_vec_env(env_id, wrapper_class=NatureAtari), 4))``.

    The games run on C++ threads between ``step_async`` and ``step_wait``. Observations are channel-first stacks,
    oldest frame first, zeros before an episode's first frame; each step returns a new array. N environments, K frames
    per stack, C channels per frame. ``docs/native_environments.md`` lists what differs from the ordinary environments.

    :param env_id: registered Atari game that does not skip frames itself
    :param n_envs: number of games
    :param seed: game i draws from ``seed + i`` at the first reset; None takes one from numpy's global generator
    :param monitor_dir: folder for SB3's monitor files; None writes none
    :param env_kwargs: keyword arguments of ``ale_py.AtariEnv``
    :param preset: the preprocessing
    :param n_stack: frames per observation
    :param render_mode: "rgb_array" lets ``render``, ``get_images`` and recorders see the games, see
        :meth:`NativeGame.render`; can be given in ``env_kwargs`` as well
    :raises ValueError: where C++ cannot play that; the message names what it lacks
    """

    def __init__(
        self,
        env_id: str,
        n_envs: int = 1,
        seed: int | None = None,
        monitor_dir: str | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        *,
        preset: AtariPreset = NatureAtari.preset,
        n_stack: int = 4,
        render_mode: str | None = None,
    ) -> None:
        n_envs, n_stack = as_int("n_envs", n_envs, 1), as_int("n_stack", n_stack, 1)
        _check_limits(n_envs, n_stack, preset)
        if render_mode is not None:
            env_kwargs = {**(env_kwargs or {}), "render_mode": render_mode}
        settings = native_settings(env_id, preset, env_kwargs)
        self.n_stack = n_stack
        self._pool = GamePool(settings, n_envs)
        _check_actions(env_id, self._pool.opening.actions, preset)
        height, width, self._channels = self._pool.picture.shape
        space = spaces.Box(0, 255, (n_stack * self._channels, height, width), np.uint8)
        self._games = [
            NativeGame(
                self._pool, number, env_id, preset, settings.max_frames, space, monitor_dir, settings.render_mode
            )
            for number in range(n_envs)
        ]
        self._preset = preset
        self._stacks = np.zeros((n_envs, *space.shape), np.uint8)  # [N, K * C, H, W]
        self._process = os.getpid()
        self._ready = False  # reset() has been called, close() has not, and no step was cut short
        self._in_step_wait = False
        super().__init__(n_envs, space, self._games[0].action_space)
        # SB3's VecVideoRecorder looks here
        self.metadata: dict[str, Any] = {**self.metadata, "render_fps": self._games[0].metadata["render_fps"]}
        self.seed(seed)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """:raises ValueError: on a seed that no reset could take"""
        return super().seed(None if seed is None else as_int("seed", seed, 0))

    def reset(self) -> np.ndarray:
        """
        Begin an episode everywhere. As in SB3, a game in which only a life was lost goes on, unless ``seed()`` was
        called before: then it is loaded and begun anew, and all that follows depends on the seed alone.

        :return: uint8 [N, K * C, H, W]
        """
        self._check_open()
        self._finish_step()
        self._stacks = np.zeros_like(self._stacks)
        seeds = [None if seed is None else _emulator_seed(seed) for seed in self._seeds]
        self._pool.load(seeds)
        for game, stack, seed in zip(self._games, self._stacks, seeds, strict=True):
            stack[-self._channels :] = game.restart(seed)
        self._reset_seeds()
        self._reset_options()
        self._ready = True
        return self._stacks

    def step_async(self, actions: np.ndarray) -> None:
        """
        Let all games step; returns at once, and the games play while Python does something else.

        :param actions: int [N]
        :raises ValueError: on an action that the game does not have
        """
        self._check_open()
        if self._in_step_wait:
            self._begin_anew()
        if self._pool.in_flight or not self._ready:
            missing = "step_wait() of the step before" if self._pool.in_flight else "reset()"
            raise RuntimeError(f"step_async() before {missing}: call that first")
        self._pool.send(range(self.num_envs), self._checked(actions))

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """:return: uint8 [N, K * C, H, W], float32 [N], bool [N], and the information of each game"""
        self._check_open()
        if not self._pool.in_flight:
            raise RuntimeError("step_wait() without a step: call step_async() first")
        self._in_step_wait = True
        replies = self._pool.receive()
        self._stacks = self._pushed(replies)
        dones, infos = np.zeros(self.num_envs, bool), []
        for number, reply in enumerate(replies):
            dones[number], info = self._games[number].absorb(reply)
            if dones[number]:
                info["terminal_observation"] = self._stacks[number].copy()
                self._stacks[number] = 0
                self._stacks[number, -self._channels :] = self._games[number].restart()
            infos.append(info)
        self._in_step_wait = False
        return self._stacks, self._rewards(replies), dones, infos

    def close(self) -> None:
        """End the games, at any time, with a step in flight too; a second call does nothing."""
        self._ready = False
        self._pool.close()
        for game in self._games:
            game.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        :param attr_name: a public attribute of :class:`NativeGame`: spec, render_mode, lives, preset, ...
        :param indices: which games; None for all
        :raises AttributeError: on any other name: there is no Python object behind a game
        """
        games = [self._games[index] for index in self._get_indices(indices)]
        if attr_name.startswith("_") or not hasattr(self._games[0], attr_name):
            raise AttributeError(f"A native Atari game has no attribute {attr_name!r}; {_ORDINARY}")
        return [getattr(game, attr_name) for game in games]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> NoReturn:
        """:raises AttributeError: always: the games are in C++, setting something here would change nothing there"""
        raise AttributeError(f"{attr_name!r} of a native Atari game cannot be set; {_ORDINARY}")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """:raises AttributeError: on a method that :class:`NativeGame` does not offer"""
        return [method(*method_args, **kwargs) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """:return: whether the games do what the wrapper would; scores are those of a ``Monitor``"""
        return [wrapper_class in _stand_ins(game) for game in (self._games[i] for i in self._get_indices(indices))]

    def get_images(self) -> Sequence[np.ndarray]:
        """
        :return: the picture of each game, uint8 [H, W, 3]; while a step is in flight those of the step before
        :raises NotImplementedError: without ``render_mode="rgb_array"``
        """
        self._check_open()
        return self.env_method("render")

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """
        :param mode: see SB3
        :return: the pictures of all games side by side
        :raises NotImplementedError: without ``render_mode="rgb_array"``
        """
        if self.render_mode is None:
            self.get_images()
        return super().render(mode)

    def _pushed(self, replies: Sequence[Reply]) -> np.ndarray:
        """:return: new stacks with the replies' frames at the end, [N, K * C, H, W]"""
        stacks = np.empty_like(self._stacks)
        stacks[:, : -self._channels] = self._stacks[:, self._channels :]
        for stack, reply in zip(stacks, replies, strict=True):
            stack[-self._channels :] = reply.frame
        return stacks

    def _rewards(self, replies: Sequence[Reply]) -> np.ndarray:
        raw = np.array([reply.reward for reply in replies], np.float32)
        return np.sign(raw) if self._preset.clip_reward else raw * np.float32(self._preset.reward_scale)

    def _checked(self, actions: np.ndarray) -> list[int]:
        actions = np.asarray(actions)
        n_actions = len(self._pool.opening.actions)
        whole = actions.shape == (self.num_envs,) and np.issubdtype(actions.dtype, np.integer)
        if not whole or actions.min() < 0 or actions.max() >= n_actions:
            raise ValueError(f"actions={actions!r}: give {self.num_envs} whole numbers from 0 to {n_actions - 1}")
        return actions.tolist()

    def _finish_step(self) -> None:
        """Account for a step that nobody waited for."""
        if self._in_step_wait:
            self._begin_anew()
        elif self._pool.in_flight:
            self.step_wait()

    def _begin_anew(self) -> None:
        """After a ``step_wait`` that Ctrl-C cut short, between a game and its account: all games begin anew."""
        if self._pool.in_flight:
            self._pool.receive()
        self._stacks = np.zeros_like(self._stacks)
        for game, stack in zip(self._games, self._stacks, strict=True):
            stack[-self._channels :] = game.abandon()
        self._in_step_wait = False

    def _check_open(self) -> None:
        if self._pool.closed:
            raise RuntimeError("The native Atari environment is closed: make a new one")
        if self._process != os.getpid():  # the threads that play stayed behind, and would be waited for for ever
            raise RuntimeError(f"The native Atari environment belongs to process {self._process}: make a new one here")


_ORDINARY = (
    "build ordinary environments for that (make_vec_env with the preset's wrapper class; the zoo's native_envs: false)"
)


def _check_limits(n_envs: int, n_stack: int, preset: AtariPreset) -> None:
    """:raises ValueError: on more than any machine or replay memory takes, or a class in the place of its preset"""
    if n_envs > MOST_ENVS or n_stack > MOST_FRAMES:
        raise ValueError(f"n_envs={n_envs}, n_stack={n_stack}: give at most {MOST_ENVS} games, {MOST_FRAMES} frames")
    if not isinstance(preset, AtariPreset):
        raise ValueError(f"preset={preset!r}: give an AtariPreset, such as NatureAtari.preset")


def _emulator_seed(seed: int) -> int:
    """:return: what ``AtariEnv`` would seed its emulator with, without the sign bit, which C++ refuses"""
    return int(np.random.SeedSequence(seed).generate_state(2)[1]) & (2**31 - 1)


def _check_actions(env_id: str, actions: Sequence[str], preset: AtariPreset) -> None:
    """:raises ValueError: where a preset presses buttons by numbers that are other buttons in this game"""
    if actions[NOOP] != "NOOP" and (preset.noop_max > 0 or preset.terminal_on_life_loss):
        raise ValueError(
            f"{env_id} has no NOOP as action 0 ({', '.join(actions)}), which noop_max={preset.noop_max} and "
            f"terminal_on_life_loss={preset.terminal_on_life_loss} press: build it with "
            "env_kwargs=dict(full_action_space=True)"
        )


def _stand_ins(game: NativeGame) -> set[type[gym.Wrapper]]:
    """:return: the wrappers whose work a game does"""
    preset = game.preset
    by_option = {
        NoopResetEnv: preset.noop_max > 0,
        MaxAndSkipEnv: preset.max_pool_frames == 2,
        EpisodicLifeEnv: preset.terminal_on_life_loss,
        FireResetEnv: game.fires,
        ClipRewardEnv: preset.clip_reward,
    }
    return {Monitor, AtariPresetWrapper} | {wrapper for wrapper, used in by_option.items() if used}
