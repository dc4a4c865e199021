"""The settings in a run folder."""

import pytest

from sb3_atari_dqn.plotting.settings import frames_per_step, read_settings
from tests.support.fake_runs import write_run

SB3_WRAPPERS = "stable_baselines3.common.atari_wrappers"


def skip_of(env_wrapper):
    return frames_per_step({"policy": "CnnPolicy", "env_wrapper": env_wrapper})


@pytest.mark.parametrize(
    ("env_wrapper", "frames"),
    [
        (None, 1),
        ("sb3_atari_dqn.atari.NatureAtari", 4),
        ([{"sb3_atari_dqn.atari.NatureAtari": {"frame_skip": 16}}], 16),
        ({"sb3_atari_dqn.atari.AtariPresetWrapper": {}}, 1),
        ([f"{SB3_WRAPPERS}.AtariWrapper"], 4),
        ([{f"{SB3_WRAPPERS}.AtariWrapper": {"frame_skip": 2}}], 2),
        ([f"{SB3_WRAPPERS}.ClipRewardEnv", f"{SB3_WRAPPERS}.MaxAndSkipEnv"], 4),
        (["gymnasium.wrappers.FlattenObservation"], 1),
        (["gymnasium.wrappers.transform_observation.FlattenObservation"], 1),
        (["rl_zoo3.wrappers.FrameSkip"], 4),
        ([{"rl_zoo3.wrappers.FrameSkip": {"skip": 3}}, "rl_zoo3.wrappers.HistoryWrapper"], 3),
        (["gymnasium.wrappers.atari_preprocessing.AtariPreprocessing"], 4),
        ([{"gymnasium.wrappers.atari_preprocessing.AtariPreprocessing": {"frame_skip": 2}}], 2),
        ([{"gymnasium.wrappers.stateful_observation.MaxAndSkipObservation": {"skip": 6}}], 6),
        ([{"gymnasium.wrappers.RepeatAction": {"num_repeats": 5}}], 5),
        (["my_own.Wrapper"], None),
        (["sb3_atari_dqn.atari.NotYetWritten"], None),
        (["sb3_atari_dqn.no_such_room.Wrapper"], None),
    ],
)
def test_the_wrappers_determine_the_frames_per_step(env_wrapper, frames):
    assert skip_of(env_wrapper) == frames


def test_without_a_configuration_frames_per_step_are_unknown():
    assert frames_per_step({}) is None


def test_algorithm_and_environment_are_those_of_the_command_line(tmp_path):
    settings = read_settings(write_run(tmp_path / "logs/dqn/Pong_1", [], algo="ppo", env="Pong-v4"), "other")
    assert (settings.algo, settings.env_id) == ("ppo", "Pong-v4")


def test_without_args_the_path_and_the_monitor_files_name_algorithm_and_environment(tmp_path):
    (tmp_path / "logs/dqn/run").mkdir(parents=True)
    settings = read_settings(tmp_path / "logs/dqn/run", "Pong-v4")
    assert (settings.algo, settings.env_id, settings.config) == ("dqn", "Pong-v4", {})


def test_files_are_read_but_never_executed(tmp_path):
    folder = tmp_path / "run/Pong-v4"
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n"
        "- - [policy, CnnPolicy]\n"
        f"  - [clip_range, !!python/object/apply:os.mkdir ['{tmp_path}/executed']]\n"
        "  - [train_freq, !!python/tuple [1, step]]\n"
        "  - [thing, !!python/name:os.getcwd '']\n"
    )
    settings = read_settings(tmp_path / "run", "Pong-v4")
    assert settings.config["policy"] == "CnnPolicy"
    assert settings.config["train_freq"] == [1, "step"]
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "- 3", "just text", "&a [*a]", "[[1, 2]]"),
        "env_wrapper: [sb3_atari_dqn.atari.NatureAtari: {frame_skip: x}]",
        f"env_wrapper: [{SB3_WRAPPERS}.AtariWrapper: {{frame_skip: foo}}]",
        f"env_wrapper: [{SB3_WRAPPERS}.AtariWrapper: {{frame_skip: 0}}]",
    ],
)
def test_a_file_that_is_not_a_configuration_is_named(tmp_path, content):
    write_run(tmp_path / "run", [])
    path = tmp_path / "run/PongNoFrameskip-v4/config.yml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"config\.yml .*zoo") as raised:
        read_settings(tmp_path / "run", "Pong-v4")
    assert "\n" not in str(raised.value)


def test_keys_become_strings(tmp_path):
    run = write_run(tmp_path / "run", [], config={"policy_kwargs": {1: {2: [{3: 4}]}, "a": 5}})
    assert read_settings(run, "Pong-v4").config == {"policy_kwargs": {"1": {"2": [{"3": 4}]}, "a": 5}}


def test_a_configuration_cannot_stand_for_endless_values(tmp_path):
    path = tmp_path / "run/PongNoFrameskip-v4/config.yml"
    path.parent.mkdir(parents=True)
    path.write_text("c0: &c0 [1, 1]\n" + "".join(f"c{i}: &c{i} [*c{i - 1}, *c{i - 1}]\n" for i in range(1, 60)))
    with pytest.raises(ValueError, match="more than 100,000 values"):
        read_settings(tmp_path / "run", "PongNoFrameskip-v4")
