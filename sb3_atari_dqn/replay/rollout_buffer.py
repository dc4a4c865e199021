"""Rollouts for learning without replay: what the environments did in the last vector steps, each frame stored once.

T: vector steps of a rollout, N: environments, B: transitions in a minibatch, D': numbers in a target.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sb3_atari_dqn.checkpoints.state import check_form, generator_state, load_generator_state
from sb3_atari_dqn.replay.observation_memory import PLAIN
from sb3_atari_dqn.replay.stored_transitions import StoredTransitions
from sb3_atari_dqn.transfers import sent

_OWNER = "rollout buffer"


class Minibatch(NamedTuple):
    """
    For a learner, under the names of SB3's samples.

    :param observations: [B, *obs_shape]
    :param actions: int64 [B, 1]
    :param targets: float32 [B, D']
    :param next_observations: None, as the targets are known
    """

    observations: Any
    actions: Tensor
    targets: Tensor
    next_observations: None = None


class MinibatchOrder:
    """
    The order in which the transitions of a rollout are learned from: shuffled anew in each epoch.

    :param seed: of the generator
    """

    def __init__(self, seed: int | None) -> None:
        self.seed(seed)

    def seed(self, seed: int | None) -> None:
        """:param seed: of the generator, None: from the operating system"""
        self._rng = np.random.default_rng(seed)

    def draw(self, n_transitions: int, n_epochs: int, batch_size: int) -> np.ndarray:
        """:return: numbers of the transitions, int64 [minibatches, B]"""
        epochs = [self._rng.permutation(n_transitions) for _ in range(n_epochs)]
        return np.concatenate(epochs).reshape(-1, batch_size)

    def state_dict(self) -> dict[str, Any]:
        """:return: state of the generator, JSON values"""
        return {"generator": generator_state(self._rng)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""
        check_form(state, {"generator": ...}, "order of the minibatches")
        load_generator_state(self._rng, state["generator"])


class RolloutBuffer(StoredTransitions):
    """
    Two rollouts: one grows while updates are made with the one before.

    A stack is put together from its frames when a minibatch needs it. What has no frames is stored whole.

    :param rollout_steps: T
    :param observation_space: see :class:`~sb3_atari_dqn.replay.buffer.FrameReplayBuffer`, as for the other arguments
    :param action_space: discrete
    :param seed: of the order of the minibatches
    """

    def __init__(
        self,
        rollout_steps: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: torch.device | str = "auto",
        n_envs: int = 1,
        *,
        n_stack: int | Mapping[str, int],
        stack_axis: int | Mapping[str, int] | None = None,
        seed: int | None = None,
    ) -> None:
        self.rollout_steps, self._seed = rollout_steps, seed
        slots = 2 * rollout_steps * n_envs
        super().__init__(slots, observation_space, action_space, device, n_envs, n_stack=n_stack, stack_axis=stack_axis)
        self.reset()

    def _make_sampler(self) -> MinibatchOrder:
        return MinibatchOrder(self._seed)

    def reset(self) -> None:
        super().reset()
        self._first_step = 0  # of the rollout that is learned from
        self._targets = torch.zeros(0, 1)  # of its transitions, step by step, [T * N, D']
        self._minibatches = np.zeros((0, 1), np.int64)  # that updates are still to be made with, [any, B]

    def seed(self, seed: int) -> None:
        """:param seed: of the order of the minibatches"""
        self.sampler.seed(seed)

    # --- minibatches

    @property
    def pending_updates(self) -> int:
        """Minibatches that no update has been made with."""
        return len(self._minibatches)

    def begin_epochs(self, targets: Tensor, n_epochs: int, batch_size: int) -> None:
        """
        The last T vector steps are a whole rollout: learn from it, its transitions shuffled anew in each epoch.

        :param targets: float32 [T, N, D']
        :param n_epochs: number of times each transition is learned from
        :param batch_size: B, divides T * N
        """
        self._first_step = self.memory.steps - self.rollout_steps
        self._targets = targets.flatten(end_dim=1)
        self._minibatches = self.sampler.draw(len(self._targets), n_epochs, batch_size)

    def minibatch(self) -> Minibatch:
        """:return: the next one; it stays the next one until :meth:`learned`"""
        numbers = self._minibatches[0]
        steps, envs = self._first_step + numbers // self.n_envs, numbers % self.n_envs
        actions = self.actions[steps % self.buffer_size, envs].astype(np.int64)
        return Minibatch(self._observations(steps, envs), sent(actions, self.device), self._targets[numbers])

    def observations_at(self, slots: np.ndarray, envs: np.ndarray) -> Any:
        """
        :param slots: below `size()`, int64 [B]
        :param envs: numbers of the environments, int64 [B]
        :return: observations stored there, [B, *obs_shape] or a dictionary of such
        """
        newest = self.memory.steps - 1
        return self._observations(newest - (newest - slots) % self.buffer_size, envs)

    def learned(self) -> None:
        """An update was made with the minibatch."""
        self._minibatches = self._minibatches[1:]

    def drop_minibatches(self) -> None:
        """No more updates are made with this rollout."""
        self._minibatches = self._minibatches[:0]

    def _observations(self, steps: np.ndarray, envs: np.ndarray) -> Any:
        """:return: [B, *obs_shape], or a dictionary of such"""
        stacks = {}
        for name, part in self.memory.parts.items():
            rows = part.rows(steps, envs)[:, : part.shape.n_stack]
            stacks[name] = part.shape.join(sent(part.store.gather(rows), self.device))
        return stacks if isinstance(self.observation_space, spaces.Dict) else stacks[PLAIN]

    # --- state

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "first_step": self._first_step,
            "targets": self._targets.cpu().numpy().copy(),
            "minibatches": self._minibatches.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._first_step = state["first_step"]
        self._targets = torch.as_tensor(state["targets"], device=self.device)
        self._minibatches = np.array(state["minibatches"])

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        targets, minibatches = np.asarray(state["targets"]), np.asarray(state["minibatches"])
        for name, array, dtype in (("targets", targets, np.float32), ("minibatches", minibatches, np.int64)):
            if array.ndim != 2 or array.dtype != dtype:
                raise ValueError(
                    f"The state of the {_OWNER} has {name} of shape {array.shape} and type {array.dtype}; they are "
                    f"rows of {np.dtype(dtype)}: it is damaged."
                )
        if minibatches.size:
            self._check_rollout(state, targets, minibatches)

    def _check_rollout(self, state: dict[str, Any], targets: np.ndarray, minibatches: np.ndarray) -> None:
        """:raises ValueError: on minibatches of transitions that the state does not have"""
        n_transitions, newest = self.rollout_steps * self.n_envs, next(iter(state["memory"].values()))["steps"]
        if len(targets) != n_transitions:
            raise ValueError(
                f"The state of the {_OWNER} has {len(targets)} targets for the {n_transitions} transitions of a "
                "rollout: it is damaged."
            )
        if not 0 <= minibatches.min() <= minibatches.max() < n_transitions:
            raise ValueError(
                f"The state of the {_OWNER} has minibatches of transitions {minibatches.min()} to {minibatches.max()}, "
                f"and a rollout has {n_transitions}: it is damaged."
            )
        first, oldest = state["first_step"], max(newest - state["filled"], 0)
        if not isinstance(first, int) or not oldest <= first <= newest - self.rollout_steps:
            raise ValueError(
                f"The state of the {_OWNER} learns from a rollout that begins at step {first!r}, and holds the steps "
                f"{oldest} to {newest - 1}: it is damaged."
            )
