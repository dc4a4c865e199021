"""Learning, end to end: probes in seconds, a pixel game and CartPole in less than a minute each."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_atari_dqn import ClassicDQN, DoubleDQN, DuelingDQN
from tests.support.environments import DiscountProbe, PolicyProbe, SmallCatch, ValueProbe

ALGORITHMS = [ClassicDQN, DoubleDQN, DuelingDQN]


class NatureCatch(SmallCatch):
    """Images of 40x40 pixels; the smallest for the torso `nature` are 36x36."""

    pixels_per_cell = 8
    observation_space = spaces.Box(0, 255, (40, 40, 1), np.uint8)


def learn_probe(algorithm, env, gamma=0.5):
    model = algorithm(
        "MlpPolicy", env, learning_rate=5e-3, buffer_size=1000, learning_starts=50, batch_size=32, gamma=gamma,
        train_freq=2, target_update_interval=20, exploration_fraction=1.0, policy_kwargs={"net_arch": [16]}, seed=0,
        device="cpu",
    )  # fmt: skip
    return model.learn(1000)


def mean_score(model, env):
    return evaluate_policy(model, Monitor(env), n_eval_episodes=100)[0]


def q_values(model, observation):
    with torch.no_grad():
        return model.q_net(torch.tensor([[observation]])).numpy()[0]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_value_probe(algorithm):
    assert q_values(learn_probe(algorithm, ValueProbe()), 0.0) == pytest.approx([1, 1], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_discount_probe(algorithm):
    model = learn_probe(algorithm, DiscountProbe(), gamma=0.5)
    assert q_values(model, 1.0) == pytest.approx([1, 1], abs=0.1)
    assert q_values(model, 0.0) == pytest.approx([0.5, 0.5], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_policy_probe(algorithm):
    model = learn_probe(algorithm, PolicyProbe())
    assert q_values(model, -1.0) == pytest.approx([1, -1], abs=0.2)
    assert q_values(model, 1.0) == pytest.approx([-1, 1], abs=0.2)


@pytest.mark.slow
def test_dueling_dqn_learns_to_catch_from_pixels():
    """With the default torso. With each of the seeds 0 to 2 it missed no ball after 2,000 steps."""
    model = DuelingDQN(
        "CnnPolicy", NatureCatch(), learning_rate=1e-3, buffer_size=10_000, learning_starts=200, train_freq=4,
        gradient_steps=2, target_update_interval=100, exploration_fraction=0.5, gamma=0.95, seed=0, device="cpu",
        policy_kwargs={"features_extractor_kwargs": {"hidden_size": 64}},
    )  # fmt: skip
    untrained = mean_score(model, NatureCatch())
    model.learn(2_000)
    assert untrained < 0
    assert mean_score(model, NatureCatch()) >= 0.9


@pytest.mark.slow
def test_classic_dqn_balances_the_pole():
    """Games are played together, for training and evaluation: one by one they would take most of the time."""
    model = ClassicDQN(
        "MlpPolicy", make_vec_env("CartPole-v1", 8, seed=0), learning_rate=lambda remaining: 2e-3 * remaining,
        buffer_size=50_000, learning_starts=500, batch_size=64, train_freq=8, gradient_steps=32,
        target_update_interval=10, exploration_fraction=0.16, exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [128, 128]}, seed=0, device="cpu",
    )  # fmt: skip
    stop = StopTrainingOnRewardThreshold(reward_threshold=475)
    games = make_vec_env("CartPole-v1", 10, seed=0)
    evaluation = EvalCallback(games, stop, n_eval_episodes=10, eval_freq=2_000 // 8, verbose=0)
    model.learn(50_000, callback=evaluation)
    assert evaluation.best_mean_reward >= 475
