"""Protocols of runs, from their configuration, and of rows of a CSV."""

from dataclasses import replace
from inspect import signature
from typing import Any

import pytest
from sb3_contrib import QRDQN as ContribQRDQN
from stable_baselines3 import DQN

from sb3_atari_dqn import PQN, ClassicDQN
from sb3_atari_dqn.plotting.settings import Settings
from sb3_atari_dqn.reports.protocol import (
    COLUMNS,
    EVALUATION,
    Protocol,
    as_cells,
    check_comparable,
    from_cells,
    marks,
    one_of,
    protocol_of,
)

CLASSIC = Protocol("training", sticky=0.0, life_loss=True, clip=True, epsilon=0.05, noops=30)
OURS, SB3 = "sb3_atari_dqn.atari.NatureAtari", "stable_baselines3.common.atari_wrappers."


def of(env="PongNoFrameskip-v4", algo="dqn_dueling", **config):
    config = {"n_timesteps": 100, **config}
    return protocol_of(Settings(algo, env, config, config.get("env_kwargs", {}), {}, 4, (4, 4)))


@pytest.mark.parametrize(
    ("wrapper", "changes"),
    [
        (OURS, {}),
        ({OURS: {"terminal_on_life_loss": False, "noop_max": 0}}, {"life_loss": False, "noops": 0}),
        ({OURS: {"action_repeat_probability": 0.25, "clip_reward": False}}, {"sticky": 0.25, "clip": False}),
        (f"{SB3}AtariWrapper", {}),
        ({f"{SB3}AtariWrapper": {"terminal_on_life_loss": False, "clip_reward": False}},
         {"life_loss": False, "clip": False}),
        ({f"{SB3}AtariWrapper": {"action_repeat_probability": 0.1, "noop_max": 7}}, {"sticky": 0.1, "noops": 7}),
        ([f"{SB3}EpisodicLifeEnv", f"{SB3}ClipRewardEnv"], {"noops": 0}),
        ("gymnasium.wrappers.AtariPreprocessing", {"life_loss": False, "clip": False}),
        ("rl_zoo3.wrappers.FrameSkip", {"life_loss": False, "clip": False, "noops": 0}),
        ("my_package.Wrapper", {"sticky": None, "life_loss": None, "clip": None, "noops": None}),
    ],
    ids=str,
)  # fmt: skip
def test_the_protocol_comes_from_the_wrappers(wrapper, changes):
    assert of(env_wrapper=wrapper) == replace(CLASSIC, **changes)


@pytest.mark.parametrize(
    ("env", "config", "sticky"),
    [
        ("PongNoFrameskip-v4", {"env_wrapper": OURS}, 0.0),
        ("PongNoFrameskip-v0", {"env_wrapper": OURS}, 0.25),
        ("ALE/Pong-v5", {"env_wrapper": OURS}, 0.25),
        ("PongNoFrameskip-v0", {"env_wrapper": {OURS: {"action_repeat_probability": 0.0}}}, 0.0),
        ("PongNoFrameskip-v0", {"env_wrapper": f"{SB3}AtariWrapper"}, 0.25),
        ("PongNoFrameskip-v4", {"env_wrapper": OURS, "env_kwargs": {"repeat_action_probability": 0.5}}, 0.5),
    ],
)
def test_sticky_actions_may_be_those_of_the_environment(env, config, sticky):
    assert of(env, **config) == replace(CLASSIC, sticky=sticky)


@pytest.mark.parametrize(
    ("algo", "config", "epsilon"),
    [
        ("dqn_qr", {"exploration_final_eps": 0.01}, 0.01),
        ("dqn_qr", {}, 0.05),
        ("dqn_pqn", {}, 0.001),
        ("dqn", {}, 0.05),
        ("qrdqn", {}, 0.01),
        ("dqn_rainbow", {}, 0.0),
        ("dqn_rainbow", {"exploration": "linear", "exploration_final_eps": 0.02}, 0.02),
        ("ppo", {}, None),
    ],
)
def test_epsilon_is_the_one_that_exploration_ends_with(algo, config, epsilon):
    assert of(algo=algo, env_wrapper=OURS, **config) == replace(CLASSIC, epsilon=epsilon)


def test_defaults_of_epsilon_are_those_of_the_algorithms():
    for algo, made in {"dqn": DQN, "qrdqn": ContribQRDQN, "dqn_pqn": PQN, "dqn_classic": ClassicDQN}.items():
        default = signature(made).parameters["exploration_final_eps"].default
        assert of(algo=algo, env_wrapper=OURS).epsilon == default


@pytest.mark.parametrize("protocol", [CLASSIC, Protocol(), Protocol(EVALUATION, 0.25, False, False, 0.001, 0)])
def test_cells_of_a_csv_hold_a_protocol(protocol):
    cells = as_cells(protocol)
    assert tuple(cells) == COLUMNS
    assert from_cells(cells) == protocol


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *[("measured", "test"), ("sticky", "2"), ("sticky", "nan"), ("life_loss", "maybe"), ("clip", "1")],
        *[("noops", "-1"), ("noops", "inf"), ("noops", "2.5")],
    ],
)
def test_cells_that_are_none_of_their_column_are_named(name, cell):
    with pytest.raises(ValueError, match=f"{name} is '{cell}', expected"):
        from_cells({**as_cells(CLASSIC), name: cell})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sticky": 0.25}, "B differs from A: sticky actions 0.25 instead of 0"),
        ({"life_loss": None}, "life-loss termination unknown instead of yes"),
        ({"measured": EVALUATION}, "score evaluation instead of training"),
    ],
)
def test_decisive_differences_raise(change, says):
    systems = {"A": CLASSIC, "B": replace(CLASSIC, **change)}
    with pytest.raises(ValueError, match=says):
        check_comparable(systems)
    assert list(marks(systems, decisive=True)) == ["B"]
    with pytest.raises(ValueError, match="The runs of both have different protocols"):
        one_of(list(systems.values()), "both")


@pytest.mark.parametrize("change", [{"epsilon": 0.001}, {"clip": False}, {"noops": 0}])
def test_other_differences_are_marked(change):
    systems = {"A": CLASSIC, "B": replace(CLASSIC, **change)}
    check_comparable(systems)
    assert not marks(systems, decisive=True)
    assert list(marks(systems, decisive=False)) == ["B"]
    unknown: dict[str, Any] = dict.fromkeys(change)
    assert one_of(list(systems.values()), "both") == replace(CLASSIC, **unknown)
