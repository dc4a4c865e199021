"""The transitions of a replay buffer, each frame stored once: adding, state, memory.

N: environments, K: frames in a stack, n: steps of the return.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer

from sb3_atari_dqn.checkpoints.state import check_form, check_sizes
from sb3_atari_dqn.replay.frame_store import FrameLayout
from sb3_atari_dqn.replay.incoming import IncomingObservations, Observations
from sb3_atari_dqn.replay.memory_check import available_on, check_memory
from sb3_atari_dqn.replay.observation_memory import ObservationMemory
from sb3_atari_dqn.replay.observation_parts import ObservationPart, parts_of
from sb3_atari_dqn.replay.stack_memory import StackMemory
from sb3_atari_dqn.replay.stack_ring import METADATA_BYTES
from sb3_atari_dqn.replay.state import DEPTHS, FLAGS, FrameChunk
from sb3_atari_dqn.replay.stores import frame_store, storage_named
from sb3_atari_dqn.validation import as_int, check_between, checked_flag

_REWARD = np.dtype(np.float32)
_OWNER = "replay memory"  # in messages


class StoredTransitions(ReplayBuffer):
    """What :class:`FrameReplayBuffer` stores; its parameters are described there."""

    #: Name of the checkpoint that has the frames before the newest ones, so that the next one saves only those; None:
    #: no checkpoint has them, as after `reset` or loading.
    saved_in: str | None = None

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        n_stack: int | Mapping[str, int],
        stack_axis: int | Mapping[str, int] | None = None,
        n_steps: int = 1,
        gamma: float = 0.99,
        frame_storage: str | None = None,
        sb3_sampling: bool = False,
        frames: str | None = None,
    ) -> None:
        self.check_numbers(n_steps=n_steps, gamma=gamma, sb3_sampling=sb3_sampling)
        parts = parts_of(observation_space, n_stack, stack_axis)
        buffer_size = as_int("buffer_size", buffer_size, 1)
        # SB3's own constructor would allocate every observation twice.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False  # of SB3's sampling, which it would keep away from the newest transition
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps, self.gamma = n_steps, gamma
        self._store_class = frame_store(storage_named(frame_storage, frames))
        self._layouts = {name: self._layout(part) for name, part in parts.items()}
        self._check_memory()
        self.memory = ObservationMemory({name: self._stack_memory(name, part) for name, part in parts.items()})
        self._incoming = IncomingObservations(observation_space, self.memory, n_envs)
        self.actions = np.zeros((self.buffer_size, n_envs, self.action_dim), self._action_dtype())
        self.rewards = np.zeros((self.buffer_size, n_envs), _REWARD)
        self._sb3_sampling = sb3_sampling
        self.sampler = self._make_sampler()

    def _make_sampler(self) -> Any:
        """:return: draws what is sampled, and is part of the state"""
        raise NotImplementedError

    @classmethod
    def check_numbers(cls, n_steps: Any = 1, gamma: Any = 0.99, **others: Any) -> None:
        """
        Ask before any memory is reserved; other arguments pass.

        :raises ValueError: on the first bad number
        """
        as_int("n_steps", n_steps, 1)
        check_between("gamma", gamma, 0, 1)
        checked_flag("sb3_sampling", others.get("sb3_sampling", False))

    # --- memory

    def _action_dtype(self) -> np.dtype:
        """:return: the smallest that holds the numbers of discrete actions, as SB3 stores them otherwise"""
        space = self.action_space
        if isinstance(space, spaces.Discrete) and space.start >= 0:
            return np.min_scalar_type(int(space.start + space.n - 1))
        return np.dtype(self._maybe_cast_dtype(space.dtype))

    def bytes_per_slot(self) -> int:
        """:return: what one transition takes beside its frame"""
        metadata = METADATA_BYTES * len(self._layouts)
        return _REWARD.itemsize + self.action_dim * self._action_dtype().itemsize + metadata

    def full_nbytes(self) -> int:
        """
        :return: host memory of the full buffer, without final frames of truncated episodes; for compressed frames,
            an estimate
        """
        in_frames = sum(self._store_class.host_nbytes(layout, self.device) for layout in self._layouts.values())
        return in_frames + self.buffer_size * self.n_envs * self.bytes_per_slot()

    def _layout(self, part: ObservationPart) -> FrameLayout:
        return StackMemory.layout_of(self.buffer_size, part.shape, self.n_envs, part.dtype)

    def _stack_memory(self, name: str, part: ObservationPart) -> StackMemory:
        make_store = partial(self._store_class, device=self.device)
        return StackMemory(self.buffer_size, part.shape, self.n_envs, part.dtype, make_store, name)

    def _check_memory(self) -> None:
        n_transitions = self.buffer_size * self.n_envs
        check_memory(n_transitions, self.full_nbytes())
        on_device = sum(self._store_class.device_nbytes(layout, self.device) for layout in self._layouts.values())
        if on_device and (available := available_on(self.device)) is not None:
            check_memory(n_transitions, on_device, available, f"on {self.device}")

    def columns(self) -> dict[str, np.ndarray]:
        """:return: what is stored beside frames and priorities, to read and to write, each [slots, N, ...]"""
        metadata = {
            f"{name}{part}": array
            for part, memory in self.memory.parts.items()
            for name, array in ((DEPTHS, memory.depths), (FLAGS, memory.flags))
        }
        return {"rewards": self.rewards, "actions": self.actions, **metadata}

    def reset(self) -> None:
        super().reset()
        self.memory.reset()
        self.saved_in = None

    @property
    def dones(self) -> np.ndarray:  # type: ignore[override]
        """
        Whether each stored transition ended its episode for good, float32 [slots, N].

        A copy: SB3's algorithms mark the end of the last trajectory here before they reset the environments
        (`optimize_memory_usage`), which this buffer sees by itself.
        """
        slots = np.arange(self.buffer_size)[:, None]
        return self.memory.terminated(slots, np.arange(self.n_envs)).astype(np.float32)

    # --- writing

    def set_position(self, steps: int, filled: int, first_frames: Mapping[str, int]) -> None:
        """
        Go on after transitions that were written from outside.

        :param steps: vector steps up to here
        :param filled: transitions held of each environment
        :param first_frames: of each part of the observations, step of the oldest frame
        """
        self.memory.set_position(steps, first_frames)
        self.saved_in = None
        self.pos, self.full = steps % self.buffer_size, filled == self.buffer_size

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """
        :return: everything but the frames in the ring, which are many and mostly old: :meth:`frames_since` has those
            that are new
        """
        return {
            "filled": self.size(),
            "rewards": self.rewards.copy(),
            "actions": self.actions.copy(),
            "memory": self.memory.state_dict(),
            "sampler": self.sampler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Take a state over; :meth:`load_frames` brings the frames afterwards.

        :param state: from `state_dict`, of a buffer with the same arguments
        :raises ValueError: if the buffer has other sizes, and then stays as it was
        """
        self._check_state(state)
        self.sampler.load_state_dict(state["sampler"])  # refuses by itself, so it comes first
        self.rewards[:], self.actions[:] = state["rewards"], state["actions"]
        self.memory.load_state_dict(state["memory"])
        self.saved_in = None
        self.pos, self.full = self.memory.steps % self.buffer_size, state["filled"] == self.buffer_size

    def _check_state(self, state: dict[str, Any]) -> None:
        """:raises ValueError: if :meth:`load_state_dict` cannot take it; the sampler is not asked"""
        inside = {"memory": ..., "sampler": ...}
        check_form(state, {**self.state_dict(), **inside}, _OWNER)
        check_sizes(state, {"rewards": self.rewards, "actions": self.actions}, _OWNER)
        self.memory.check_state(state["memory"])

    def frames_since(self, step: int = 0) -> Iterator[FrameChunk]:
        """
        :param step: vector steps that had been stored (`memory.steps`) when the frames were read last
        :return: all frames that the stored transitions need and that were not in the ring then, or have changed
        """
        if not self.size():
            return
        for name, first in self.memory.oldest_frames(self.size()).items():
            for env, steps, frames in self.memory.parts[name].frames_since(max(first, step)):
                yield FrameChunk(name, env, int(steps[0]), frames)

    def load_frames(self, chunk: FrameChunk) -> None:
        """:param chunk: from `frames_since`, in the order in which it gave them"""
        steps = chunk.first_step + np.arange(len(chunk.frames))
        self.memory.parts[chunk.part].store.write(steps, chunk.env, chunk.frames)

    # --- adding

    def add(
        self,
        obs: Observations,
        next_obs: Observations,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        Store one vector step; parameters as in SB3.

        :raises ValueError: if the observations are no stacks of `n_stack` frames; nothing is stored then
        """
        parts, next_parts = self._incoming.parts("obs", obs), self._incoming.parts("next_obs", next_obs)
        actions = np.asarray(action).reshape(self.n_envs, self.action_dim)
        rewards = np.asarray(reward, _REWARD).reshape(self.n_envs)
        ended = np.asarray(done, dtype=bool)
        if np.count_nonzero(ended):
            truncated = ended & [self._times_out(info) for info in infos]
            self.memory.push(parts, next_parts, ended & ~truncated, truncated)
        else:  # nearly always
            self.memory.push(parts, next_parts, ended, ended)
        self.actions[self.pos] = actions
        self.rewards[self.pos] = rewards
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0

    def _times_out(self, info: dict[str, Any]) -> bool:
        return self.handle_timeout_termination and info.get("TimeLimit.truncated", False)
