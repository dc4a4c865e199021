"""``ray:`` in a configuration, on the command line, and wrong; without Ray, in this process."""

import sys

import pytest

from sb3_atari_dqn import PQN, DuelingDQN
from tests.support.commands import TINY, files, shell, train

PONG = ("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v4")
SHORT = (*PONG, "-n", "192", "--eval-freq", "-1", "--seed", "1")
IN_PROCESS = ("ray.address:'in-process'", "ray.block_steps:8", "n_envs:4")


@pytest.mark.slow
def test_a_run_on_actors_has_the_files_of_any_other(runs):
    train(*SHORT, "-params", *IN_PROCESS, *TINY)
    folder = runs / "logs/dqn_dueling/PongNoFrameskip-v4_1"
    model = DuelingDQN.load(folder / "PongNoFrameskip-v4.zip", device="cpu")
    assert model.num_timesteps == 192
    assert model._n_updates > 0
    assert {f"{number}.monitor.csv" for number in range(4)} <= set(files(folder))
    assert "block_steps: 8" in (folder / "PongNoFrameskip-v4/config.yml").read_text()


@pytest.mark.slow
def test_the_option_of_our_own_command_reaches_the_run(runs):
    shell("train", "--ray", "in-process", *SHORT, "-params", "n_envs:4", *TINY)
    config = runs / "logs/dqn_dueling/PongNoFrameskip-v4_1/PongNoFrameskip-v4/config.yml"
    assert "address: in-process" in config.read_text()


@pytest.mark.slow
def test_pqn_trains_on_actors(runs):
    arguments = ("--algo", "dqn_pqn", *PONG[2:], "-n", "128", "--eval-freq", "-1", "-params", *IN_PROCESS)
    train(*arguments, "n_steps:16", "batch_size:32")
    assert PQN.load(runs / "logs/dqn_pqn/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip").num_timesteps == 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ray:{'adress': 'local'}",), "did you mean 'address'"),
        (("ray.actors:0",), "ray: actors must be at least 1"),
        (("ray:'in-process'", "n_envs:6"), "n_envs=6 games do not divide into 4 groups: give n_envs=8"),
        (("ray:'in-process'", "n_envs:4", "native_envs:False"), "ray: actors play native games only"),
        (("ray:7",), "ray must be a mapping"),
        (("ray:'in-process'", "n_envs:4", "env_kwargs:{'difficulty': 1}"), "but difficulty=1 is set"),
        (("ray:'local'", "n_envs:4"), r"pip install 'sb3-atari-dqn\[ray\]'"),
    ],
)
def test_a_wrong_configuration_is_one_sentence_and_leaves_no_folder(runs, monkeypatch, arguments, message):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=message):
        train(*SHORT, "-params", *arguments, *TINY)
    assert files(runs) == []
