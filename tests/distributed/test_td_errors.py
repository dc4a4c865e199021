"""First priorities: against the slow obvious twin, and as they arrive in the replay memory."""

from typing import Any

import numpy as np
import pytest

from sb3_atari_dqn import ActorVecEnv
from sb3_atari_dqn.distributed.td_errors import Returns, td_errors
from tests.support.actors import GAME, GameStreams, actor_env, assert_same, learner, trained

GAMMA = 0.9


def slow_td_error(
    step: int, game: int, rewards: Any, dones: Any, truncated: Any, taken: Any, best: Any, n: int
) -> float:
    total = 0.0
    for i in range(n):
        total += GAMMA**i * rewards[step + i, game]
        if dones[step + i, game]:
            value = best[step + i, game] if truncated[step + i, game] else 0.0
            break
        value = best[step + i + 1, game]
        if step + i == len(rewards) - 1:
            break
    return total + GAMMA ** (i + 1) * value - taken[step, game]


@pytest.mark.parametrize("n_steps", [1, 3, 20])
def test_td_errors_are_those_of_the_twin(n_steps):
    rng = np.random.default_rng(n_steps)
    steps, games = 13, 5
    rewards, taken = (rng.normal(size=(steps, games)).astype(np.float32) for _ in range(2))
    best = rng.normal(size=(steps + 1, games)).astype(np.float32)
    dones = rng.random((steps, games)) < 0.2
    truncated = dones & (rng.random((steps, games)) < 0.3)
    assert truncated.any()
    found = td_errors(rewards, dones, truncated, taken, best, Returns(n_steps, GAMMA))
    for step in range(steps):
        for game in range(games):
            expected = slow_td_error(step, game, rewards, dones, truncated, taken, best, n_steps)
            assert found[step, game] == pytest.approx(expected, abs=1e-5)


def test_by_hand():
    """Two steps of reward 1, then an end; a decoy of 100 stands behind it."""
    rewards = np.array([[1.0], [1.0], [5.0]], np.float32)
    dones = np.array([[False], [True], [False]])
    taken = np.array([[0.5], [2.0], [1.0]], np.float32)
    best = np.array([[3.0], [4.0], [100.0], [10.0]], np.float32)
    found = td_errors(rewards, dones, np.zeros_like(dones), taken, best, Returns(3, 0.5))
    np.testing.assert_allclose(found[:, 0], [1 + 0.5 - 0.5, 1 - 2, 5 + 0.5 * 10 - 1])


def test_new_transitions_have_the_priorities_of_their_actors():
    env = actor_env(initial_priorities=True)
    model = learner(env, learning_starts=10**6, exploration_final_eps=0.0)  # nothing is learned
    values = model.policy.q_net
    seen = GameStreams()
    model.learn(64, callback=seen)
    buffer = model.replay_buffer
    priorities = buffer.priorities()[:16]
    assert len(np.unique(priorities)) > 30
    step, place = 3, 2  # its window lies inside a block of eight
    samples = buffer.samples_at(np.array([step]), np.array([place]))
    discounts = 0 if samples.dones[0, 0] else float(samples.discounts[0, 0])
    value = values(samples.observations)[0, int(samples.actions[0, 0])]
    error = float(samples.rewards[0, 0] + discounts * values(samples.next_observations).max() - value)
    assert priorities[step, place] == pytest.approx((abs(error) + 1e-6) ** 0.6, rel=1e-3)
    env.close()


@pytest.mark.slow
def test_runs_with_first_priorities_can_be_repeated_and_differ():
    ours, theirs = (trained(initial_priorities=True) for _ in range(2))
    assert_same(ours, theirs)
    assert not np.array_equal(ours["priorities"], trained()["priorities"])


def test_without_prioritized_replay_they_are_refused():
    env = ActorVecEnv(GAME, 4, ray={"address": "in-process", "initial_priorities": True})
    with pytest.raises(ValueError, match=r"initial_priorities are for prioritized replay.*replay='prioritized'"):
        learner(env, replay="uniform").learn(10)
    env.close()
