"""Saving changes nothing in a run that goes on: a run with many saves equals one without any, bit for bit."""

import io
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv

from sb3_atari_dqn.algorithms.dqn import ClassicDQN
from sb3_atari_dqn.checkpoints.state import Stateful, generator_state, split
from sb3_atari_dqn.replay import priority_updates
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from tests.support.environments import Catch

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "features_extractor_class": "dqn2013",
    "features_extractor_kwargs": {"hidden_size": 16},
}


def trained(saves: bool, **kwargs: Any) -> ClassicDQN:
    """
    :param saves: save everything after each step and after each second update, between updates of one step too
    """
    policy, env = kwargs.pop("policy", "CnnPolicy"), kwargs.pop("env", Catch)
    kwargs = {"policy_kwargs": SMALL if policy == "CnnPolicy" else None, "updates_per_transition": 1.0} | kwargs
    model = ClassicDQN(
        policy, make_vec_env(env, 2, seed=3), seed=3, device="cpu", learning_rate=1e-3, buffer_size=50, batch_size=8,
        learning_starts=16, target_update_interval=12, **kwargs,
    )  # fmt: skip
    update = ClassicDQN._gradient_step

    def update_and_save(self: ClassicDQN, batch_size: int) -> None:
        update(self, batch_size)
        if saves and self._n_updates % 2:
            save(self)

    with patch.object(ClassicDQN, "_gradient_step", update_and_save):
        return model.learn(48, callback=lambda scope, _: not saves or save(model))


def save(model: ClassicDQN) -> bool:
    """:return: True"""
    model.save(io.BytesIO())
    model.save_replay_buffer(io.BytesIO())
    if isinstance(model.replay_buffer, Stateful):
        model.replay_buffer.state_dict()
    if isinstance(model.replay_buffer, FrameReplayBuffer):
        list(model.replay_buffer.frames_since())
    return True


def remains(model: ClassicDQN) -> list[Any]:
    """:return: everything that the further run depends on, as bytes and numbers"""
    file = io.BytesIO()
    model.save_replay_buffer(file)
    parameters = model.get_parameters()
    tensors = [tensor for name in ("policy", "policy.optimizer") for tensor in _tensors(parameters[name])]
    states = [model.explorer.state_dict(), *_plain(generator_state(np.random))]
    if isinstance(model.replay_buffer, Stateful):
        states += _plain(model.replay_buffer.state_dict())
    return [model._n_updates, file.getvalue(), torch.get_rng_state().tolist(), states, *tensors]


def _plain(state: dict[str, Any]) -> list[Any]:
    values, arrays = split(state)
    return [values, *(np.asarray(array).tobytes() for array in arrays.values())]


def _tensors(state: Any) -> list[bytes]:
    """:return: all tensors in a nested state, as bytes"""
    if isinstance(state, torch.Tensor):
        return [state.detach().numpy().tobytes()]
    children = state.values() if isinstance(state, dict) else state if isinstance(state, list) else ()
    return [each for child in children for each in _tensors(child)]


def assert_unchanged_by_saving(**kwargs: Any) -> None:
    without, with_saves = (remains(trained(saves, **dict(kwargs))) for saves in (False, True))
    assert without[0] > 20
    assert without == with_saves


@pytest.mark.parametrize("learner", ["plain", "fast"])
@pytest.mark.parametrize("overlap", [False, True], ids=["in_turn", "overlapped"])
@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_a_run_that_is_saved_often_equals_one_that_is_never_saved(replay, overlap, learner):
    assert_unchanged_by_saving(replay=replay, overlap=overlap, learner=learner, precision="fp32")


@pytest.mark.parametrize("overlap", [False, True], ids=["in_turn", "overlapped"])
@pytest.mark.parametrize("kwargs", [{}, {"n_steps": 3}, {"policy": "MultiInputPolicy", "env": BitFlippingEnv}], ids=str)
def test_of_vectors(kwargs, overlap):
    assert_unchanged_by_saving(**{"policy": "MlpPolicy", "env": "CartPole-v1", "overlap": overlap, **kwargs})


@pytest.mark.parametrize("storage", ["compressed", "device"])
def test_wherever_the_frames_are(storage):
    kwargs = {"frame_storage": storage}
    assert_unchanged_by_saving(replay="prioritized", overlap=True, replay_buffer_kwargs=kwargs)


@pytest.mark.parametrize("overlap", [False, True], ids=["in_turn", "overlapped"])
def test_td_errors_on_their_way_from_a_device_arrive_when_they_would_have(overlap, monkeypatch):
    """Between two updates a delivery too early would change what the second is drawn from."""
    monkeypatch.setattr(priority_updates, "arrives_at_once", lambda errors: False)
    assert_unchanged_by_saving(replay="prioritized", overlap=overlap, replay_buffer_kwargs={"alpha": 1.0})


@pytest.mark.parametrize(("policy", "env"), [("CnnPolicy", Catch), ("MlpPolicy", "CartPole-v1")])
def test_with_sb3s_buffers(policy, env):
    assert_unchanged_by_saving(replay="sb3", policy=policy, env=env)


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_in_sb3s_loop(replay):
    assert_unchanged_by_saving(replay=replay, updates_per_transition=None, train_freq=2, gradient_steps=3)
