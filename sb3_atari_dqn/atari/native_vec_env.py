"""Atari games on C++ threads as an SB3 ``VecEnv``: ALE's vectorized environment, with SB3's wrapper semantics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from sb3_atari_dqn.atari.native_game import NativeGame
from sb3_atari_dqn.atari.native_journal import Journal
from sb3_atari_dqn.atari.native_pool import GamePool, Reply
from sb3_atari_dqn.atari.native_support import (
    USE_REGULAR,
    check_actions,
    check_limits,
    checked_actions,
    emulator_seed,
    implemented_wrappers,
    native_settings,
)
from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import NatureAtari
from sb3_atari_dqn.validation import as_int


class NativeAtariVecEnv(VecEnv):
    """
    A drop-in replacement for ``VecTransposeImage(VecFrameStack(make_vec_env(env_id, wrapper_class=NatureAtari), 4))``.

    The games run on C++ threads between ``step_async`` and ``step_wait``. Observations are channel-first frame stacks,
    oldest frame first, zero-padded at the start of an episode; each step returns a new array. N environments, K frames
    per stack, C channels per frame. ``docs/native_environments.md`` lists the differences from regular environments.

    :param env_id: registered Atari game without a frame skip of its own
    :param n_envs: number of games
    :param seed: environment i is seeded with ``seed + i`` at the first reset; None draws one from numpy's global
        generator
    :param monitor_dir: folder for SB3's monitor files; None writes none
    :param env_kwargs: keyword arguments of ``ale_py.AtariEnv``
    :param preset: the preprocessing
    :param n_stack: frames per observation
    :param render_mode: "rgb_array" enables ``render``, ``get_images`` and video recorders, see
        :meth:`NativeGame.render`; also accepted in ``env_kwargs``
    :raises ValueError: if the C++ environment does not support these settings; the message gives the reason
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
        check_limits(n_envs, n_stack, preset)
        if render_mode is not None:
            env_kwargs = {**(env_kwargs or {}), "render_mode": render_mode}
        settings = native_settings(env_id, preset, env_kwargs)
        self.n_stack = n_stack
        self._pool = GamePool(settings, n_envs)
        check_actions(env_id, self._pool.opening.actions, preset)
        height, width, self._channels = self._pool.pipeline.shape
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
        self._ready = False  # after reset(), before close()
        self._in_step_wait = False
        super().__init__(n_envs, space, self._games[0].action_space)
        # SB3's VecVideoRecorder reads this
        self.metadata: dict[str, Any] = {**self.metadata, "render_fps": self._games[0].metadata["render_fps"]}
        self.seed(seed)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """:raises ValueError: on an invalid seed"""
        return super().seed(None if seed is None else as_int("seed", seed, 0))

    @property
    def reload_after(self) -> int | None:
        """
        Steps after which a new game loads its ROM again, with a seed derived from the last one (85 ms, in place of a
        reset of 6 ms): this bounds the replay of `load_state_dict`. None, the default: never; then the games stay those
        of regular environments with the same seed.
        """
        return self._pool.reload_after

    @reload_after.setter
    def reload_after(self, steps: int | None) -> None:
        self._pool.reload_after = None if steps is None else as_int("reload_after", steps, 1)

    def reset(self) -> np.ndarray:
        """
        Start an episode in every environment. As in SB3, a game continues after a lost life, unless ``seed()`` was
        called before: then the ROM is reloaded, and the results depend on the seed only.

        :return: uint8 [N, K * C, H, W]
        """
        self._check_open()
        self._finish_step()
        self._stacks = np.zeros_like(self._stacks)
        seeds = [None if seed is None else emulator_seed(seed) for seed in self._seeds]
        self._pool.load(seeds)
        for game, stack, seed in zip(self._games, self._stacks, seeds, strict=True):
            stack[-self._channels :] = game.restart(seed)
        self._reset_seeds()
        self._reset_options()
        self._ready = True
        return self._stacks

    def step_async(self, actions: np.ndarray) -> None:
        """
        Start a step in every environment and return immediately.

        :param actions: int [N]
        :raises ValueError: on an invalid action
        """
        self._check_open()
        if self._in_step_wait:
            self._restart_all()
        if self._pool.in_flight or not self._ready:
            missing = "step_wait()" if self._pool.in_flight else "reset()"
            raise RuntimeError(f"step_async() called before {missing}: call {missing} first")
        self._pool.send(range(self.num_envs), checked_actions(actions, self.num_envs, len(self._pool.opening.actions)))

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """:return: observations, uint8 [N, K * C, H, W]; rewards, float32 [N]; dones, bool [N]; infos"""
        self._check_open()
        if not self._pool.in_flight:
            raise RuntimeError("step_wait() called before step_async(): call step_async() first")
        self._in_step_wait = True
        replies = self._pool.receive()
        self._stacks = self._pushed(replies)
        dones, infos = np.zeros(self.num_envs, bool), []
        for number, reply in enumerate(replies):
            dones[number], info = self._games[number].process(reply)
            if dones[number]:
                info["terminal_observation"] = self._stacks[number].copy()
                self._stacks[number] = 0
                self._stacks[number, -self._channels :] = self._games[number].restart()
            infos.append(info)
        self._in_step_wait = False
        return self._stacks, self._rewards(replies), dones, infos

    def state_dict(self) -> dict[str, Any]:
        """
        The state of all games, also while a step is in flight: per game a seed, what it has done since, and the score.

        :return: plain values and arrays, about a byte per step of each game; a copy
        :raises RuntimeError: if Ctrl-C interrupted ``step_wait``: the games restart with the next step
        """
        self._check_open()
        if self._in_step_wait:
            raise RuntimeError("state_dict() called after an interrupted step_wait(): call step() or reset() first")
        return {
            "seeds": list(self._seeds),
            "reload_after": self.reload_after,
            "ready": self._ready,
            "in_flight": self._pool.in_flight,
            "stacks": self._stacks.copy(),
            "journals": [journal and journal.state_dict() for journal in self._pool.journals],
            "games": [game.state_dict() for game in self._games],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Rebuild all games by replay, on all cores: about half a millisecond of CPU time per step, and at most the
        longest game and :attr:`reload_after` steps per game. Every game is compared with the one that was saved.

        :param state: as `state_dict` of an environment with the same arguments gave it; also into a running one
        :raises ValueError: if it does not fit; the environment is then as it was
        """
        self._check_open()
        if state["stacks"].shape != self._stacks.shape or len(state["games"]) != self.num_envs:
            raise ValueError(
                f"The state of observations {list(state['stacks'].shape)} does not fit {list(self._stacks.shape)}: "
                "create the environment with the same n_envs, n_stack and preset"
            )
        journals = [None if each is None else Journal(each["seed"], each["entries"]) for each in state["journals"]]
        pending = [journal.entries.pop() for journal in journals if journal] if state["in_flight"] else []
        interfaces, replies = self._pool.rebuild(journals)
        for game, each, reply in zip(self._games, state["games"], replies, strict=True):
            game.check_rebuilt(each, reply)
        self._pool.replace(interfaces, journals)
        for game, each, reply in zip(self._games, state["games"], replies, strict=True):
            game.load_state_dict(each, reply)
        self._stacks, self._seeds = state["stacks"].copy(), list(state["seeds"])
        self.reload_after = state["reload_after"]
        self._ready, self._in_step_wait = state["ready"], False
        if pending:
            self._pool.send(range(self.num_envs), pending)

    def close(self) -> None:
        """Stop the games, even during a step; a second call does nothing."""
        self._ready = False
        self._pool.close()
        for game in self._games:
            game.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        :param attr_name: a public attribute of :class:`NativeGame`: spec, render_mode, lives, preset, ...
        :param indices: of the environments; None for all
        :raises AttributeError: on any other name
        """
        games = [self._games[index] for index in self._get_indices(indices)]
        if attr_name.startswith("_") or not hasattr(self._games[0], attr_name):
            raise AttributeError(f"A native Atari game has no attribute {attr_name!r}; {USE_REGULAR}")
        return [getattr(game, attr_name) for game in games]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> NoReturn:
        """:raises AttributeError: always; attributes of C++ games are read-only"""
        raise AttributeError(f"{attr_name!r} of a native Atari game cannot be set; {USE_REGULAR}")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """:raises AttributeError: on a method that :class:`NativeGame` does not have"""
        return [method(*method_args, **kwargs) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """:return: whether the games implement this wrapper; they always log episodes as ``Monitor`` does"""
        return [
            wrapper_class in implemented_wrappers(game.preset, game.fires)
            for game in (self._games[i] for i in self._get_indices(indices))
        ]

    def get_images(self) -> Sequence[np.ndarray]:
        """
        :return: the screen of each game, uint8 [H, W, 3]; during a step, those of the previous step
        :raises NotImplementedError: without ``render_mode="rgb_array"``
        """
        self._check_open()
        return self.env_method("render")

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """
        :param mode: see SB3
        :return: the screens of all games, tiled
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

    def _finish_step(self) -> None:
        """Finish a pending step."""
        if self._in_step_wait:
            self._restart_all()
        elif self._pool.in_flight:
            self.step_wait()

    def _restart_all(self) -> None:
        """Restart all games after Ctrl-C interrupted ``step_wait``, which may have processed only some replies."""
        if self._pool.in_flight:
            self._pool.receive()
        self._stacks = np.zeros_like(self._stacks)
        for game, stack in zip(self._games, self._stacks, strict=True):
            stack[-self._channels :] = game.restart_game()
        self._in_step_wait = False

    def _check_open(self) -> None:
        if self._pool.closed:
            raise RuntimeError("The native Atari environment is closed: create a new one")
        if self._process != os.getpid():  # a fork does not copy the game threads: waiting for them would never end
            raise RuntimeError(
                f"The native Atari environment belongs to process {self._process}: create one in this process"
            )
