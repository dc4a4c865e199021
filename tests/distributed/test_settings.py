import numpy as np
import pytest

from sb3_atari_dqn.distributed.cluster import check_versions
from sb3_atari_dqn.distributed.command_line import with_actors
from sb3_atari_dqn.distributed.settings import ActorSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adress": "local"}, "did you mean 'address'"),
        ({"address": ""}, "address must be"),
        ({"address": 6379}, "address must be"),
        ({"actors": 0}, "ray: actors must be at least 1, got 0"),
        ({"actors": 1.5}, "ray: actors must be an integer, got 1.5"),
        ({"groups": 0}, "ray: groups must be at least 1"),
        ({"block_steps": 0}, "ray: block_steps must be at least 1"),
        ({"block_steps": 10**6}, "at most 4096"),
        ({"blocks_ahead": -1}, "ray: blocks_ahead must be at least 0"),
        ({"exploration": "apex"}, "Unknown exploration of ray 'apex'; known: ladder, schedule"),
        ({"compress": "yes"}, "ray: compress must be True or False"),
        ({"cpus_per_actor": 0}, "ray: cpus_per_actor"),
        ({"timeout_s": 0}, "ray: timeout_s"),
        ({"mode": "async"}, "Unknown mode of ray 'async'; known: free-running, lock-step"),
        ({"mode": "free-running", "blocks_ahead": 8}, "max_staleness=8 must be more than blocks_ahead=8"),
        ({"max_staleness": 0}, "ray: max_staleness must be at least 1"),
        ({"spares": -1}, "ray: spares must be at least 0"),
        ({"spares": np.bool_(True)}, "ray: spares must be an integer"),
        ({"actors": 10**30}, "ray: actors must be at most 10000"),
        ({"initial_priorities": 1}, "ray: initial_priorities must be True or False"),
        (["local"], "ray must be a mapping"),
        (7, "ray must be a mapping"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ActorSettings.of(options)


def test_an_address_alone_is_enough():
    assert ActorSettings.of("auto") == ActorSettings(address="auto")


@pytest.mark.parametrize(("actors", "groups"), [(1, 4), (2, 4), (4, 4), (3, 3), (8, 8)])
def test_one_two_or_four_actors_share_the_same_groups(actors, groups):
    assert ActorSettings(actors=actors).divided(48).groups == groups


@pytest.mark.parametrize("n_envs", [1, 2, 3])
def test_one_actor_plays_fewer_games_than_groups(n_envs):
    assert ActorSettings().divided(n_envs).groups == n_envs


@pytest.mark.parametrize(
    ("settings", "n_envs", "message"),
    [
        ({"actors": 2}, 6, "n_envs=6 games do not divide into 4 groups: give n_envs=8"),
        ({"actors": 3, "groups": 2}, 6, "3 actors share 2 groups"),
        ({"groups": 5}, 12, "give n_envs=15"),
    ],
)
def test_games_that_do_not_come_out_even(settings, n_envs, message):
    with pytest.raises(ValueError, match=message):
        ActorSettings(**settings).divided(n_envs)


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ({"Python": "3.12", "ray": "2.60.0"}, r"node 10.0.0.2 has Python 3.12, this machine 3.11"),
        ({"Python": "3.11", "ray": None}, r"node 10.0.0.2 lacks ray, this machine 2.60.0: install ray 2.60.0 there"),
        ({"Python": "3.11"}, "lacks ray"),
    ],
)
def test_other_versions_on_a_node_are_named(there, message):
    with pytest.raises(ValueError, match=message):
        check_versions("10.0.0.2", {"Python": "3.11", "ray": "2.60.0"}, there)


def test_equal_versions_pass():
    check_versions("10.0.0.2", {"Python": "3.11", "ale-py": None}, {"Python": "3.11", "ale-py": None})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--algo", "dqn_double"], ["--algo", "dqn_double"]),
        (["--ray", "local", "-n", "5"], ["-n", "5", "-params", "ray.address:'local'"]),
        (["--ray=head:6379"], ["-params", "ray.address:'head:6379'"]),
        (["-params", "gamma:0.9", "--ray", "auto"], ["-params", "ray.address:'auto'", "gamma:0.9"]),
        (
            ["--hyperparams", "a:1", "-n", "5", "--ray", "auto"],
            ["--hyperparams", "ray.address:'auto'", "a:1", "-n", "5"],
        ),
    ],
)
def test_the_option_becomes_a_hyperparameter(arguments, expected):
    assert with_actors("train", arguments) == expected


@pytest.mark.parametrize("arguments", [["--ray"], ["--ray="], ["--ray", "-n", "5"]])
def test_the_option_needs_an_address(arguments):
    with pytest.raises(ValueError, match="--ray needs an address"):
        with_actors("train", arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ray", "user:secret@head:6379"], "credentials in addresses are not supported"),
        (["-params", "ray.address:'ray://user:secret@head:1'"], "credentials in addresses are not supported"),
        (["--ray", "head"], "'head' is not HOST:PORT, 'local' or 'auto'"),
        (["--ray", "local", "-params", "ray.address:'auto'"], "--ray local and ray.address both give an address"),
    ],
)
def test_wrong_addresses_are_refused_before_the_zoo_prints_them(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        with_actors("train", arguments)
    assert "secret" not in str(caught.value)


def test_only_training_has_actors():
    with pytest.raises(ValueError, match="only train has actors"):
        with_actors("enjoy", ["--ray", "local"])
