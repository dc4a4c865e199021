"""Which runs differ only in their seed."""

import pytest

from sb3_atari_dqn.plotting.groups import group
from sb3_atari_dqn.plotting.runs import read_run
from tests.support.fake_runs import games, write_run


@pytest.fixture
def make(tmp_path):
    def make(name, **kwargs):
        return read_run(write_run(tmp_path / name, games(3), **kwargs))

    return make


def shape(groups):
    return [(one.label, [run.path.name for run in one.runs]) for one in groups]


def test_seeds_of_one_configuration_belong_together(make):
    runs = [make("a", seed=1), make("b", algo="dqn"), make("c", seed=2)]
    assert shape(group(runs)) == [("dqn_dueling", ["a", "c"]), ("dqn", ["b"])]


def test_configurations_of_one_algorithm_are_labelled_by_what_differs(make):
    runs = [make("a", config={"gamma": 0.9, "policy": "CnnPolicy"}), make("b", config={"policy": "CnnPolicy"})]
    assert shape(group([*runs, make("c", config={"gamma": 0.5, "policy": "CnnPolicy"})])) == [
        ("dqn_dueling, gamma 0.9", ["a"]),
        ("dqn_dueling", ["b"]),
        ("dqn_dueling, gamma 0.5", ["c"]),
    ]


def test_labels_name_the_nested_setting_that_differs(make):
    def config(weights, callbacks):
        kwargs = {
            "features_extractor_class": "elu",
            "features_extractor_kwargs": {"strides": [4, 2], "weights": weights},
        }
        return {"callback": callbacks, "policy_kwargs": kwargs}

    runs = [make("a", config=config("x" * 90, ["one"])), make("b", config=config("glorot", ["one", "two"]))]
    long, short = (label for label, _ in shape(group(runs)))
    assert short == "dqn_dueling, weights glorot"
    assert long.startswith("dqn_dueling, weights xxx")
    assert long.endswith("...")
    assert len(long) < 60


def test_environment_arguments_distinguish_runs(make):
    runs = [make("a", env_kwargs={"difficulty": 0}), make("b", env_kwargs={"difficulty": 1})]
    assert shape(group(runs)) == [("dqn_dueling, difficulty 0", ["a"]), ("dqn_dueling, difficulty 1", ["b"])]


def test_unusual_settings_distinguish_runs_too(make):
    odd = [{"env_kwargs": "dict(a=1)"}, {"env_kwargs": ["b"]}, {"callback": {}}, {"callback": [None], "x": {"y": None}}]
    runs = [make(str(number), config=config) for number, config in enumerate(odd)]
    assert len(group(runs)) == 4


def test_labels_use_the_most_distinctive_keys(make):
    settings = [
        {"a_wrapper": ["some.module.Wide"], "starts": 500},
        {"a_wrapper": ["some.module.Wide"], "starts": 800},
        {"a_wrapper": ["some.module.Narrow"], "starts": 800},
    ]
    runs = [make(str(number), config=config) for number, config in enumerate(settings)]
    assert [label for label, _ in shape(group(runs))] == [
        "dqn_dueling, starts 500",
        "dqn_dueling, a_wrapper ['Wide'], starts 800",
        "dqn_dueling, a_wrapper ['Narrow']",
    ]


def test_callbacks_that_only_log_make_no_difference(make):
    watching = ["sb3_atari_dqn.callbacks.LogEpisodes", {"sb3_atari_dqn.callbacks.RecordEpisodes": {"fps": 20}}]
    runs = [
        make("a", config={"gamma": 0.9}),
        make("b", config={"gamma": 0.9, "callback": watching}),
        make("c", config={"gamma": 0.9, "callback": watching[0]}, env_kwargs={"render_mode": "rgb_array"}),
    ]
    assert shape(group(runs)) == [("dqn_dueling", ["a", "b", "c"])]


def test_other_callbacks_do_and_groups_without_a_short_difference_are_numbered(make):
    runs = [make("a", config={"gamma": 1}), make("b", config={"gamma": 1, "callback": ["somebody.Else"]})]
    assert shape(group(runs)) == [("dqn_dueling #1", ["a"]), ("dqn_dueling #2", ["b"])]


def test_labels_name_the_groups_in_the_order_of_the_runs(make):
    runs = [make("a"), make("b", algo="dqn"), make("c")]
    assert shape(group(runs, ["ours", "theirs"])) == [("ours", ["a", "c"]), ("theirs", ["b"])]


def test_labels_must_be_as_many_as_the_groups(make):
    with pytest.raises(ValueError, match=r"--labels.* 3 .* 2 .*a.*c; .*b"):
        group([make("a"), make("b", algo="dqn"), make("c")], ["x", "y", "z"])


def test_runs_of_different_environments_raise_with_their_names(make):
    with pytest.raises(ValueError, match=r"PongNoFrameskip-v4 .*a.*Breakout-v4 .*b"):
        group([make("a"), make("b", env="Breakout-v4")])


def test_runs_of_another_budget_are_another_group(make):
    config = {"gamma": 0.9, "n_timesteps": 100.0}
    runs = [
        make("a", config=config, n_timesteps=-1),
        make("b", config=config, n_timesteps=200),
        make("c", config=config, n_timesteps=100),
        make("d", config=config),
    ]
    assert shape(group(runs)) == [
        ("dqn_dueling, n_timesteps 100", ["a", "c", "d"]),
        ("dqn_dueling, n_timesteps 200", ["b"]),
    ]


def test_continued_runs_are_grouped_by_the_model_that_they_continue(make):
    first = "logs/Pong-v4_1/Pong-v4.zip"
    agents = {"a": "", "b": first, "c": f"./{first}", "d": "logs/Pong-v4_2/Pong-v4.zip", "e": ""}
    runs = [make(name, trained_agent=agent) for name, agent in agents.items()]
    assert shape(group(runs)) == [
        ("dqn_dueling", ["a", "e"]),
        ("dqn_dueling, continues Pong-v4_1/Pong-v4", ["b", "c"]),
        ("dqn_dueling, continues Pong-v4_2/Pong-v4", ["d"]),
    ]
