"""Policies and random batches for tests of the learners. B: batch, A: actions."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from sb3_atari_dqn.learners.update import LearningRule
from sb3_atari_dqn.objectives.bootstrap import Bootstrap, Double, Greedy
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.policies import CnnPolicy, QPolicy
from sb3_atari_dqn.replay.prioritized import PrioritizedSamples

N_ACTIONS = 3
GAMMA = 0.9
DUELING: dict[str, Any] = {"head": "dueling"}
#: Algorithm -> policy_kwargs that it sets.
FAMILIES: dict[str, dict[str, Any]] = {"classic": {}, "double": {}, "dueling": DUELING}


def rule_of(
    bootstrap: Bootstrap = Double(),  # noqa: B008, frozen
    error: str = "huber",
    gamma: float = GAMMA,
    max_grad_norm: float = 10,
) -> LearningRule:
    return LearningRule(Objective(ScalarValues(error), bootstrap, gamma), max_grad_norm)


RULE = rule_of()
RULES = {family: rule_of(Greedy() if family == "classic" else Double()) for family in FAMILIES}

# Torso -> its arguments, and the shape of the images that it sees.
TORSOS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "nature": ({}, (4, 84, 84)),
    "dqn2013": ({}, (2, 36, 36)),
    "elu": ({"strides": (4, 2, 1), "hidden_size": 32}, (2, 44, 36)),
    "maxpool": ({"hidden_size": 32}, (2, 80, 72)),
    "impala": ({"hidden_size": 32}, (2, 27, 22)),
    "hadamax": ({"hidden_size": 32}, (2, 27, 22)),
}


def images(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def make_policy(
    policy_class: type[QPolicy] = CnnPolicy,
    space: spaces.Space | None = None,
    seed: int = 0,
    learning_rate: float = 1e-3,
    **kwargs: Any,
) -> QPolicy:
    """:return: a policy whose two networks differ"""
    torch.manual_seed(seed)
    actions = spaces.Discrete(N_ACTIONS)
    policy = policy_class(space or images(2, 36, 36), actions, lambda _: learning_rate, **kwargs)
    for parameter in policy.q_net_target.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    return policy


def torso_policy(family: str, torso: str, **kwargs: Any) -> QPolicy:
    torso_kwargs, shape = TORSOS[torso]
    arguments = {"features_extractor_class": torso, "features_extractor_kwargs": torso_kwargs, **kwargs}
    return make_policy(CnnPolicy, images(*shape), **FAMILIES[family], **arguments)


def observations(space: Any, batch_size: int, generator: np.random.Generator) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: observations(part, batch_size, generator) for key, part in space.spaces.items()}
    shape = (batch_size, *space.shape)
    if space.dtype == np.uint8:
        return torch.from_numpy(generator.integers(256, size=shape, dtype=np.uint8))
    return torch.from_numpy(generator.normal(size=shape).astype(np.float32))


def batch(space: Any, seed: int, n_steps: int = 1, weighted: bool = False, batch_size: int = 8) -> PrioritizedSamples:
    """:return: random transitions; without weights these are 1, and with one step there are no discounts"""
    generator = np.random.default_rng(seed)
    now, then = (observations(space, batch_size, generator) for _ in range(2))

    def column(numbers: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(numbers.astype(np.float32)).unsqueeze(1)

    steps = generator.integers(1, n_steps + 1, size=batch_size)
    return PrioritizedSamples(
        observations=now,
        actions=torch.from_numpy(generator.integers(N_ACTIONS, size=(batch_size, 1))),
        next_observations=then,
        dones=column(generator.random(batch_size) < 0.25),
        rewards=column(2 * generator.normal(size=batch_size)),
        discounts=None if n_steps == 1 else column(GAMMA**steps),
        weights=column(generator.uniform(0.2, 1, batch_size) if weighted else np.ones(batch_size)),
        indices=np.arange(batch_size),
    )
