"""ClassicDQN against SB3's DQN: same seed, same data, same parameters after N updates, bit for bit."""

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecFrameStack
from torch import nn

from sb3_atari_dqn.algorithms.dqn import ClassicDQN
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from tests.support.environments import Catch, Noise

SETTINGS: dict[str, Any] = dict(buffer_size=500, batch_size=10, learning_rate=1e-3, seed=5, device="cpu")

# Ours would draw from a generator of its own.
SB3_SAMPLING: dict[str, Any] = {"replay_buffer_kwargs": {"sb3_sampling": True}}


def collect(model, vector_steps=60):
    """Fill the replay buffer with the model's environment under random actions, the same for every model."""
    model.set_logger(Logger(folder=None, output_formats=[]))
    generator, observations = np.random.default_rng(1), model.env.reset()
    for _ in range(vector_steps):
        actions = generator.integers(model.action_space.n, size=model.n_envs)
        model._last_obs = observations
        observations, rewards, dones, infos = model.env.step(actions)
        model._store_transition(model.replay_buffer, actions, observations, rewards, dones, infos)


def train(model, n_updates=20):
    """Two trainings with a target update between them."""
    collect(model)
    np.random.seed(9)
    model.train(gradient_steps=n_updates // 2, batch_size=model.batch_size)
    model.target_update_interval = 1
    model._on_step()
    model.train(gradient_steps=n_updates // 2, batch_size=model.batch_size)
    return model


def same(left, right):
    """:return: whether two nested state dictionaries are equal to the last bit"""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("tau", [1.0, 0.3, 0.0])
@pytest.mark.parametrize(
    ("policy", "env", "n_envs"), [("CnnPolicy", Noise, 1), ("CnnPolicy", Catch, 3), ("MlpPolicy", "CartPole-v1", 2)]
)
def test_parameters_equal_sb3s_after_training_on_the_same_data(policy, env, n_envs, tau, n_steps):
    theirs, ours = (
        train(algorithm(policy, make_vec_env(env, n_envs, seed=2), n_steps=n_steps, tau=tau, **SETTINGS, **more))
        for algorithm, more in ((DQN, {}), (ClassicDQN, SB3_SAMPLING))
    )
    assert same(ours.get_parameters(), theirs.get_parameters())


@pytest.mark.parametrize("more", [SB3_SAMPLING, {"replay": "sb3"}], ids=["sb3_sampling", "sb3"])
@pytest.mark.parametrize("kwargs", [{}, {"n_steps": 3}, {"policy": "MultiInputPolicy"}], ids=str)
def test_with_sb3s_draws_parameters_equal_sb3s_on_vectors_and_without_them_they_do_not(kwargs, more):
    env = BitFlippingEnv if "policy" in kwargs else "CartPole-v1"
    kwargs = {"policy": "MlpPolicy", **SETTINGS, **kwargs}
    theirs, ours, seeded = (
        train(algorithm(env=make_vec_env(env, 2, seed=2), **kwargs, **each))
        for algorithm, each in ((DQN, {}), (ClassicDQN, more), (ClassicDQN, {}))
    )
    assert same(ours.get_parameters(), theirs.get_parameters())
    assert not same(seeded.get_parameters(), theirs.get_parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    "bound",
    [
        {"tau": 0.0},
        {"gamma": 0.0},
        {"gamma": 1.0},
        {"learning_rate": 0.0},
        {"max_grad_norm": 0.0},
        {"max_grad_norm": float("inf")},
        {"target_update_interval": 0},
        {"learning_starts": 0},
        {"exploration_fraction": 0.0},
        {"exploration_fraction": 2.0},
        {"exploration_initial_eps": 0.0, "exploration_final_eps": 1.0},
        {"gradient_steps": 0},
        {"gradient_steps": -1},
        {"stats_window_size": 1},
    ],
    ids=str,
)
def test_at_the_bounds_of_its_arguments_sb3s_results_are_ours_too(bound):
    epsilons: dict[type, list[float]] = {}
    models, parameters = [], []
    for algorithm in (DQN, ClassicDQN):
        more = SB3_SAMPLING if algorithm is ClassicDQN else {}
        model = algorithm("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=2), **{**SETTINGS, **bound, **more})
        model._current_progress_remaining = 0.999  # SB3 divides by a fraction of 0 before the first step
        train(model)
        parameters.append(copy.deepcopy(model.get_parameters()))
        schedule, rates = model.exploration_schedule, epsilons.setdefault(algorithm, [])
        for progress_remaining in (0.999, 0.9, 0.5, 0.0):
            rates.append(schedule(progress_remaining))
        model.learn(40)
        models.append(model)
    assert epsilons[ClassicDQN] == epsilons[DQN]
    assert same(parameters[1], parameters[0])
    assert models[0]._n_updates == models[1]._n_updates


@pytest.mark.parametrize("replay", ["uniform", "sb3"])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_parameters_equal_sb3s_on_stacked_frames_that_are_stored_once(n_steps, replay):
    kwargs = dict(n_steps=n_steps, **SETTINGS)
    theirs, ours = (
        train(algorithm("CnnPolicy", VecFrameStack(make_vec_env(Noise, 2, seed=2), 4), **kwargs, **more))
        for algorithm, more in (
            (DQN, {}),
            (ClassicDQN, {"replay": replay, **(SB3_SAMPLING if replay == "uniform" else {})}),
        )
    )
    assert isinstance(ours.replay_buffer, FrameReplayBuffer) == (replay == "uniform")
    assert same(ours.get_parameters(), theirs.get_parameters())


class FlattenBatchNormDropoutExtractor(BaseFeaturesExtractor):
    """What SB3's own tests put into policies to see whether training and evaluation are told apart."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, get_flattened_obs_dim(observation_space))
        self.flatten, self.batch_norm = nn.Flatten(), nn.BatchNorm1d(self._features_dim)
        self.dropout = nn.Dropout(0.5)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.batch_norm(self.flatten(observations)))


@pytest.mark.parametrize(("policy", "env"), [("MlpPolicy", "CartPole-v1"), ("CnnPolicy", Noise)])
def test_batch_normalization_and_dropout_train_and_act_as_in_sb3(policy, env):
    kwargs: dict[str, Any] = dict(
        policy_kwargs={"net_arch": [16], "features_extractor_class": FlattenBatchNormDropoutExtractor}
    )
    models: list[Any] = []
    for algorithm, more in ((DQN, {}), (ClassicDQN, SB3_SAMPLING)):
        model = algorithm(policy, make_vec_env(env, 2, seed=2), **kwargs, **SETTINGS, **more)
        torch.manual_seed(3)
        models.append(train(model))
    theirs, ours = models
    assert same(ours.get_parameters(), theirs.get_parameters())
    statistics = ours.q_net.features_extractor.batch_norm
    assert int(statistics.num_batches_tracked) == 20
    observations = theirs.env.reset()
    before = statistics.running_mean.clone()
    played = [[model.predict(observations, deterministic=True)[0].tolist() for _ in range(3)] for model in models]
    assert played[0] == played[1]
    assert played[1][0] == played[1][1], "no dropout while acting"
    assert torch.equal(statistics.running_mean, before), "acting moves no statistics"


def test_prioritized_replay_without_priorities_is_uniform_and_with_them_is_not():
    def trained(alpha, beta):
        env, kwargs = make_vec_env("CartPole-v1", 1, seed=2), {"alpha": alpha, "beta": beta}
        return train(ClassicDQN("MlpPolicy", env, replay="prioritized", replay_buffer_kwargs=kwargs, **SETTINGS))

    uniform, flat, steep = trained(0.0, 0.0), trained(0.0, 1.0), trained(1.0, 1.0)
    assert same(uniform.get_parameters(), flat.get_parameters())  # all weights are exactly 1
    assert not same(uniform.get_parameters(), steep.get_parameters())


def test_training_changes_the_parameters_and_a_different_loss_changes_them_differently():
    untrained, huber, squared = (
        ClassicDQN("MlpPolicy", make_vec_env("CartPole-v1", 1, seed=2), loss=loss, **SETTINGS)
        for loss in ("huber", "huber", "mse")
    )
    train(huber), train(squared)
    assert not same(untrained.get_parameters()["policy"], huber.get_parameters()["policy"])
    assert not same(huber.get_parameters()["policy"], squared.get_parameters()["policy"])


@pytest.mark.parametrize(("source", "sink"), [(DQN, ClassicDQN), (ClassicDQN, DQN)])
@pytest.mark.parametrize(("policy", "env"), [("CnnPolicy", Catch), ("MlpPolicy", "CartPole-v1")])
def test_weights_interchange_with_sb3_in_both_directions(source, sink, policy, env):
    saved = train(source(policy, make_vec_env(env, 1, seed=2), **SETTINGS))
    file = io.BytesIO()
    saved.save(file)
    fresh = sink(policy, make_vec_env(env, 1, seed=2), **{**SETTINGS, "seed": 6})
    fresh.set_parameters(file, device="cpu")
    assert same(fresh.get_parameters(), saved.get_parameters())
