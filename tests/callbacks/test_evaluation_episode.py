"""One evaluation episode during training."""

import random
from typing import cast

import numpy as np
import pytest
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks.evaluation_episode import global_generators_restored, play_episode
from tests.support.games import countdowns


class Network(torch.nn.Module):
    def set_training_mode(self, mode):
        self.train(mode)


class Watcher:
    """A model that records its observations, and draws from every global generator."""

    def __init__(self):
        self.seen = []
        self.policy = Network()

    def predict(self, observation, state, episode_start, deterministic):
        assert deterministic
        random.random(), np.random.random(), torch.rand(1)
        self.policy.train(False)
        self.seen.append(observation.copy())
        return np.zeros(1, int), state

    def get_vec_normalize_env(self):
        return None


def levels(pictures):
    return [int(picture[0, 0, 0]) for picture in pictures]


def test_each_image_is_shown_before_its_action():
    pictures: list[np.ndarray] = []
    assert play_episode(Watcher(), lambda: countdowns(4), 1, 100, pictures.append) == 4.0
    assert levels(pictures) == [5, 15, 25, 35]


def test_a_lost_life_does_not_end_the_episode():
    pictures: list[np.ndarray] = []
    assert play_episode(Watcher(), lambda: countdowns(5, lives=True), 1, 100, pictures.append) == 5.0
    assert levels(pictures) == [5, 15, 25, 35, 45]


def test_an_episode_without_end_stops_at_max_steps():
    pictures: list[np.ndarray] = []
    assert play_episode(Watcher(), lambda: countdowns(50), 1, 3, pictures.append) is None
    assert len(pictures) == 3


def test_the_seed_determines_the_episode():
    def observations(seed):
        watcher = Watcher()
        play_episode(watcher, lambda: countdowns(4), seed, 100, lambda picture: None)
        return np.concatenate(watcher.seen)

    assert (observations(1) == observations(1)).all()
    assert (observations(1) != observations(2)).all()


def draws():
    return random.random(), np.random.random(), torch.rand(1).item()


def test_global_generators_and_training_mode_are_unchanged():
    watcher = Watcher()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    undisturbed = draws()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    play_episode(watcher, lambda: countdowns(4), 1, 100, lambda picture: None)
    assert draws() == undisturbed
    assert watcher.policy.training


def test_global_generators_are_restored_after_an_error():
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    undisturbed = draws()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    with pytest.raises(ZeroDivisionError), global_generators_restored():
        draws()[0] / 0
    assert draws() == undisturbed


@pytest.mark.slow
def test_observations_are_normalized_as_in_training():
    training = VecNormalize(countdowns(4))
    model = ClassicDQN("MlpPolicy", training, seed=0, device="cpu")
    model.learn(50)
    own = VecNormalize(countdowns(4), training=False, norm_reward=False)
    assert play_episode(model, lambda: own, 1, 100, lambda picture: None) == 4.0
    mine, theirs = cast(RunningMeanStd, own.obs_rms), cast(RunningMeanStd, training.obs_rms)
    assert (mine.mean == theirs.mean).all()
    assert mine is not theirs
