"""SB3's replay buffers with a random generator of their own and a state, for observations that are no images.

B: batch, N: environments, n: steps of the return.
"""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn.checkpoints.state import check_form, check_sizes
from sb3_atari_dqn.replay.n_step import n_step_returns, window_lengths
from sb3_atari_dqn.replay.sampler_buffer import SamplerReplayBuffer
from sb3_atari_dqn.replay.samplers import UniformSampler, seed_from_numpy
from sb3_atari_dqn.transfers import sent

_OWNER = "replay memory"  # in messages


class SeededSampling(SamplerReplayBuffer):
    """
    Stores what the SB3 buffer stores that it is mixed into, and returns the same samples for the same indices, byte for
    byte. Only the indices come from a generator of its own, whose seed comes from numpy's global one.

    SB3 draws the environments in the middle of collecting a batch, so the batch is collected here. To exchange the
    global generator around SB3's code would take longer than a batch (0.3 ms), or lose its cached normal number, and
    would give our numbers to every other thread that draws meanwhile.

    A state holds all that is stored: vectors are small, and there are no `frames_since` it.

    Parameters as in SB3.

    :raises ValueError: on `optimize_memory_usage`, which FrameReplayBuffer does better
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.optimize_memory_usage:
            raise ValueError(
                f"{type(self).__name__} stores next observations too: leave out optimize_memory_usage=True, or use "
                "FrameReplayBuffer, which stores every observation once."
            )
        self.sampler: Any = UniformSampler(self.n_envs, seed_from_numpy())

    # --- sampling

    def samples_at(self, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None = None) -> Any:
        """
        :param slots: places in the buffer, int64 [B]
        :param envs: numbers of the environments, int64 [B]
        :param env: normalizes observations and rewards
        :return: the transitions that begin there, as SB3's samples
        """
        last, returns, discounts = self._returns(slots, envs, env)
        dones = self.dones[last, envs] * (1 - self.timeouts[last, envs])
        samples = DictReplayBufferSamples if isinstance(self.observations, dict) else ReplayBufferSamples
        return samples(
            observations=self._observations(self.observations, slots, envs, env),
            actions=self._tensor(self.actions[slots, envs]),
            next_observations=self._observations(self.next_observations, last, envs, env),
            dones=self._tensor(dones.reshape(-1, 1)),
            rewards=self._tensor(returns),
            discounts=None if discounts is None else self._tensor(discounts),
        )

    def _returns(
        self, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """:return: slot of the last transition of each return, int64 [B]; returns and discounts, float32 [B, 1]"""
        return slots, self._normalize_reward(self.rewards[slots, envs].reshape(-1, 1), env), None

    def _observations(self, stored: Any, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None) -> Any:
        """:return: tensor [B, *obs_shape], or a dictionary of these"""
        if isinstance(stored, dict):
            parts = self._normalize_obs({name: part[slots, envs] for name, part in stored.items()}, env)
            return {name: self._tensor(part) for name, part in parts.items()}  # type: ignore[union-attr]
        return self._tensor(self._normalize_obs(stored[slots, envs], env))

    def _tensor(self, array: Any) -> torch.Tensor:
        """:param array: made for this call, so that the tensor may share its memory"""
        return sent(array, self.device)

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """:return: everything: transitions, generator"""
        filled = self.size()
        arrays = {name: array[:filled].copy() for name, array in stored_arrays(self).items()}
        sampler = self.sampler.state_dict()
        return {"slots": self.buffer_size, "filled": filled, "pos": self.pos, "arrays": arrays, "sampler": sampler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`, of a buffer with the same arguments
        :raises ValueError: if the buffer has other sizes, and then stays as it was
        """
        own = stored_arrays(self)
        check_form(state, {"slots": 0, "filled": 0, "pos": 0, "arrays": own, "sampler": ...}, _OWNER)
        if state["slots"] != self.buffer_size:
            raise ValueError(
                f"The state has {state['slots']} transitions per environment, this {_OWNER} {self.buffer_size}: build "
                "it with the same arguments."
            )
        arrays, filled = state["arrays"], state["filled"]
        check_sizes(
            arrays, {name: np.empty((filled, *array.shape[1:]), array.dtype) for name, array in own.items()}, _OWNER
        )
        self.sampler.load_state_dict(state["sampler"])  # refuses by itself, so it comes first
        for name, array in own.items():
            array[:filled] = arrays[name]
        self.pos, self.full = state["pos"], filled == self.buffer_size


class SeededReplayBuffer(SeededSampling):
    """See :class:`SeededSampling`; any observation but dictionaries."""


class SeededDictReplayBuffer(SeededSampling, DictReplayBuffer):
    """See :class:`SeededSampling`; dictionaries."""


class SeededNStepReplayBuffer(SeededSampling, NStepReplayBuffer):
    """See :class:`SeededSampling`; n-step returns."""

    def _returns(
        self, slots: np.ndarray, envs: np.ndarray, env: VecNormalize | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns end with the newest transition too. SB3 marks it as truncated while it samples; this does not."""
        window = (slots[:, None] + np.arange(self.n_steps)) % self.buffer_size  # [B, n]
        of_envs = envs[:, None]
        ended = (self.dones[window, of_envs] != 0) | (self.timeouts[window, of_envs] != 0)
        lengths = window_lengths(ended | (window == (self.pos - 1) % self.buffer_size))
        rewards = self._normalize_reward(self.rewards[window, of_envs], env)
        return (slots + lengths - 1) % self.buffer_size, *n_step_returns(rewards, lengths, self.gamma)


# Which of ours stands for which of SB3's.
SEEDED: dict[type[ReplayBuffer], type[SeededSampling]] = {
    ReplayBuffer: SeededReplayBuffer,
    NStepReplayBuffer: SeededNStepReplayBuffer,
    DictReplayBuffer: SeededDictReplayBuffer,
}
_CONVERTIBLE = {*SEEDED, *SEEDED.values()}


def stored_arrays(buffer: ReplayBuffer) -> dict[str, np.ndarray]:
    """
    :param buffer: SB3's, or one of these
    :return: everything stored, by name, each [slots, N, ...]; of dictionaries each part, as "observations/part"
    """
    arrays: dict[str, np.ndarray] = {}
    for name, value in vars(buffer).items():
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        arrays |= {path: part for path, part in parts.items() if isinstance(part, np.ndarray)}
    return arrays


def can_convert(buffer: ReplayBuffer, buffer_class: type[ReplayBuffer]) -> bool:
    """
    :param buffer: filled, of any class
    :param buffer_class: wanted
    :return: whether `converted` can make the one from the other; not where SB3 left the next observations out
    """
    return not (_both_known(buffer, buffer_class) and buffer.optimize_memory_usage) or buffer_class is ReplayBuffer


def converted(buffer: ReplayBuffer, buffer_class: type[ReplayBuffer], kwargs: dict[str, Any]) -> ReplayBuffer:
    """
    What comes out of a pickle, as a model wants it: SB3's DQN saves its own class, `replay: sb3` wants that, and any of
    them may have been saved with another n.

    :param buffer: filled, of any class; its generator, if it has one, goes on where it was
    :param buffer_class: wanted
    :param kwargs: for its constructor; timeouts stay handled as they were
    :return: a buffer of that class with the same transitions in the same memory; `buffer` itself where one of the two
        classes is the user's, or SB3 left the next observations out
    """
    if not _both_known(buffer, buffer_class) or buffer.optimize_memory_usage:
        return buffer
    other = buffer_class(
        buffer.buffer_size * buffer.n_envs,
        buffer.observation_space,
        buffer.action_space,
        device=buffer.device,
        n_envs=buffer.n_envs,
        **{**kwargs, "handle_timeout_termination": buffer.handle_timeout_termination},
    )
    for name in {path.partition("/")[0] for path in stored_arrays(buffer)}:
        setattr(other, name, getattr(buffer, name))
    other.pos, other.full = buffer.pos, buffer.full
    if isinstance(buffer, SeededSampling) and isinstance(other, SeededSampling):
        other.sampler = buffer.sampler
    return other


def _both_known(buffer: ReplayBuffer, buffer_class: type[ReplayBuffer]) -> bool:
    return type(buffer) in _CONVERTIBLE and buffer_class in _CONVERTIBLE
