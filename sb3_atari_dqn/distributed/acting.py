"""An actor's copy of the policy's network. G: games of a group, K * C: channels of a frame stack, H W: its size."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sb3_atari_dqn.distributed.td_errors import Returns
from sb3_atari_dqn.distributed.weights import unpack
from sb3_atari_dqn.finite import finite_argmax
from sb3_atari_dqn.learners.precision import PRECISIONS
from sb3_atari_dqn.learners.working_copy import OwnNetwork, WorkingCopy
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.policies import QPolicy


class PolicySpec(NamedTuple):
    """
    What a policy is built from.

    :param policy_class: of the learner's policy
    :param observation_space: of one frame stack
    :param action_space: discrete
    :param policy_kwargs: complete, those that the algorithm sets included
    :param returns: of the TD errors that actors compute; None: they need not
    :param precision: in which the learner computes, "bf16" or "fp32"; None: on the policy's own network
    """

    policy_class: type[QPolicy]
    observation_space: spaces.Box
    action_space: spaces.Discrete
    policy_kwargs: dict[str, Any]
    returns: Returns | None
    precision: str | None


class ActingNetwork:
    """
    Computes on one thread, so that its numbers are the same on every machine with the same processor. The groups of a
    process share it, each with its own state of the generators.

    :param spec: of the policy
    """

    def __init__(self, spec: PolicySpec) -> None:
        with torch.random.fork_rng(devices=[]):  # in the learner's process too, initializing disturbs nothing
            policy = spec.policy_class(spec.observation_space, spec.action_space, lambda _: 0.0, **spec.policy_kwargs)
        policy.set_training_mode(False)
        self._values, self._q_net = policy.q_net.values, policy.q_net
        self._first_action = policy.first_action
        self.returns = spec.returns
        self._version = -1  # of the weights
        self._network: Any = (
            OwnNetwork(policy.q_net)
            if spec.precision is None
            else WorkingCopy(policy.q_net, PRECISIONS[spec.precision])
        )

    def seed(self, seed: int) -> None:
        """:param seed: of the generators, those of noisy layers and of drawn quantile fractions"""
        for number, generator in enumerate(generators(self._q_net)):
            generator.manual_seed(seed + number)

    def load(self, version: int, numbers: np.ndarray) -> None:
        """
        :param version: of the weights; nothing happens if it is here already
        :param numbers: from the learner, see :func:`tensors_of`
        """
        if version != self._version:
            unpack(numbers, tensors_of(self._network, self._q_net))
            self._version = version

    @torch.no_grad()
    def action_values(self, stacks: np.ndarray) -> Tensor:
        """
        :param stacks: uint8 [G, K * C, H, W]
        :return: float32 [G, A]
        """
        with one_thread():
            self._network.train(False)
            images = self._network.preprocess(torch.from_numpy(stacks))
            return self._values.mean(self._network(images))

    def greedy_actions(self, values: Tensor) -> np.ndarray:
        """
        :param values: of :meth:`action_values`
        :return: int64 [G]
        :raises NonFiniteValues: on an action value that is NaN or infinite
        """
        return finite_argmax(values).numpy() + self._first_action

    def values_of(self, values: Tensor, actions: np.ndarray) -> np.ndarray:
        """
        :param values: of :meth:`action_values`
        :param actions: int64 [G]
        :return: float32 [G]
        """
        return values.numpy()[np.arange(len(actions)), actions - self._first_action]

    def state_dict(self) -> dict[str, Any]:
        """:return: of the generators; the weights come from the learner"""
        return {"generators": [each.get_state().numpy().copy() for each in generators(self._q_net)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""
        for own, saved in zip(generators(self._q_net), state["generators"], strict=True):
            own.set_state(torch.as_tensor(np.array(saved, np.uint8)))


def tensors_of(network: Any, master: Any) -> list[Tensor]:
    """
    :param network: a working copy, or what stands for it
    :param master: the network it copies
    :return: what it computes with, in a fixed order
    """
    return [*network.parameters, *(buffer for _, buffer in master.named_buffers())]


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order: how torch divides a product among threads changes its last bit."""
    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)
