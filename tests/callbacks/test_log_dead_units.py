"""The share of dead units in the logs of a training, which it does not change."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn import ClassicDQN, DuelingDQN
from sb3_atari_dqn.callbacks import LogDeadUnits, SaveCheckpoints
from sb3_atari_dqn.networks.dead_units import Units
from tests.support import layers
from tests.support.environments import Catch, ImageAndVector, Noise
from tests.support.games import countdowns
from tests.support.interrupted import assert_same, assert_same_after_kills, contents
from tests.support.logs import Memory

PACE: dict[str, Any] = {"learning_starts": 4, "batch_size": 4, "train_freq": 1, "seed": 0, "device": "cpu"}
CNN: dict[str, Any] = {"buffer_size": 60, **PACE}


def model_of(algorithm: Any = DuelingDQN, policy: str = "CnnPolicy", env: Any = Noise, **kwargs: Any) -> Any:
    env = make_vec_env(env, 2, seed=3) if isinstance(env, type) else env
    return algorithm(policy, env, **{**CNN, **kwargs})


def logged(model: Any, steps: int, callback: LogDeadUnits, **kwargs: Any) -> list[dict[str, Any]]:
    """:return: of each log that was written, the shares"""
    memory = Memory()
    model.set_logger(Logger(None, [memory]))
    model.learn(steps, callback=callback, log_interval=1, **kwargs)
    return [{name: value for name, value in dump.items() if "dead" in name} for dump in memory.dumps]


# --- what is logged


def test_known_dead_units_are_logged_in_total_and_by_layer():
    """No update is made: 3 of 8 units of one layer are dead, 1 of 4 of the other, each alive but for its bias."""
    model = model_of(ClassicDQN, "MlpPolicy", countdowns(3, 4), policy_kwargs={"net_arch": [8, 4]}, learning_starts=99)
    first, second = (model.q_net.q_net[index] for index in (0, 2))
    for layer, dead in ((first, 3), (second, 1)):
        layer.weight.data.fill_(0.1)
        layer.bias.data.fill_(1)
        layer.bias.data[:dead] = -100
    callback = LogDeadUnits(every=10, per_layer=True)
    dumps = logged(model, 40, callback)
    expected = {"train/dead_units": 4 / 12, "train/dead_units_head1": 3 / 8, "train/dead_units_head2": 1 / 4}
    assert dumps[-1] == expected
    assert callback.layers == {"head1": Units(3, 8), "head2": Units(1, 4)}
    assert callback.share == 4 / 12


def test_layers_are_only_logged_on_request():
    dumps = logged(model_of(), 40, LogDeadUnits(every=10))
    assert [list(dump) for dump in dumps if dump][-1:] == [["train/dead_units"]]


def test_it_measures_every_so_many_environment_steps_and_says_so(capsys):
    callback = LogDeadUnits(every=15, verbose=1)
    assert callback.share is None
    model_of().learn(70, callback=callback)  # two environments
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[3]) for line in lines] == [16, 32, 48, 64]
    assert lines[0].startswith("Dead units after 16 environment steps: conv1 ")
    assert ", advantage1 " in lines[0]


def test_nothing_is_measured_before_there_is_a_transition(capsys):
    model_of().learn(6, callback=LogDeadUnits(every=1, verbose=1))
    assert [int(line.split()[3]) for line in capsys.readouterr().out.splitlines()] == [4, 6]


def test_the_sample_is_of_the_whole_memory_and_follows_seed_and_step():
    model = model_of(learning_starts=999, buffer_size=40)
    model.learn(70)

    def states(seed, steps=70):
        callback = LogDeadUnits(n_states=500, seed=seed)
        callback.init_callback(model)
        callback.num_timesteps = steps
        return callback._states()

    assert torch.equal(states(0), states(0))
    assert not torch.equal(states(0), states(1))
    assert not torch.equal(states(0), states(0, 80))
    stored = model.replay_buffer.samples_at(np.repeat(np.arange(20), 2), np.tile([0, 1], 20)).observations
    assert {state.numpy().tobytes() for state in states(0)} == {state.numpy().tobytes() for state in stored}


# --- whatever is trained

NO_TIMEOUTS = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
BIT_FLIP = {"replay_buffer_class": HerReplayBuffer, "batch_size": 2}


def bit_flip():
    return make_vec_env(lambda: BitFlippingEnv(n_bits=3, continuous=False), 2)


@pytest.mark.parametrize(
    ("algorithm", "policy", "env", "kwargs"),
    [
        (DuelingDQN, "CnnPolicy", Noise, {"replay": "prioritized", "n_steps": 3}),
        (DuelingDQN, "CnnPolicy", Noise, {"replay_buffer_kwargs": {"frame_storage": "compressed"}}),
        (DuelingDQN, "CnnPolicy", Noise, {"replay_buffer_kwargs": {"frame_storage": "device"}}),
        (DuelingDQN, "CnnPolicy", Noise, {"replay": "sb3", "n_steps": 3}),
        (DuelingDQN, "CnnPolicy", Noise, {"replay_buffer_class": ReplayBuffer}),
        (DuelingDQN, "MultiInputPolicy", ImageAndVector, {}),
        (DuelingDQN, "MultiInputPolicy", ImageAndVector, {"replay": "sb3"}),
        (ClassicDQN, "MultiInputPolicy", bit_flip, BIT_FLIP),
        (ClassicDQN, "MlpPolicy", lambda: make_vec_env("FrozenLake-v1", 2), {}),
        (ClassicDQN, "MlpPolicy", lambda: VecNormalize(countdowns(3, 4)), {}),
        (ClassicDQN, "MlpPolicy", lambda: VecNormalize(countdowns(3, 4)), {"replay": "sb3"}),
        (DQN, "CnnPolicy", Noise, {}),
        (DQN, "CnnPolicy", lambda: make_vec_env(Noise, 1), NO_TIMEOUTS),
        (DQN, "MultiInputPolicy", ImageAndVector, {}),
        (DQN, "MlpPolicy", lambda: VecNormalize(countdowns(3, 4)), {}),
        (QRDQN, "MlpPolicy", lambda: countdowns(3, 4), {"policy_kwargs": {"n_quantiles": 5}}),
    ],
)
@pytest.mark.filterwarnings("ignore:You are creating a HerReplayBuffer")
def test_every_algorithm_with_a_q_network_and_a_replay_memory(algorithm, policy, env, kwargs):
    model = model_of(algorithm, policy, env if isinstance(env, type) else env(), **kwargs)
    callback = LogDeadUnits(every=20, n_states=10)
    model.learn(30, callback=callback)
    assert callback.share is not None
    assert 0 <= callback.share <= 1
    assert len(callback.layers) >= 2


def test_a_normalized_training_is_measured_on_what_its_network_sees():
    model = model_of(ClassicDQN, "MlpPolicy", VecNormalize(countdowns(3, 4)))
    callback = LogDeadUnits(every=20, n_states=300)
    model.learn(30, callback=callback)
    assert callback._states().std(dim=0).numpy() == pytest.approx(np.ones(3), abs=0.35)  # raw: 0.58


# --- the training goes on as without it


def everything(model: Any) -> dict[str, Any]:
    """:return: what a training changes, and the global generators"""
    generators = torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64))  # type: ignore
    return {
        **contents(model),
        **{f"generator {number}": state for number, state in enumerate(generators)},
        "python": json.dumps(random.getstate()),
        "modes": json.dumps([module.training for module in model.policy.modules()]),
    }


@pytest.mark.parametrize("learner", ["fast", "reference"])
@pytest.mark.parametrize(
    ("torso", "kwargs"),
    [
        (None, {"replay": "prioritized", "n_steps": 3, "replay_ratio": 0.5, "overlap": True}),
        (None, {"replay": "sb3", "train_freq": 1}),
        (layers.LayerNormTorso, {}),
        (layers.BatchNormTorso, {}),
        (layers.SpectralTorso, {}),
        (layers.NoisyTorso, {}),
        (layers.GlobalNoiseTorso, {}),
        (layers.DropoutTorso, {}),
        (layers.FrozenNormTorso, {}),
        (layers.RunningScaleTorso, {}),
    ],
)
def test_a_training_with_it_equals_one_without_to_the_bit(learner, torso, kwargs):
    def trained(**learn: Any) -> dict[str, Any]:
        pace = {key: value for key, value in CNN.items() if key != "train_freq" or "replay_ratio" not in kwargs}
        policy_kwargs = {} if torso is None else {"features_extractor_class": torso}
        fast = {"learner": learner, **({"precision": "fp32"} if learner == "fast" else {})}
        env = make_vec_env(Noise, 2, seed=3)
        model = DuelingDQN("CnnPolicy", env, **{**pace, **kwargs}, **fast, policy_kwargs=policy_kwargs)
        return everything(model.learn(60, **learn))

    without = trained()
    assert_same(without, trained(callback=LogDeadUnits(every=2, n_states=20)))
    assert len(without) > 10


def test_an_sb3_training_with_it_equals_one_without_to_the_bit():
    def trained(**learn: Any) -> dict[str, torch.Tensor]:
        model = model_of(DQN, env=Catch).learn(60, **learn)
        return {**model.policy.state_dict(), "torch": torch.get_rng_state(), "numpy": torch.tensor(np.random.rand())}

    without, with_it = trained(), trained(callback=LogDeadUnits(every=2, n_states=20))
    assert_same(without, with_it)


# --- in parts


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path):
    """Its logs hold the shares: they are compared too, with values written long after they were measured."""

    def build(folder: Path) -> ClassicDQN:
        env = make_vec_env("CartPole-v1", 2, seed=3, monitor_dir=str(folder))
        model = ClassicDQN("MlpPolicy", env, seed=1, learning_starts=50, batch_size=8, buffer_size=400)
        if not (folder / "progress.csv").exists():
            model.set_logger(configure(str(folder), ["csv"]))
        return model

    def callbacks(folder: Path) -> list:
        return [SaveCheckpoints(100, folder=folder), LogDeadUnits(every=70, n_states=20, per_layer=True)]

    assert_same_after_kills(build, callbacks, tmp_path, 500, [230, 350])
    header, *rows = (tmp_path / "killed" / "progress.csv").read_text().splitlines()
    column = header.split(",").index("train/dead_units_head2")
    assert len({row.split(",")[column] for row in rows}) > 2


def test_a_second_learn_counts_its_own_steps(capsys):
    model, callback = model_of(), LogDeadUnits(every=20, verbose=1)
    for continues in (False, True, False):
        model.learn(30, callback=callback, reset_num_timesteps=not continues)
    assert [int(line.split()[3]) for line in capsys.readouterr().out.splitlines()] == [20, 50, 20]


# --- errors, before training starts


@pytest.mark.parametrize(
    ("name", "bad"),
    [("every", 0), ("every", "often"), ("n_states", 0), ("tau", -0.1), ("tau", 1.5), ("per_layer", 1), ("seed", -1)],
)
def test_bad_arguments_raise(name, bad):
    with pytest.raises(ValueError, match=f"{name} must be"):
        LogDeadUnits(**{name: bad})


def test_an_algorithm_without_a_q_network_is_an_error():
    with pytest.raises(ValueError, match="Q-network and a memory of states, got PPO: leave the callback out"):
        PPO("MlpPolicy", countdowns(3), n_steps=8, batch_size=4, device="cpu").learn(8, callback=LogDeadUnits())


def test_a_network_without_modules_for_its_activations_is_an_error():
    model = model_of(ClassicDQN, "MlpPolicy", countdowns(3), policy_kwargs={"net_arch": []})
    with pytest.raises(ValueError, match="has no activation that is a module"):
        model.learn(8, callback=LogDeadUnits())
    assert model.num_timesteps == 0


def test_a_replay_memory_that_keeps_its_states_elsewhere_is_an_error():
    class Elsewhere(ReplayBuffer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            del self.observations

    model = model_of(DQN, "MlpPolicy", countdowns(3), replay_buffer_class=Elsewhere)
    with pytest.raises(ValueError, match="cannot read the states of a Elsewhere"):
        model.learn(8, callback=LogDeadUnits())
    assert model.num_timesteps == 0
