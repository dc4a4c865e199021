"""Uniform replay of stacked observations, each frame stored once.

B: batch, K: frames in a stack, N: environments, n: steps of the return.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn.replay.gathering import stacks_of
from sb3_atari_dqn.replay.n_step import n_step_returns, window_lengths
from sb3_atari_dqn.replay.observation_memory import PLAIN
from sb3_atari_dqn.replay.sampler_buffer import SamplerReplayBuffer
from sb3_atari_dqn.replay.samplers import SB3Sampler, UniformSampler, seed_from_numpy
from sb3_atari_dqn.replay.stored_transitions import StoredTransitions
from sb3_atari_dqn.transfers import sent


class FrameReplayBuffer(SamplerReplayBuffer, StoredTransitions):
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
    :param device: of the batches
    :param n_envs: N
    :param optimize_memory_usage: SB3's option to store every observation once; this buffer always does, without SB3's
        limitations
    :param handle_timeout_termination: bootstrap from the last observation of truncated episodes; see SB3
    :param n_stack: K; 1 stores every observation whole, which is right for any environment. A mapping gives it for
        each key of a dictionary
    :param stack_axis: along which the frames lie, counted without the batch axis; a mapping likewise. Default: where
        SB3's VecFrameStack puts them by default
    :param n_steps: n
    :param gamma: discount, used for n > 1
    :param frame_storage: where the frames are: "ram", "compressed" (in RAM) or "device" (in the memory of `device`);
        None: "ram"
    :param sb3_sampling: draw from numpy's global generator what SB3's ReplayBuffer draws; by default the buffer has a
        generator of its own, whose seed comes from the global one
    :param frames: old name of `frame_storage`
    :raises ValueError: on observations or arguments that do not fit
    :raises MemoryError: if the machine, or the container, cannot hold the full buffer
    """

    _gathers_later = False

    # --- sampling

    def _make_sampler(self) -> Any:
        """:return: draws what is sampled"""
        return SB3Sampler(self.n_envs) if self._sb3_sampling else UniformSampler(self.n_envs, seed_from_numpy())

    def samples_at(self, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None = None) -> Any:
        """
        :param slots: indices into the buffer, as SB3 counts them, int64 [B]
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

    # --- for files

    def priorities(self) -> np.ndarray | None:
        """:return: of all transitions, those on their way included, float64 [slots, N]; None: there are none"""
        return None

    def set_priorities(self, slots: np.ndarray, priorities: np.ndarray | None) -> None:
        """
        :param slots: int64 [any]
        :param priorities: float64 [any, N]; None: those of new transitions; without effect here
        """

    def sampling_header(self) -> dict[str, Any]:
        """:return: what samples depend on beside the stored transitions; goes into JSON"""
        return {"sampler": None, "generator": self.sampler.state_dict()}

    def load_sampling_header(self, header: dict[str, Any]) -> None:
        """:param header: with what `sampling_header` of any of our buffers gave; version 0.1.0 wrote no generator"""
        if header.get("generator") and self.sampler.state_dict():  # SB3's sampling has no generator of its own
            self.sampler.load_state_dict(header["generator"])

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
        as_rows = self._gathers_later and not normalizes
        pairs = {
            name: stacks_of(part, steps, last, envs, self.device, as_rows) for name, part in self.memory.parts.items()
        }
        if isinstance(self.observation_space, spaces.Dict):
            both: tuple[Any, Any] = tuple({name: pair[i] for name, pair in pairs.items()} for i in range(2))  # type: ignore[assignment]
        else:
            both = pairs[PLAIN]
        return (self._normalized(both[0], env), self._normalized(both[1], env)) if normalizes else both

    def _normalized(self, observations: Any, env: VecNormalize | None) -> Any:
        if isinstance(observations, dict):
            arrays = {name: tensor.cpu().numpy() for name, tensor in observations.items()}
            return {name: self._tensor(np.asarray(each)) for name, each in self._normalize_obs(arrays, env).items()}  # type: ignore[union-attr]
        return self._tensor(np.asarray(self._normalize_obs(observations.cpu().numpy(), env)))

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """:param array: made for this call, so that the tensor may share its memory"""
        return sent(array, self.device)
