"""Models and replay files that earlier versions saved: they load, act as they did and learn on.

The files in ``saved/v0_1_0`` were written by version 0.1.0 (commit 80960a8) in the environments of these tests.
"""

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import DoubleDQN, DuelingDQN, FrameReplayBuffer, PrioritizedFrameReplayBuffer
from sb3_atari_dqn.networks.heads import DuelingHead
from sb3_atari_dqn.replay.files import read
from tests.support.environments import Noise
from tests.support.streams import Stream

SAVED = Path(__file__).parent / "saved" / "v0_1_0"


def action_values(model: Any, observations: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.policy.q_net(model.policy.obs_to_tensor(observations)[0]).numpy()


def expected(name: str) -> np.ndarray:
    return np.array(json.loads((SAVED / "action_values.json").read_text())[name], np.float32)


def test_a_dueling_network_of_images_acts_as_it_did_and_learns_on():
    env = VecFrameStack(make_vec_env(Noise, 2), 4)
    model = DuelingDQN.load(SAVED / "dueling_cnn", env, device="cpu")
    shape = (3, *model.observation_space.shape)  # type: ignore[misc]
    images = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    assert np.allclose(action_values(model, images), expected("dueling_cnn"), atol=1e-6)
    settings = model.replay_ratio, model.overlap, model.learner, model.replay, model.exploration
    assert settings == (0.25, True, "fast", "prioritized", "exponential")
    updates = model._n_updates
    model.learn(60, reset_num_timesteps=False)
    assert model._n_updates > updates


def test_a_double_q_network_of_vectors_acts_as_it_did_and_learns_on():
    model = DoubleDQN.load(SAVED / "double_mlp", make_vec_env("CartPole-v1", 1), device="cpu")
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert np.allclose(action_values(model, vectors), expected("double_mlp"), atol=1e-6)
    updates = model._n_updates
    model.learn(60, reset_num_timesteps=False)
    assert model._n_updates > updates


OVERRIDES: list[tuple[dict[str, Any], Any]] = [
    ({}, (0.25, "fast")),
    ({"replay_ratio": 0.5}, (0.5, "fast")),
    ({"updates_per_transition": 0.5}, (0.5, "fast")),
    ({"replay_ratio": None, "overlap": False}, (None, "fast")),
    ({"learner": "plain"}, (0.25, "reference")),
]


@pytest.mark.parametrize(("given", "expected"), OVERRIDES)
def test_what_is_given_to_load_replaces_what_the_old_file_says(given, expected):
    model = DuelingDQN.load(SAVED / "dueling_cnn", device="cpu", **given)
    assert (model.replay_ratio, model.learner) == expected
    if model.replay_ratio is None:
        assert (model.train_freq.frequency, model.gradient_steps) == (4, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "message"), [({"replay_ratio": -5}, "replay_ratio .*-5"), ({"replay_ratio": "x"}, "replay_ratio .*'x'")]
)
def test_a_bad_value_given_to_load_is_refused_for_old_files_too(given, message):
    with pytest.raises(ValueError, match=message):
        DuelingDQN.load(SAVED / "dueling_cnn", device="cpu", **given)


@pytest.mark.parametrize(("name", "algorithm"), [("dueling_cnn", DuelingDQN), ("double_mlp", DoubleDQN)])
def test_an_old_file_says_so_once_and_a_saved_copy_is_a_new_file(name, algorithm, tmp_path):
    with pytest.warns(FutureWarning, match=f"{name} was saved by version 0.1.0") as told:
        algorithm.load(SAVED / name, device="cpu").save(tmp_path / "copy")
    assert len([each for each in told if each.category is FutureWarning]) == 1
    with zipfile.ZipFile(tmp_path / "copy.zip") as archive:
        data = archive.read("data").decode()
    assert not [old for old in ("0_1_0", "updates_per_transition", "updates_owed", "exploration_rng") if old in data]
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        algorithm.load(tmp_path / "copy", device="cpu")


def test_policy_kwargs_given_to_load_must_mean_the_networks_of_the_file():
    path = SAVED / "dueling_cnn"
    saved = DuelingDQN.load(path, device="cpu").policy_kwargs
    for same in (saved, {**saved, "head": "dueling"}, {**saved, "head": DuelingHead}):
        DuelingDQN.load(path, device="cpu", policy_kwargs=same)
    with pytest.raises(ValueError, match=r"'head': 'linear'.* omit policy_kwargs"):
        DuelingDQN.load(path, device="cpu", policy_kwargs={**saved, "head": "linear"})


@pytest.mark.parametrize("kind", [FrameReplayBuffer, PrioritizedFrameReplayBuffer])
def test_replay_files_hold_what_was_stored(kind):
    def filled(length: int) -> Any:
        stream = Stream(n_stack=2, n_envs=2, seed=3, break_off=0.1)
        buffer = kind(40, stream.observation_space, stream.action_space, "cpu", 2, n_stack=2, n_steps=3)
        for step in stream.steps(length):
            buffer.add(*step)
        return buffer

    name = "prioritized" if kind is PrioritizedFrameReplayBuffer else "uniform"
    buffer, stored = filled(3), filled(50)
    with (SAVED / f"replay_{name}.pkl").open("rb") as file:
        read(buffer, file, name)
    assert (buffer.pos, buffer.full) == (stored.pos, stored.full)
    slots, envs = np.arange(40) % 20, np.arange(40) // 20
    for ours, theirs in zip(buffer.samples_at(slots, envs), stored.samples_at(slots, envs), strict=True):
        assert torch.equal(ours, theirs)
    if kind is PrioritizedFrameReplayBuffer:
        stored.update_priorities(np.arange(40), np.linspace(0, 3, 40))
        assert np.array_equal(buffer.sampler.tree[np.arange(40)], stored.sampler.tree[np.arange(40)])
