"""Uniform replay of stacked observations, each frame stored once.

B: batch, K: frames in a stack, N: environments, n: steps of the return.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn.replay.device_store import DeviceFrameStore
from sb3_atari_dqn.replay.frame_store import FrameLayout
from sb3_atari_dqn.replay.memory_check import available_on, check_memory
from sb3_atari_dqn.replay.n_step import n_step_returns, window_lengths
from sb3_atari_dqn.replay.observation_memory import PLAIN, ObservationMemory
from sb3_atari_dqn.replay.observation_parts import ObservationPart, parts_of, spaces_of
from sb3_atari_dqn.replay.stack_memory import METADATA_BYTES, StackMemory
from sb3_atari_dqn.replay.stack_rows import StackRows
from sb3_atari_dqn.replay.stores import frame_store
from sb3_atari_dqn.transfers import sent
from sb3_atari_dqn.validation import as_int, check_between

_REWARD = np.dtype(np.float32)


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
    :param observation_space: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these
    :param action_space: any; the numbers of discrete actions take one or two bytes
    :param device: where the batches go
    :param n_envs: N
    :param optimize_memory_usage: SB3's way to store every observation once; this buffer always does, and has none of
        the limits that SB3's has then
    :param handle_timeout_termination: truncated episodes have a value after their end; see SB3
    :param n_stack: K; 1 stores every observation whole, which is right for any environment. A mapping gives it for
        each key of a dictionary
    :param stack_axis: along which the frames lie, counted without the batch axis; a mapping likewise. Default: where
        SB3's VecFrameStack puts them unless it is told otherwise
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
        n_stack: int | Mapping[str, int],
        stack_axis: int | Mapping[str, int] | None = None,
        n_steps: int = 1,
        gamma: float = 0.99,
        frames: str = "memory",
    ) -> None:
        self.check_numbers(n_steps=n_steps, gamma=gamma)
        parts = parts_of(observation_space, n_stack, stack_axis)
        buffer_size = as_int("buffer_size", buffer_size, 1)
        # SB3's own constructor would allocate every observation twice.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False  # of SB3's sampling, which it would keep away from the newest transition
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps, self.gamma = n_steps, gamma
        self._store_class = frame_store(frames)
        self._layouts = {name: self._layout(part) for name, part in parts.items()}
        self._check_memory()
        self._discrete = {name for name, of in spaces_of(observation_space).items() if isinstance(of, spaces.Discrete)}
        self.memory = ObservationMemory({name: self._stack_memory(name, part) for name, part in parts.items()})
        self.actions = np.zeros((self.buffer_size, n_envs, self.action_dim), self._action_dtype())
        self.rewards = np.zeros((self.buffer_size, n_envs), _REWARD)

    @classmethod
    def check_numbers(cls, n_steps: Any = 1, gamma: Any = 0.99, **others: Any) -> None:
        """
        Ask before any memory is reserved; other arguments pass.

        :raises ValueError: on the first bad number
        """
        as_int("n_steps", n_steps, 1)
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
        metadata = METADATA_BYTES * len(self._layouts)
        return _REWARD.itemsize + self.action_dim * self._action_dtype().itemsize + metadata

    def full_nbytes(self) -> int:
        """
        :return: host memory of the full buffer, without final frames of truncated episodes; for compressed frames, of
            which nobody knows it before, what is expected
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

    def reset(self) -> None:
        super().reset()
        self.memory.reset()

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
        self.pos, self.full = steps % self.buffer_size, filled == self.buffer_size

    def add(
        self,
        obs: np.ndarray | dict[str, np.ndarray],
        next_obs: np.ndarray | dict[str, np.ndarray],
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        Store one vector step; parameters as in SB3.

        :raises ValueError: if the observations are no stacks of `n_stack` frames; nothing is stored then
        """
        parts, next_parts = self._as_stored("obs", obs), self._as_stored("next_obs", next_obs)
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

    def _as_stored(self, argument: str, observations: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """
        :param argument: for the message
        :return: the parts of the observations, of the types of the observation space, as SB3 casts them
        :raises ValueError: if a part is missing, or its shape is not the one of the observation space
        """
        is_dict = isinstance(self.observation_space, spaces.Dict)
        given: Any = observations if is_dict else {PLAIN: observations}
        if is_dict and not (isinstance(given, Mapping) and given.keys() >= self.memory.parts.keys()):
            found = sorted(given) if isinstance(given, Mapping) else type(given).__name__
            raise ValueError(f"{argument} must be a dictionary with the keys {sorted(self.memory.parts)}, got {found}.")
        return {name: self._as_stored_part(argument, name, given[name]) for name in self.memory.parts}

    def _as_stored_part(self, argument: str, name: str, observations: np.ndarray) -> np.ndarray:
        """:return: [N, *obs_shape]"""
        part = self.memory.parts[name]
        observations = np.asarray(observations, part.dtype)
        wanted = (self.n_envs, *part.shape.obs_shape)
        if name in self._discrete and observations.size == self.n_envs:  # one number each, with an axis or without
            observations = observations.reshape(wanted)
        if observations.shape != wanted:
            which = f"{argument}[{name!r}]" if name else argument
            raise ValueError(
                f"{which} has shape {observations.shape}, and {self.n_envs} environments with observations of shape "
                f"{part.shape.obs_shape} give {wanted}: pass what the training environment returns."
            )
        return observations

    def _times_out(self, info: dict[str, Any]) -> bool:
        return self.handle_timeout_termination and info.get("TimeLimit.truncated", False)

    # --- sampling

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> Any:
        """
        :param batch_inds: slots, int64 [B]; the environments are drawn here, as SB3 does
        :param env: normalizes observations and rewards
        """
        envs = np.random.randint(0, high=self.n_envs, size=(len(batch_inds),))
        return self.samples_at(batch_inds, envs, env)

    def samples_at(self, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None = None) -> Any:
        """
        :param slots: places in the buffer, as SB3 counts them, int64 [B]
        :param envs: numbers of the environments, int64 [B]
        :param env: normalizes observations and rewards
        :return: the transitions that begin there, as SB3's samples
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
        samples = DictReplayBufferSamples if isinstance(observations, dict) else ReplayBufferSamples
        return samples(
            observations=observations,
            actions=self._tensor(actions),
            next_observations=next_observations,
            dones=self._tensor(dones),
            rewards=self._tensor(returns),
            discounts=None if discounts is None else self._tensor(discounts),
        )

    # --- hooks, see ReplayHooks

    sees_resets = True

    def learning_starts(self, normalizes_observations: bool) -> None:
        """:param normalizes_observations: of truncated episodes only the newest frame is then what it was"""
        self.memory.ends_are_exact = not normalizes_observations

    def anneal(self, progress_remaining: float) -> None:
        """:param progress_remaining: 1 at the start of the training, 0 at its end; without effect here"""

    def learned_from(self, batch: Any, priorities: torch.Tensor) -> None:
        """
        :param batch: an update was made with it
        :param priorities: of its transitions, [B]; without effect here
        """

    def statistics(self) -> dict[str, float]:
        """:return: numbers for the logs"""
        return {}

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
        normalizes = env is not None and env.norm_obs
        pairs = {
            name: self._part_observations(part, steps, last, envs, self._gathers_later and not normalizes)
            for name, part in self.memory.parts.items()
        }
        if isinstance(self.observation_space, spaces.Dict):
            both: tuple[Any, Any] = tuple({name: pair[i] for name, pair in pairs.items()} for i in range(2))  # type: ignore[assignment]
        else:
            both = pairs[PLAIN]
        return (self._normalized(both[0], env), self._normalized(both[1], env)) if normalizes else both

    def _part_observations(
        self, part: StackMemory, steps: np.ndarray, last: np.ndarray, envs: np.ndarray, gathers_later: bool
    ) -> tuple[Any, Any]:
        n_stack = part.shape.n_stack
        if last is steps:
            rows, first_of_next = part.rows(steps, envs), 1  # [B, K + 1]: all frames but one belong to both
        else:
            both = part.rows(np.concatenate([steps, last]), np.concatenate([envs, envs]))
            rows = np.concatenate([both[: len(steps), :-1], both[len(steps) :, 1:]], axis=1)  # [B, 2 K]
            first_of_next = n_stack
        if gathers_later and isinstance(part.store, DeviceFrameStore):
            named = partial(StackRows, part.store, part.shape)
            return named(rows[:, :n_stack]), named(rows[:, first_of_next:])
        frames = sent(part.store.gather(rows), self.device)
        return part.shape.join(frames[:, :n_stack]), part.shape.join(frames[:, first_of_next:])

    def _normalized(self, observations: Any, env: VecNormalize | None) -> Any:
        if isinstance(observations, dict):
            arrays = {name: tensor.cpu().numpy() for name, tensor in observations.items()}
            return {name: self._tensor(np.asarray(each)) for name, each in self._normalize_obs(arrays, env).items()}  # type: ignore[union-attr]
        return self._tensor(np.asarray(self._normalize_obs(observations.cpu().numpy(), env)))

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """:param array: made for this call, so that the tensor may share its memory"""
        return sent(array, self.device)
