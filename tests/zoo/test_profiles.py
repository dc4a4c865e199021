"""A packaged profile changes settings of an algorithm, not the parts that make it that algorithm."""

import inspect
from pathlib import Path

import pytest
import yaml

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.zoo.packaged_configs import config_path, profiles
from sb3_atari_dqn.zoo.profiles import check_profile, profile_of, replaced_parts, without_replaced_parts
from tests.support.commands import TINY_ATARI, files, train
from tests.support.environments import Noise

PARTS = ("values", "values_kwargs", "bootstrap", "bootstrap_kwargs", "policy_kwargs", "gamma", "n_steps", "replay")
#: Algorithms with a profile of their own.
OWN = {"dqn_btr": "btr_short", "dqn_pqn": "pqn_short"}
#: Pairs that are refused, and the way out that the message gives.
REFUSED = {
    **{
        (own, algo): f"-conf {OWN.get(algo, 'short')}, or --algo {owner}"
        for owner, own in OWN.items()
        for algo in ALGORITHMS
        if algo != owner
    },
    **{("short", algo): f"-conf {own}" for algo, own in OWN.items()},
    ("short", "dqn_der"): "replay_ratio:1.0",
    ("large_batch", "dqn_der"): "replay_ratio:1.0",
    ("large_batch", "dqn_pqn"): "omit -conf",
}
PAIRS = [(profile, algo) for profile in profiles() for algo in ALGORITHMS]
#: What a profile adds to an algorithm that leaves it open.
ADDED = {"dqn_c51": {"bootstrap", "head"}, "dqn_qr": {"bootstrap", "head"}, "dqn_iqn": {"bootstrap", "head"}}


def settings_of(profile):
    return yaml.safe_load(profiles()[profile].read_text())["atari"]


def parts_of(model):
    """:return: what makes an algorithm, of a built model"""
    head, noisy = type(model.q_net.q_net).__name__, any("oisy" in type(each).__name__ for each in model.q_net.modules())
    torso = type(model.q_net.features_extractor).__name__
    names = ("values", "values_kwargs", "bootstrap", "gamma", "exploration", "n_steps", "replay")
    arguments = {name: getattr(model, name, None) for name in names}
    return {**arguments, "head": head, "noisy": noisy, "torso": torso}


def build(algo, **options):
    memory = {} if algo == "dqn_pqn" else {"buffer_size": 100}
    return ALGORITHMS[algo].import_class()("CnnPolicy", Noise((44, 44, 1)), **memory, **options)


@pytest.mark.parametrize(("profile", "algo"), [pair for pair in PAIRS if pair not in REFUSED])
def test_a_profile_leaves_an_algorithm_its_parts(profile, algo):
    check_profile(profile, algo, ())
    kept, lines = without_replaced_parts(profile, algo, settings_of(profile), ())
    with_profile = parts_of(build(algo, **{name: kept[name] for name in PARTS if name in kept}))
    alone = parts_of(build(algo))
    changed = {name for name in alone if with_profile[name] != alone[name]}
    open_to_all = {"n_steps", "replay"} if alone["n_steps"] == 1 else set()
    assert changed <= open_to_all | (ADDED.get(algo, set()) if profile == "short" else set())
    assert (ADDED.get(algo, set()) if profile == "short" else set()) <= changed
    assert all(algo in line and f"-conf {profile}" in line for line in lines)


@pytest.mark.parametrize(("profile", "algo"), REFUSED)
def test_a_profile_for_other_algorithms_is_refused_before_anything_is_written(runs, profile, algo):
    with pytest.raises(ValueError, match=f"-conf {profile} .*{REFUSED[profile, algo]}") as refusal:
        train("--algo", algo, "--env", "PongNoFrameskip-v4", "-conf", profile, "-n", "200")
    assert algo in str(refusal.value)
    assert files(runs) == []


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_for_another_game_says_that_it_is_for_atari(runs, profile):
    with pytest.raises(ValueError, match=f"^-conf {profile} is for Atari games, and CartPole-v1 is none: omit -conf"):
        train("--algo", "dqn_dueling", "--env", "CartPole-v1", "-conf", profile)
    assert files(runs) == []


def test_a_part_that_a_profile_would_replace_is_named():
    kept, lines = without_replaced_parts("short", "dqn_munchausen", settings_of("short"), ())
    assert lines == [
        "dqn_munchausen keeps its own bootstrap='munchausen'; that of -conf short, 'double', is for others",
        "dqn_munchausen keeps its own policy_kwargs.head='linear'; that of -conf short, 'dueling', is for others",
    ]
    assert "bootstrap" not in kept
    assert "head" not in kept["policy_kwargs"]


@pytest.mark.parametrize("given", [["bootstrap", "policy_kwargs"], ["bootstrap", "policy_kwargs.head"]])
def test_the_command_line_may_replace_parts(given):
    settings = settings_of("short")
    assert without_replaced_parts("short", "dqn_munchausen", settings, given) == (settings, [])


@pytest.mark.parametrize("profile", ["short", "large_batch"])
def test_epsilon_is_left_out_where_noise_explores(profile):
    settings = settings_of(profile)
    kept, lines = without_replaced_parts(profile, "dqn_rainbow", settings, ())
    assert settings.keys() - kept.keys() == {"exploration_steps", "exploration_final_eps"}
    assert lines == []
    assert without_replaced_parts(profile, "dqn_rainbow", settings, ["exploration"])[0] == settings


def test_what_a_trial_sets_stays():
    settings = {**settings_of("short"), "n_steps": 5, "bootstrap": "minto"}
    assert without_replaced_parts("short", "dqn_rainbow", settings, ["exploration"]) == (settings, [])


def test_an_update_every_step_may_be_asked_for_with_a_profile():
    check_profile("short", "dqn_der", ["replay_ratio"])
    kept, lines = without_replaced_parts("short", "dqn_der", settings_of("short"), ["replay_ratio"])
    assert "n_steps" not in kept
    assert any("n_steps=10" in line for line in lines)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_no_packaged_configuration_of_an_algorithm_replaces_its_own_objective(algo):
    entries = yaml.safe_load(config_path(algo).read_text()).values()
    assert [replaced_parts(algo, settings) for settings in entries] == [[]] * len(entries)


@pytest.mark.parametrize(
    ("algo", "settings", "named"),
    [
        ("dqn_munchausen", {"bootstrap": "double"}, ["bootstrap='double'"]),
        ("dqn_double", {"bootstrap": "greedy"}, ["bootstrap='greedy'"]),
        ("dqn_btr", {"values": "quantile", "bootstrap": "double"}, ["values='quantile'", "bootstrap='double'"]),
        ("dqn_qr", {"bootstrap": "double"}, []),
        ("dqn_munchausen", {"bootstrap": "munchausen", "values": "implicit"}, []),
        ("dqn_rainbow", {"values": None}, []),
    ],
)
def test_what_the_user_puts_in_place_of_the_own_objective_is_told(algo, settings, named):
    lines = replaced_parts(algo, settings)
    assert len(lines) == len(named)
    assert all(part in line and algo in line for part, line in zip(named, lines, strict=True))


def test_a_configuration_of_the_user_may_replace_the_objective_and_says_so(runs):
    own = {"policy": "MlpPolicy", "n_timesteps": 60, "buffer_size": 100, "learning_starts": 20, "bootstrap": "double"}
    Path("mine.yml").write_text(yaml.safe_dump({"default": own}))
    printed = train(
        *("--algo", "dqn_munchausen", "--env", "CartPole-v1", "-conf", "mine.yml", "--eval-freq", "-1"),
    )
    assert "dqn_munchausen with bootstrap='double', as configured, in place of its own 'munchausen'" in printed
    saved = (runs / "logs/dqn_munchausen/CartPole-v1_1/CartPole-v1/config.yml").read_text()
    assert "bootstrap\n    - double" in saved


def test_a_profile_is_known_by_its_path_too():
    assert profile_of(str(profiles()["short"])) == "short"
    assert profile_of(str(config_path("dqn_qr"))) is None


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["dqn_munchausen", "dqn_rainbow"])
@pytest.mark.filterwarnings("error:exploration_steps")
def test_the_saved_model_has_the_parts_of_its_algorithm(runs, algo):
    tiny = [each for each in TINY_ATARI if not each.startswith("exploration")]
    train(
        *("--algo", algo, "--env", "PongNoFrameskip-v4", "-conf", "short", "-n", "200", "--eval-freq", "-1"),
        *("-params", *tiny, "replay_ratio:0.1"),
    )
    run = runs / f"logs/{algo}/PongNoFrameskip-v4_1"
    cls = ALGORITHMS[algo].import_class()
    model = cls.load(run / "PongNoFrameskip-v4.zip")
    assert (model.values, model.bootstrap) == (cls.values, cls.bootstrap)
    assert model.n_steps == 3  # of the profile or its own
    saved = (run / "PongNoFrameskip-v4/config.yml").read_text()
    assert ("double" in saved, "exploration_steps" in saved) == (algo == "dqn_rainbow", algo != "dqn_rainbow")


def test_every_constructor_default_of_a_class_is_a_part_or_a_pace():
    classic = inspect.signature(ClassicDQN.__init__).parameters
    changed = {
        name
        for algo in ALGORITHMS
        if algo != "dqn_pqn"
        for name, each in inspect.signature(ALGORITHMS[algo].import_class().__init__).parameters.items()
        if each.default != classic[name].default
    }
    pace = {"train_freq", "learning_starts", "target_update_interval"}
    assert changed == {"n_steps", "replay", "gamma", "exploration"} | pace
