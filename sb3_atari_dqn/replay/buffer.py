"""Uniform replay of stacked observations, each frame stored once.

B: batch, K: frames in a stack, N: environments, n: steps of the return.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn.arguments import check_between, whole_number
from sb3_atari_dqn.replay.device_store import DeviceFrameStore
from sb3_atari_dqn.replay.frame_store import FrameLayout
from sb3_atari_dqn.replay.memory_check import available_on, check_memory
from sb3_atari_dqn.replay.n_step import n_step_returns, window_lengths
from sb3_atari_dqn.replay.sending import sent
from sb3_atari_dqn.replay.stack_memory import METADATA_BYTES, StackMemory
from sb3_atari_dqn.replay.stack_rows import StackRows
from sb3_atari_dqn.replay.stacks import StackShape
from sb3_atari_dqn.replay.stores import frame_store

_REWARD = np.dtype(np.float32)


def stack_axis(space: spaces.Box) -> int:
    """:return: the axis along which SB3's VecFrameStack puts the frames, after SB3's transposition of images"""
    channels_first = len(space.shape) == 3 and is_image_space(space) and is_image_space_channels_first(space)
    return 0 if channels_first else len(space.shape) - 1


class FrameReplayBuffer(ReplayBuffer):
    """
    Returns what SB3's ReplayBuffer (NStepReplayBuffer for n_steps > 1) returns for the same stream and the same index,
    byte for byte, and keeps every frame once instead of 2 K times.

    Three deviations. The next observation of a terminated transition, which no target reads, is its own observation
    moved by one frame with the newest frame repeated. Where a stream breaks off without an end (the environment was
    reset from outside), an n-step return ends there, while SB3's sums up across the gap. And a truncation flag of a
    transition that is not done is not looked at, while SB3's n-step buffer ends the return there.

    All observations and actions of a training are the same size and the system hands out memory as it is filled.

    :param buffer_size: transitions kept, all environments together
    :param observation_space: a Box; images, or anything stacked along its last axis
    :param action_space: any; the numbers of discrete actions take one or two bytes
    :param device: where the batches go
    :param n_envs: N
    :param optimize_memory_usage: SB3's way to store less; not with this buffer, which stores less still
    :param handle_timeout_termination: truncated episodes have a value after their end; see SB3
    :param n_stack: K; 1 stores every observation whole, which is right for any environment
    :param n_steps: n
    :param gamma: discount, used for n > 1
    :param frames: where the frames lie: "memory", "compressed" (in memory) or "device" (in the memory of `device`)
    :raises ValueError: on observations or arguments that do not fit
    :raises MemoryError: if the machine, or the container, cannot hold the full buffer
    """

    _gathers_later = False

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
        n_stack: int,
        n_steps: int = 1,
        gamma: float = 0.99,
        frames: str = "memory",
    ) -> None:
        if not isinstance(observation_space, spaces.Box):
            raise ValueError(f"{type(self).__name__} needs Box observations, got {observation_space}.")
        if optimize_memory_usage:
            raise ValueError(f"{type(self).__name__} stores each frame once: leave out optimize_memory_usage=True.")
        self.check_numbers(n_steps=n_steps, gamma=gamma)
        buffer_size = whole_number("buffer_size", buffer_size, 1)
        # SB3's own constructor would allocate every observation twice.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps, self.gamma = n_steps, gamma
        self.stack_shape = StackShape(tuple(observation_space.shape), n_stack, stack_axis(observation_space))
        self._store_class = frame_store(frames)
        self._step_shape = (n_envs, *self.stack_shape.obs_shape)
        self._check_memory()
        make_store = partial(self._store_class, device=self.device)
        self.memory = StackMemory(self.buffer_size, self.stack_shape, n_envs, observation_space.dtype, make_store)
        self.actions = np.zeros((self.buffer_size, n_envs, self.action_dim), self._action_dtype())
        self.rewards = np.zeros((self.buffer_size, n_envs), _REWARD)

    @classmethod
    def check_numbers(cls, n_steps: Any = 1, gamma: Any = 0.99, **others: Any) -> None:
        """
        Ask before any memory is reserved; other arguments pass.

        :raises ValueError: on the first bad number
        """
        whole_number("n_steps", n_steps, 1)
        check_between("gamma", gamma, 0, 1)

    # --- memory

    def _action_dtype(self) -> np.dtype:
        """:return: the smallest that holds the numbers of discrete actions, as SB3 stores them otherwise"""
        space = self.action_space
        if isinstance(space, spaces.Discrete) and space.start >= 0:
            return np.min_scalar_type(int(space.start + space.n - 1))
        return np.dtype(self._maybe_cast_dtype(space.dtype))

    def bytes_per_slot(self) -> int:
        """:return: what one transition takes beside its frame"""
        return _REWARD.itemsize + self.action_dim * self._action_dtype().itemsize + METADATA_BYTES

    def full_nbytes(self) -> int:
        """
        :return: host memory of the full buffer, without final frames of truncated episodes; for compressed frames, of
            which nobody knows it before, what is expected
        """
        in_frames = self._store_class.host_nbytes(self._layout(), self.device)
        return in_frames + self.buffer_size * self.n_envs * self.bytes_per_slot()

    def _layout(self) -> FrameLayout:
        return StackMemory.layout_of(
            self.buffer_size, self.stack_shape, self.n_envs, np.dtype(self.observation_space.dtype)
        )

    def _check_memory(self) -> None:
        n_transitions = self.buffer_size * self.n_envs
        check_memory(n_transitions, self.full_nbytes())
        on_device = self._store_class.device_nbytes(self._layout(), self.device)
        if on_device and (available := available_on(self.device)) is not None:
            check_memory(n_transitions, on_device, available, f"on {self.device}")

    def reset(self) -> None:
        super().reset()
        self.memory.reset()

    # --- writing

    def set_position(self, steps: int, filled: int, first_frame: int) -> None:
        """
        Go on after transitions that were written from outside.

        :param steps: vector steps up to here
        :param filled: transitions held of each environment
        :param first_frame: step of the oldest frame
        """
        self.memory.set_position(steps, first_frame)
        self.pos, self.full = steps % self.buffer_size, filled == self.buffer_size

    def add(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        Store one vector step; parameters as in SB3.

        :raises ValueError: if the observations are no stacks of `n_stack` frames; nothing is stored then
        """
        obs, next_obs = self._as_stored("obs", obs), self._as_stored("next_obs", next_obs)
        actions = np.asarray(action).reshape(self.n_envs, self.action_dim)
        rewards = np.asarray(reward, _REWARD).reshape(self.n_envs)
        ended = np.asarray(done, dtype=bool)
        if np.count_nonzero(ended):
            truncated = ended & [self._times_out(info) for info in infos]
            self.memory.push(obs, next_obs, ended & ~truncated, truncated)
        else:  # nearly always
            self.memory.push(obs, next_obs, ended, ended)
        self.actions[self.pos] = actions
        self.rewards[self.pos] = rewards
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0

    def _as_stored(self, name: str, observations: np.ndarray) -> np.ndarray:
        """
        :param name: for the message
        :return: the observations, of the type of the observation space, as SB3 casts them
        :raises ValueError: if their shape is not the one of the observation space
        """
        observations = np.asarray(observations, self.memory.dtype)
        if observations.shape != self._step_shape:
            raise ValueError(
                f"{name} has shape {observations.shape}, and {self.n_envs} environments with observations of shape "
                f"{self.stack_shape.obs_shape} give {self._step_shape}: pass what the training environment returns."
            )
        return observations

    def _times_out(self, info: dict[str, Any]) -> bool:
        return self.handle_timeout_termination and info.get("TimeLimit.truncated", False)

    # --- sampling

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """
        :param batch_inds: slots, int64 [B]; the environments are drawn here, as SB3 does
        :param env: normalizes observations and rewards
        """
        envs = np.random.randint(0, high=self.n_envs, size=(len(batch_inds),))
        return self.samples_at(batch_inds, envs, env)

    def samples_at(self, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """
        :param slots: places in the buffer, as SB3 counts them, int64 [B]
        :param envs: numbers of the environments, int64 [B]
        :param env: normalizes observations and rewards
        :return: the transitions that begin there
        """
        newest = self.memory.steps - 1
        steps = newest - (newest - slots) % self.buffer_size
        if self.n_steps == 1:
            last, discounts = steps, None
            returns = self._normalize_reward(self.rewards[slots, envs].reshape(-1, 1), env)
        else:
            last, returns, discounts = self._n_step_window(steps, envs, env)
        observations, next_observations = self._observations(steps, last, envs, env)
        actions = self.actions[slots, envs].astype(self._maybe_cast_dtype(self.action_space.dtype))
        dones = self.memory.terminated(last, envs).astype(np.float32).reshape(-1, 1)
        return ReplayBufferSamples(
            observations=observations,
            actions=self._tensor(actions),
            next_observations=next_observations,
            dones=self._tensor(dones),
            rewards=self._tensor(returns),
            discounts=None if discounts is None else self._tensor(discounts),
        )

    @contextmanager
    def gathering_later(self) -> Iterator[None]:
        """Where frames lie on a device, samples name their rows in here (`StackRows`) instead of bringing images."""
        self._gathers_later = True
        try:
            yield
        finally:
            self._gathers_later = False

    def _n_step_window(
        self, steps: np.ndarray, envs: np.ndarray, env: VecNormalize | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """:return: step of the last transition of each window, int64 [B], returns and discounts, float32 [B, 1]"""
        window = steps[:, None] + np.arange(self.n_steps)  # [B, n]
        lengths = window_lengths(self.memory.stops(window, envs[:, None]))
        rewards = self._normalize_reward(self.rewards[window % self.buffer_size, envs[:, None]], env)
        return steps + lengths - 1, *n_step_returns(rewards, lengths, self.gamma)

    def _observations(
        self, steps: np.ndarray, last: np.ndarray, envs: np.ndarray, env: VecNormalize | None
    ) -> tuple[Any, Any]:
        """:return: observations at `steps` and those reached after `last`, each [B, *obs_shape], or their rows"""
        n_stack = self.stack_shape.n_stack
        if last is steps:
            rows, first_of_next = self.memory.rows(steps, envs), 1  # [B, K + 1]: all frames but one belong to both
        else:
            both = self.memory.rows(np.concatenate([steps, last]), np.concatenate([envs, envs]))
            rows = np.concatenate([both[: len(steps), :-1], both[len(steps) :, 1:]], axis=1)  # [B, 2 K]
            first_of_next = n_stack
        store = self.memory.store
        if self._gathers_later and isinstance(store, DeviceFrameStore) and (env is None or not env.norm_obs):
            named = partial(StackRows, store, self.stack_shape)
            return named(rows[:, :n_stack]), named(rows[:, first_of_next:])
        frames = sent(store.gather(rows), self.device)
        observations = self.stack_shape.join(frames[:, :n_stack])
        return self._normalized(observations, env), self._normalized(
            self.stack_shape.join(frames[:, first_of_next:]), env
        )

    def _normalized(self, observations: torch.Tensor, env: VecNormalize | None) -> torch.Tensor:
        if env is None or not env.norm_obs:
            return observations
        return self._tensor(np.asarray(self._normalize_obs(observations.cpu().numpy(), env)))

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """:param array: made for this call, so that the tensor may share its memory"""
        return sent(array, self.device)
