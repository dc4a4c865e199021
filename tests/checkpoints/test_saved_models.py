"""Models and replay files that earlier versions saved: they load, act as they did and learn on.

The files in ``saved/v0_1_0`` were written by version 0.1.0 (commit 80960a8) in the environments of these tests.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import DoubleDQN, DuelingDQN, FrameReplayBuffer, PrioritizedFrameReplayBuffer
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
