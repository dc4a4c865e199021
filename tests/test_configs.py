"""Every entry of every shipped configuration builds and learns for a few steps."""

import pytest
import yaml

from sb3_atari_dqn.zoo.names import ALGORITHMS, config_path
from tests.commands import TINY_ATARI, train
from tests.dino import needs_browser

TINY_FLAT = ("learning_starts:20", "buffer_size:500", "batch_size:8", "train_freq:4", "gradient_steps:1")
ENVS = {
    "atari": ("PongNoFrameskip-v4", TINY_ATARI),
    "ChromeDino-v0": ("ChromeDino-v0", TINY_ATARI),
    "default": ("Acrobot-v1", TINY_FLAT),
}
MARKS = {"ChromeDino-v0": needs_browser}
ENTRIES = [
    pytest.param(algo, entry, marks=MARKS.get(entry, ()))
    for algo in ALGORITHMS
    for entry in yaml.safe_load(config_path(algo).read_text())
]


@pytest.mark.parametrize(("algo", "entry"), ENTRIES)
def test_every_shipped_configuration_trains(runs, algo, entry):
    env, tiny = ENVS.get(entry, (entry, TINY_FLAT))
    printed = train("--algo", algo, "--env", env, "-n", "200", "--eval-freq", "-1", "-params", *tiny)
    assert f"hyperparams/{algo}.yml" in printed
    assert (runs / f"logs/{algo}/{env}_1/{env}.zip").is_file()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_configurations_hold_no_text_to_be_evaluated(algo):
    evaluated = {"policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "monitor_kwargs", "normalize"}
    for settings in yaml.safe_load(config_path(algo).read_text()).values():
        for key in evaluated & set(settings):
            assert not isinstance(settings[key], str), f"{algo}: {key} is a string that the zoo would eval"


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_configurations_cover_atari_cartpole_and_everything_else(algo):
    assert {"atari", "CartPole-v1", "default"} <= set(yaml.safe_load(config_path(algo).read_text()))
