"""Every entry of every shipped configuration builds and learns for a few steps."""

import pytest
import yaml

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.zoo.configuration import check_names, nest
from sb3_atari_dqn.zoo.packaged_configs import config_path, profiles
from tests.support.commands import TINY, TINY_ATARI, train, zoo

TINY_FLAT = ("learning_starts:20", "buffer_size:500", "batch_size:8", "train_freq:4", "gradient_steps:1")
ENVS = {
    "atari": ("PongNoFrameskip-v4", TINY_ATARI),
    "ChromeDino-v0": ("ChromeDino-v0", TINY),
    "default": ("Acrobot-v1", TINY_FLAT),
}
ALGORITHM_OF_PROFILE = {"btr_short": "dqn_btr", "pqn_short": "dqn_pqn"}
TINY_ROLLOUT = ("n_envs:2", "n_steps:16", "batch_size:8")
MARKS = {"ChromeDino-v0": pytest.mark.browser}
ENTRIES = [
    pytest.param(algo, entry, marks=MARKS.get(entry, ()))
    for algo in ALGORITHMS
    for entry in yaml.safe_load(config_path(algo).read_text())
]


@pytest.mark.slow
@pytest.mark.parametrize(("algo", "entry"), ENTRIES)
def test_every_shipped_configuration_trains(runs, algo, entry):
    env, tiny = ENVS.get(entry, (entry, TINY_FLAT))
    if algo == "dqn_pqn":
        tiny = TINY_ROLLOUT
    if (algo, entry) == ("dqn_btr", "atari"):
        tiny = TINY  # 64 games, the most of all configurations with a replay memory
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
def test_every_key_of_a_shipped_configuration_is_known_as_one_of_params(algo):
    for settings in yaml.safe_load(config_path(algo).read_text()).values():
        check_names(algo, settings)
        with pytest.raises(ValueError, match="Unknown key 'nn_timesteps'"):
            check_names(algo, [*settings, "nn_timesteps"])


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_configurations_cover_atari_cartpole_and_everything_else(algo):
    assert {"atari", "CartPole-v1", "default"} <= set(yaml.safe_load(config_path(algo).read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("name", profiles())
def test_every_profile_trains_by_its_short_name_and_plays(runs, name):
    algo = ALGORITHM_OF_PROFILE.get(name, "dqn_dueling")
    few = TINY_ROLLOUT if algo == "dqn_pqn" else (*TINY_ATARI, "replay_ratio:0.1")
    printed = train(
        *("--algo", algo, "--env", "PongNoFrameskip-v4", "-conf", name),
        *("-n", "200", "--eval-freq", "-1", "-params", *few),
    )
    assert f"hyperparams/profiles/{name}.yml" in printed
    assert (runs / f"logs/{algo}/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip").is_file()
    played = zoo(
        "enjoy", "--algo", algo, "--env", "PongNoFrameskip-v4", "-f", "logs", "-n", "20", "--no-render", cwd=runs
    )
    assert played.returncode == 0, played.stdout


@pytest.mark.parametrize("name", profiles())
def test_a_profile_keeps_the_samples_per_transition_of_the_shipped_configuration(name):
    shipped = config_path("dqn_pqn" if name == "pqn_short" else "dqn_dueling")
    settings = [yaml.safe_load(path.read_text())["atari"] for path in (profiles()[name], shipped)]
    samples = [each.get("n_epochs") or each["batch_size"] * each["replay_ratio"] for each in settings]
    assert samples[0] == samples[1]


def test_a_profile_that_does_not_exist_is_named_with_those_that_do(runs):
    with pytest.raises((ValueError, SystemExit), match=r"-conf larg_batch .*large_batch"):
        train("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v4", "-conf", "larg_batch", "-n", "200")
    assert not (runs / "logs/dqn_dueling/PongNoFrameskip-v4_1").exists()


def test_names_with_dots_set_single_keys_at_any_depth_and_keep_the_others():
    settings = {"policy_kwargs": {"optimizer_kwargs": {"eps": 1}, "features_extractor_kwargs": {"center_images": True}}}
    single = {
        "policy_kwargs.features_extractor_kwargs.width": 2,
        "policy_kwargs.head": "dueling",
        "values_kwargs.a.b": 3,
    }
    before = str(settings)
    assert nest({**settings, **single}) == {
        "policy_kwargs": {
            "optimizer_kwargs": {"eps": 1},
            "features_extractor_kwargs": {"center_images": True, "width": 2},
            "head": "dueling",
        },
        "values_kwargs": {"a": {"b": 3}},
    }
    assert str(settings) == before


@pytest.mark.parametrize("policy_kwargs", ["dict(head='dueling')", {"optimizer_kwargs": 3}])
def test_a_key_of_what_is_no_mapping_is_named(policy_kwargs):
    with pytest.raises(ValueError, match=r"policy_kwargs.optimizer_kwargs.eps cannot be set in .*as a YAML mapping"):
        nest({"policy_kwargs": policy_kwargs, "policy_kwargs.optimizer_kwargs.eps": 1})
