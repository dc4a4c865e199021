"""The targets of a rollout, from what was kept while it grew: by their definition, and of a training.

T: vector steps, N: environments.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_dqn import PQN
from sb3_atari_dqn.algorithms.growing_rollout import GrowingRollout
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.returns import lambda_returns
from sb3_atari_dqn.objectives.scalar import ScalarValues
from tests.support.naive import naive_lambda_return

GAMMA = 0.9
GOES_ON, TERMINATES, TIMES_OUT = range(3)


@dataclass
class Twin:
    """One environment: after each step, the value that the bootstrap is to be made with."""

    values: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    discounts: list[float] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)

    def add(self, reward: float, outcome: int, value: float) -> None:
        self.values.append(value)
        self.rewards.append(reward)
        self.discounts.append(0.0 if outcome == TERMINATES else GAMMA)
        self.ends.append(outcome != GOES_ON)

    def targets(self, lambda_: float) -> list[float]:
        return naive_lambda_return(self.values, self.rewards, self.discounts, self.ends, lambda_)


def grown(outcomes: np.ndarray, seed: int = 0) -> tuple[GrowingRollout, torch.Tensor, list[Twin]]:
    """
    :param outcomes: of each step, [T, N]
    :return: a rollout with random rewards and values, the values of the states it led to, and its twins
    """
    rng = np.random.default_rng(seed)
    length, n_envs = outcomes.shape
    acted_in, final = rng.normal(size=(length + 1, n_envs)), rng.normal(100, size=(length, n_envs))
    rewards = rng.normal(size=(length, n_envs))
    rollout, twins = GrowingRollout(GAMMA), [Twin() for _ in range(n_envs)]
    for t, outcome in enumerate(outcomes):
        truncated = outcome == TIMES_OUT
        rollout.add(column(acted_in[t]), rewards[t], outcome != GOES_ON, truncated)
        if truncated.any():
            envs = np.flatnonzero(truncated)
            rollout.bootstrap_from(envs, column(final[t, envs]))
        for env, twin in enumerate(twins):
            value = final[t, env] if truncated[env] else acted_in[t + 1, env]
            twin.add(rewards[t, env], outcome[env], value)
    return rollout, column(acted_in[-1]), twins


def column(numbers: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(numbers.astype(np.float32)).unsqueeze(1)


def check(outcomes: np.ndarray, lambda_: float, seed: int = 0) -> None:
    rollout, last, twins = grown(outcomes, seed)
    assert len(rollout) == len(outcomes)
    targets = rollout.targets(ScalarValues(), last, lambda_)
    assert targets.shape == (*outcomes.shape, 1)
    assert targets.dtype == torch.float32
    for env, twin in enumerate(twins):
        assert targets[:, env, 0].tolist() == pytest.approx(twin.targets(lambda_), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("lambda_", [0.0, 0.65, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_targets_are_lambda_returns_with_the_final_states_of_truncated_episodes(seed, lambda_):
    rng = np.random.default_rng(seed)
    length, n_envs = rng.integers(1, 12), rng.integers(1, 5)
    check(rng.choice(3, p=[0.6, 0.2, 0.2], size=(length, n_envs)), lambda_, seed)


@pytest.mark.parametrize("outcome", [GOES_ON, TERMINATES, TIMES_OUT])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_one_environment_ends_at_the_start_amid_and_at_the_end_of_a_rollout(at, outcome):
    outcomes = np.zeros((5, 3), int)
    outcomes[at, 1] = outcome
    check(outcomes, 0.65)


@pytest.mark.parametrize("outcome", [TERMINATES, TIMES_OUT])
def test_all_environments_end_in_every_step(outcome):
    check(np.full((4, 3), outcome), 0.65)


def test_by_hand():
    """Gamma 1/2, lambda 1/2, rewards 1; the last step is truncated: 7 after it, not the 99 of the next episode."""
    rollout = GrowingRollout(0.5)
    for value, done in ((99.0, False), (4.0, True)):
        rollout.add(torch.tensor([[value]]), np.ones(1, np.float32), np.array([done]), np.array([done]))
    rollout.bootstrap_from(np.array([0]), torch.tensor([[7.0]]))
    targets = rollout.targets(ScalarValues(), torch.tensor([[99.0]]), 0.5)
    # 1 + 7/2, and 1 + (4 + 4.5)/4; terminated it would be 1 and 2.25.
    assert targets[:, 0, 0].tolist() == [3.125, 4.5]


def test_distributions_go_through_it_whole():
    values, rng = CategoricalValues(5, -2, 2), torch.Generator().manual_seed(0)
    outputs, final = torch.randn(4, 2, 5, generator=rng), torch.randn(1, 5, generator=rng)
    rollout, rewards = GrowingRollout(GAMMA), torch.randn(3, 2, generator=rng)
    ended = torch.tensor([[False, False], [True, True], [False, False]])
    truncated = torch.tensor([[False, False], [False, True], [False, False]])
    for t in range(3):
        rollout.add(outputs[t], rewards[t].numpy(), ended[t].numpy(), truncated[t].numpy())
        if t == 1:
            rollout.bootstrap_from(np.array([1]), final)
    reached = outputs[1:].clone()
    reached[1, 1] = final[0]
    discounts = torch.where(ended & ~truncated, 0.0, GAMMA)
    expected = lambda_returns(values, reached, rewards, discounts, ended, 0.65)
    assert torch.equal(rollout.targets(values, outputs[3], 0.65), expected)


def test_the_environments_may_use_their_arrays_again():
    """As a vectorized environment does that writes each step into the same memory."""
    kept, again = GrowingRollout(GAMMA), GrowingRollout(GAMMA)
    rewards, dones, truncated = np.zeros(2, np.float32), np.zeros(2, bool), np.zeros(2, bool)
    for t in range(3):
        rewards[:], dones[:] = t + 1, [False, t == 1]
        again.add(torch.ones(2, 1), rewards, dones, truncated)
        kept.add(torch.ones(2, 1), rewards.copy(), dones.copy(), truncated.copy())
    targets = [each.targets(ScalarValues(), torch.ones(2, 1), 0.65) for each in (kept, again)]
    assert torch.equal(*targets)


# --- of a training


class TimedOut(gym.Env):
    """Random vectors and rewards; each episode lasts a fixed number of steps, and every other one times out."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def __init__(self, length: int) -> None:
        self.action_space, self.length, self.episodes = spaces.Discrete(2), length, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.episodes = 0, self.episodes + 1
        return self._see(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        over, times_out = self.steps == self.length, self.episodes % 2 == 0
        return self._see(), float(self.np_random.normal()), over and not times_out, over and times_out, {}

    def _see(self) -> np.ndarray:
        return self.np_random.normal(size=3).astype(np.float32)


class Seen(BaseCallback):
    """What SB3's algorithms show their callbacks, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]] = []

    def _on_step(self) -> bool:
        self.steps.append(tuple(self.locals[name] for name in ("new_obs", "rewards", "dones", "infos")))
        return True


@pytest.mark.parametrize("learner", ["reference", "fast"])
@pytest.mark.parametrize("n_steps", [5, 6])
def test_the_targets_of_a_training_are_those_of_what_its_callback_saw(n_steps, learner):
    """Episodes of 2 and 3 steps: in 6 steps the last one is truncated in the second and terminated in the first."""
    env = DummyVecEnv([partial(TimedOut, length) for length in (2, 3, 100)])
    model = PQN(
        *("MlpPolicy", env), n_steps=n_steps, batch_size=3, gamma=GAMMA, q_lambda=0.65, seed=0, device="cpu",
        overlap=True, learner=learner, policy_kwargs={"net_arch": [8]},
    )  # fmt: skip
    seen = Seen()
    model.learn(3 * n_steps, callback=seen, log_interval=None)  # one rollout; with overlap the updates come later

    def value(observation: np.ndarray) -> float:
        with torch.no_grad():
            return model.q_net(torch.from_numpy(observation[None])).max().item()

    twins = [Twin() for _ in range(3)]
    for new_obs, rewards, dones, infos in seen.steps:
        for env_number, twin in enumerate(twins):
            info = infos[env_number]
            outcome = GOES_ON if not dones[env_number] else TIMES_OUT if info["TimeLimit.truncated"] else TERMINATES
            reached = new_obs[env_number] if outcome == GOES_ON else info["terminal_observation"]
            twin.add(float(rewards[env_number]), outcome, value(reached))
    targets = model.rollout_buffer._targets.view(n_steps, 3)
    ends = np.array([twin.ends for twin in twins])
    assert ends.any(axis=1).tolist() == [True, True, False]
    for env_number, twin in enumerate(twins):
        assert targets[:, env_number].tolist() == pytest.approx(twin.targets(0.65), abs=1e-5)
