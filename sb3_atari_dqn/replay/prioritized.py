"""Prioritized replay of observations of any space, each frame stored once.

B: batch, N: environments.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.incoming import Observations
from sb3_atari_dqn.replay.priority_updates import PriorityUpdates
from sb3_atari_dqn.replay.samplers import ProportionalSampler, importance_weights, seed_from_numpy
from sb3_atari_dqn.replay.sum_tree import SumTree
from sb3_atari_dqn.schedules import LinearBeta
from sb3_atari_dqn.validation import check_between

# An algorithm that updates priorities does so after each batch.
_SURELY_NO_FEEDBACK = 100

# Larger values would leave one transition with all the probability, or all with the same.
MOST_ALPHA, MOST_EPSILON = 10, 1e6


class PrioritizedSamples(NamedTuple):
    """
    SB3's samples, of dictionaries too, and what prioritization adds: weights of the losses, float32 [B, 1], and places,
    int64 [B].
    """

    observations: Any
    actions: torch.Tensor
    next_observations: Any
    dones: torch.Tensor
    rewards: torch.Tensor
    discounts: torch.Tensor | None
    weights: torch.Tensor
    indices: np.ndarray


class PrioritizedFrameReplayBuffer(FrameReplayBuffer):
    """
    Proportional prioritization: transitions are drawn by their last TD error.

    Source: Schaul et al. 2016, algorithm 1. Deviations: beta is a function of the progress of the training; priorities
    come from TD errors that are not clipped; the TD error of an n-step return is that of the whole return.

    The algorithm multiplies the losses by `weights` and passes the TD errors to :meth:`update_priorities`; before
    sampling it calls :meth:`anneal` with its progress.

    :param alpha: exponent of the priorities; 0: uniform
    :param beta: importance-sampling exponent at the start of training
    :param final_beta: its value at the end
    :param epsilon: added to every absolute TD error
    The other parameters are those of :class:`FrameReplayBuffer`.

    :raises ValueError: on a bad argument
    """

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
        alpha: float = 0.6,
        beta: float = 0.4,
        final_beta: float = 1.0,
        epsilon: float = 1e-6,
        frames: str | None = None,
    ) -> None:
        self.check_numbers(n_steps, gamma, alpha=alpha, beta=beta, final_beta=final_beta, epsilon=epsilon)
        self._alpha, self._epsilon = alpha, epsilon
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
            n_stack=n_stack,
            stack_axis=stack_axis,
            n_steps=n_steps,
            gamma=gamma,
            frame_storage=frame_storage,
            frames=frames,
        )
        self._beta_schedule = LinearBeta(beta, final_beta)
        self.beta = beta
        self._priority_updates = PriorityUpdates(self.sampler.update)
        self._batches_without_feedback = 0

    def _make_sampler(self) -> ProportionalSampler:
        n_leaves = self.buffer_size * self.n_envs
        return ProportionalSampler(n_leaves, self._alpha, self._epsilon, seed_from_numpy())

    @classmethod
    def check_numbers(
        cls,
        n_steps: Any = 1,
        gamma: Any = 0.99,
        alpha: Any = 0.6,
        beta: Any = 0.4,
        final_beta: Any = 1.0,
        epsilon: Any = 1e-6,
        **others: Any,
    ) -> None:
        super().check_numbers(n_steps, gamma)
        check_between("alpha", alpha, 0, MOST_ALPHA)
        check_between("beta", beta, 0, 1)
        check_between("final_beta", final_beta, 0, 1)
        check_between("epsilon", epsilon, 0, MOST_EPSILON, above_low=True)

    def full_nbytes(self) -> int:
        return super().full_nbytes() + SumTree.nbytes_for(self.buffer_size * self.n_envs)

    def reset(self) -> None:
        super().reset()
        self._priority_updates.reset()
        self.sampler.reset()

    def anneal(self, progress_remaining: float) -> None:
        """:param progress_remaining: 1 at the start of the training, 0 at its end"""
        self.beta = self._beta_schedule(progress_remaining)

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
        Store one vector step, at the highest priority there has been unless the infos bring TD errors ("td_error", by
        actors that computed them); parameters as in SB3.

        TD errors still on their way arrive before: the highest priority counts them.
        """
        self.flush()
        first = self.pos * self.n_envs
        super().add(obs, next_obs, action, reward, done, infos)
        leaves = np.arange(first, first + self.n_envs)
        if infos and "td_error" in infos[0]:
            self.sampler.update(leaves, np.array([info["td_error"] for info in infos]))
        else:
            self.sampler.insert(leaves)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> PrioritizedSamples:  # type: ignore[override]
        """
        :param batch_size: B
        :param env: normalizes observations and rewards
        """
        self._batches_without_feedback += 1
        if self._batches_without_feedback == _SURELY_NO_FEEDBACK:
            warnings.warn(
                f"{_SURELY_NO_FEEDBACK} batches were sampled and update_priorities() was never called: all transitions "
                "keep the same priority. The algorithms of sb3_atari_dqn call it (replay='prioritized'), SB3's own do "
                "not.",
                stacklevel=2,
            )
        leaves, probabilities = self.sampler.draw(batch_size)
        weights = importance_weights(probabilities, self.size() * self.n_envs, self.beta)
        samples = self.samples_at(leaves // self.n_envs, leaves % self.n_envs, env)
        return PrioritizedSamples(**samples._asdict(), weights=self._tensor(weights.reshape(-1, 1)), indices=leaves)

    def update_priorities(self, indices: np.ndarray, td_errors: torch.Tensor | np.ndarray) -> None:
        """
        :param indices: of the samples, int64 [B]
        :param td_errors: with sign, [B]; those from a GPU take effect one update later, or with the next transition
        """
        self._batches_without_feedback = 0
        self._priority_updates.push(indices, td_errors)

    def learned_from(self, batch: PrioritizedSamples, priorities: torch.Tensor) -> None:
        """
        :param batch: of this buffer
        :param priorities: see :meth:`update_priorities`
        """
        self.update_priorities(batch.indices, priorities)

    def statistics(self) -> dict[str, float]:
        """:return: beta, for the logs"""
        return {"beta": self.beta}

    def flush(self) -> None:
        """Apply all pending priority updates."""
        self._priority_updates.flush()

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """:return: see :class:`FrameReplayBuffer`; TD errors on their way stay on their way"""
        return {
            **super().state_dict(),
            "priority_updates": self._priority_updates.state_dict(),
            "beta": self.beta,
            "batches_without_feedback": self._batches_without_feedback,
        }

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        self._priority_updates.check_state(state["priority_updates"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._priority_updates.load_state_dict(state["priority_updates"])
        self.beta, self._batches_without_feedback = state["beta"], state["batches_without_feedback"]

    # --- for files

    def priorities(self) -> np.ndarray:
        return self._arrived()[0].reshape(-1, self.n_envs)

    def set_priorities(self, slots: np.ndarray, priorities: np.ndarray | None) -> None:
        leaves = (slots[:, None] * self.n_envs + np.arange(self.n_envs)).ravel()
        if priorities is None:
            self.sampler.insert(leaves)
        else:
            self.sampler.tree[leaves] = priorities.ravel()

    def sampling_header(self) -> dict[str, Any]:
        generator = self.sampler.rng.bit_generator.state
        return {"sampler": {"max_priority": self._arrived()[1], "alpha": self._alpha, "rng": generator}}

    def load_sampling_header(self, header: dict[str, Any]) -> None:
        if header["sampler"]:
            self.sampler.max_priority = float(header["sampler"]["max_priority"])
            self.sampler.rng.bit_generator.state = header["sampler"]["rng"]
            alpha = float(header["sampler"].get("alpha", self._alpha))  # some files of version 2 do not say
            if alpha != self._alpha:
                self.sampler.rescale(alpha)

    def _arrived(self) -> tuple[np.ndarray, float]:
        """:return: values of all leaves and the highest priority, once the TD errors on their way have arrived"""
        return self.sampler.after(self._priority_updates.pending())
