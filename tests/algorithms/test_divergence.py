"""Q-values beyond any possible return are told once, and again when they are ten times worse."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn import QRDQN, ClassicDQN, DuelingDQN, MunchausenDQN
from sb3_atari_dqn.algorithms.divergence import is_worth_a_warning, largest, return_bound

SMALL: dict[str, Any] = dict(buffer_size=2000, learning_starts=100, batch_size=32, seed=0, device="cpu")
#: Hardly a target network, squared errors and far too large steps.
DIVERGES: dict[str, Any] = dict(target_update_interval=1, loss="mse", learning_rate=0.1, max_grad_norm=1e9)
PACES: dict[str, dict[str, Any]] = {
    "SB3's loop": {"train_freq": 1},
    "overlap, fast": {"replay_ratio": 1.0, "overlap": True, "learner": "fast"},
}


def warnings_of(model: Any, steps: int) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.learn(steps, reset_num_timesteps=False)
    return [str(each.message) for each in caught if "diverge" in str(each.message)]


def log(model: Any, mean_q: float) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model._warn_of_divergence(mean_q)
    return [str(each.message) for each in caught]


def test_the_bound_is_that_of_the_largest_reward_for_ever():
    assert return_bound(1.0, 0.99) == pytest.approx(100)
    assert return_bound(3.0, 0.0) == 3.0
    assert return_bound(1.0, 1.0) == np.inf


def test_the_largest_reward_is_absolute_in_few_and_in_many():
    assert largest(np.array([[1.0], [-3.0]], np.float32)) == 3.0
    assert largest(np.linspace(-5, 2, 1000)) == 5.0
    assert largest([]) == 0.0


@pytest.mark.parametrize(
    ("mean_q", "usual", "warned_at", "expected"),
    [
        (150.0, 100.0, 0.0, False),
        (-201.0, 100.0, 0.0, True),
        (1000.0, 100.0, 201.0, False),
        (-2010.0, 100.0, 201.0, True),
        (1e9, np.inf, 0.0, False),
    ],
)
def test_a_warning_takes_twice_the_bound_and_ten_times_the_last_warning(mean_q, usual, warned_at, expected):
    assert is_worth_a_warning(mean_q, usual, warned_at) is expected


@pytest.mark.slow
@pytest.mark.parametrize("replay", ["uniform", "prioritized", "sb3"])
@pytest.mark.parametrize("pace", PACES)
def test_a_training_that_diverges_is_told_with_step_values_and_the_way_out(pace, replay):
    model = ClassicDQN("MlpPolicy", "CartPole-v1", replay=replay, **SMALL, **DIVERGES, **PACES[pace])
    model.last_checkpoint = "runs/last"
    found = warnings_of(model, 600)
    assert 1 <= len(found) <= 6, "one for each factor of ten"
    assert "rewards of at most 1 with gamma=0.99 give no return beyond 100. Lower learning_rate" in found[0]
    assert "at step " in found[0]
    assert "The last checkpoint is runs/last" in found[0]


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "n_steps"), [(ClassicDQN, 1), (DuelingDQN, 3)])
def test_a_training_that_learns_is_not_disturbed(algorithm, n_steps):
    model = algorithm(
        "MlpPolicy", "CartPole-v1", learning_rate=1e-3, target_update_interval=200, n_steps=n_steps, **SMALL
    )
    assert warnings_of(model, 2500) == []
    assert model.largest_reward == 1.0


class Scaled(gym.RewardWrapper):
    """CartPole with other rewards."""

    def __init__(self, scale: float) -> None:
        super().__init__(gym.make("CartPole-v1"))
        self.scale = scale

    def reward(self, reward):
        return self.scale * reward


def test_values_of_a_network_that_was_just_initialized_are_no_divergence_however_small_the_rewards_are():
    model = ClassicDQN("MlpPolicy", Scaled(1e-6), **SMALL)
    assert warnings_of(model, 150) == []
    assert model.largest_reward == pytest.approx(1e-6)
    assert log(model, 5.0) != [], "these are"


def test_the_entropy_that_munchausen_adds_is_part_of_what_is_possible():
    """Soft values of a policy that is nearly uniform are about tau * log(2) / (1 - gamma) = 693."""
    soft: dict[str, Any] = {"bootstrap_kwargs": {"tau": 10.0}, "target_update_interval": 1, "tau": 0.05}
    model = MunchausenDQN("MlpPolicy", Scaled(1e-3), **{**SMALL, **soft})
    model.learn(120)
    assert log(model, 1300.0) == []
    (text,) = log(model, 1500.0)
    assert "rewards of at most 0.001 and bonuses of at most 6.93 with gamma=0.99 give no return beyond 693.2." in text
    cold = MunchausenDQN("MlpPolicy", Scaled(1e-3), **SMALL)
    cold.learn(120)
    assert len(log(cold, 1300.0)) == 1, "alpha * clip bounds it"


@pytest.mark.parametrize(
    ("algorithm", "given", "ways"),
    [
        (ClassicDQN, {}, "raise target_update_interval or use bootstrap='double'."),
        (ClassicDQN, {"loss": "mse"}, "use bootstrap='double' or use loss='huber'."),
        (DuelingDQN, {}, "clip the rewards or raise target_update_interval."),
        (QRDQN, {"bootstrap": "double"}, "clip the rewards or raise target_update_interval."),
    ],
)
def test_the_way_out_is_one_that_the_model_can_take(algorithm, given, ways):
    model = algorithm("MlpPolicy", Scaled(1.0), **{**SMALL, **given}).learn(120)
    (text,) = log(model, 1e9)
    assert ways in text
    with torch.no_grad():
        model.replay_buffer.rewards[:] = np.nan
    with pytest.raises(ValueError, match=r"has diverged.* Lower learning_rate.*rewards") as caught:
        model.train(1, 8)
    assert ("loss='huber'" in str(caught.value)) == (given == {"loss": "mse"})


def test_rewards_that_are_all_zero_tell_nothing():
    model = ClassicDQN("MlpPolicy", Scaled(0.0), **SMALL)
    model.learn(150)
    assert log(model, 1e9) == []


def test_normalized_rewards_are_bounded_by_their_clipping():
    model = ClassicDQN("MlpPolicy", VecNormalize(make_vec_env(Scaled, env_kwargs={"scale": 1e3})), **SMALL)
    model.learn(150)
    assert log(model, 1999.0) == []
    assert len(log(model, 2001.0)) == 1


def test_the_rewards_in_a_replay_buffer_that_was_loaded_count(tmp_path):
    first = ClassicDQN("MlpPolicy", Scaled(7.0), **SMALL)
    first.learn(120)
    first.save_replay_buffer(tmp_path / "replay.pkl")
    second = ClassicDQN("MlpPolicy", Scaled(1.0), **SMALL)
    second.load_replay_buffer(tmp_path / "replay.pkl")
    second.learn(10)
    assert second.largest_reward == 7.0


def test_a_loaded_model_remembers_rewards_and_warnings(tmp_path):
    model = ClassicDQN("MlpPolicy", Scaled(5.0), **SMALL)
    model.learn(150)
    assert len(log(model, 2000.0)) == 1
    model.save(tmp_path / "model.zip")
    loaded = ClassicDQN.load(tmp_path / "model.zip", env=Scaled(1.0))
    loaded.learn(20, reset_num_timesteps=False)
    assert loaded.largest_reward == 5.0
    assert log(loaded, 3000.0) == [], "not ten times worse"
    assert len(log(loaded, 20001.0)) == 1


def test_a_model_whose_earlier_rewards_are_unknown_is_not_judged():
    model = ClassicDQN("MlpPolicy", Scaled(1.0), **SMALL)
    model.learn(150)
    model.largest_reward = None  # as in files of earlier versions
    model.learn(150, reset_num_timesteps=False)
    assert log(model, 1e9) == []
