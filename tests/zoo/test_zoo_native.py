"""The zoo plays our Atari configurations in C++: proven by what is built, and every later script takes the run."""

import os
import re

import numpy as np
import pytest
import yaml
from stable_baselines3.common.monitor import load_results

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.atari import NativeAtariVecEnv
from tests.support.commands import TINY, TINY_ATARI, files, train, zoo

PONG = ("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v4")
SHORT = (*PONG, "-n", "160", "--eval-freq", "-1")

#: Started before the zoo, it lets the ordinary game fail: only a run that needs none comes through.
NO_ORDINARY_GAMES = """
import functools
import ale_py.env
@functools.wraps(ale_py.env.AtariEnv.__init__)
def refuse(*args, **kwargs):
    raise RuntimeError("an ordinary game")
ale_py.env.AtariEnv.__init__ = refuse
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the main job with two environments, in a process where the ordinary game cannot be built."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "path").mkdir()
    (folder / "path" / "sitecustomize.py").write_text(NO_ORDINARY_GAMES)
    result = zoo(
        *("train", *PONG, "-n", "400", "--seed", "1", "--eval-freq", "300", "--eval-episodes", "1"),
        *("--eval-env-kwargs", "max_num_frames_per_episode:400", "-params", *TINY_ATARI),
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join([str(folder / "path"), os.environ.get("PYTHONPATH", "")])},
    )
    assert result.returncode == 0, result.stdout
    assert "Native environments: 2 in C++, stacking 4 frames" in result.stdout
    return folder / "logs/dqn_dueling/PongNoFrameskip-v4_1"


@pytest.mark.slow
def test_a_run_without_any_ordinary_game_trains_evaluates_and_writes_its_monitor_files(trained):
    model = DuelingDQN.load(trained / "PongNoFrameskip-v4.zip", device="cpu")
    assert model.num_timesteps == 400
    assert model._n_updates == len(range(152, 400, 2)) // 2  # half an update for each vector step beyond 150
    assert model.observation_space.shape == (4, 84, 84)
    assert np.load(trained / "evaluations.npz")["ep_lengths"].tolist() == [[400]]
    assert list(load_results(str(trained)).columns) == ["index", "r", "l", "t"]
    assert {"0.monitor.csv", "1.monitor.csv"} <= set(files(trained))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["enjoy", "record_video"])
def test_later_scripts_take_the_run_in_ordinary_environments(trained, command):
    result = zoo(command, *PONG, "-f", "logs", "-n", "20", "--no-render", cwd=trained.parents[2])
    assert result.returncode == 0, result.stdout
    assert "Native" not in result.stdout


@pytest.mark.slow
def test_a_new_run_in_ordinary_environments_begins_with_a_native_one_and_back(runs):
    tiny = (*TINY, "checkpoint_freq:0")
    train(*SHORT, "--save-replay-buffer", "-params", *tiny)
    folder = "logs/dqn_dueling/PongNoFrameskip-v4"
    printed = train(*SHORT, "-i", f"{folder}_1/PongNoFrameskip-v4.zip", "--save-replay-buffer", "-params", *tiny,
                    "native_envs:False")  # fmt: skip
    assert "Loading replay buffer" in printed
    assert "Native" not in printed
    printed = train(*SHORT, "-i", f"{folder}_2/PongNoFrameskip-v4.zip", "-params", *tiny)
    assert "Native environments: 8 in C++" in printed


def configuration(folder, **changes) -> str:
    settings = {
        "policy": "CnnPolicy",
        "n_timesteps": 160,
        "buffer_size": 500,
        "learning_starts": 150,
        "frame_stack": 4,
        "env_wrapper": ["sb3_atari_dqn.atari.NatureAtari"],
    } | changes
    (folder / "conf.yml").write_text(yaml.safe_dump({"atari": settings, "default": settings}))
    return str(folder / "conf.yml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "arguments", "says"),
    [
        ({"env_wrapper": [{"sb3_atari_dqn.atari.NatureAtari": {"max_pool_frames": 3}}]}, (), "max_pool_frames=3"),
        ({"env_kwargs": {"difficulty": 1}}, (), "difficulty=1 "),
        ({"monitor_kwargs": {"override_existing": False}}, (), "monitor_kwargs"),
        ({}, ("--vec-env", "subproc"), "--vec-env"),
    ],
)
def test_what_c_cannot_play_gets_ordinary_environments_and_one_line(runs, changes, arguments, says):
    printed = train(*SHORT, "-conf", configuration(runs, **changes), *arguments)
    (line,) = re.findall("No native environments: .*", printed)
    assert says in line
    assert "Native" not in printed


def test_native_environments_that_are_demanded_and_impossible_are_an_error_that_leaves_no_folder(runs):
    path = configuration(runs, native_envs=True, env_kwargs={"difficulty": 1})
    with pytest.raises(ValueError, match="native_envs: true, but difficulty=1"):
        train(*SHORT, "-conf", path)
    assert files(runs) == ["conf.yml"]


@pytest.mark.parametrize(
    ("changes", "demand"),
    [
        ({"native_envs": True}, "native_envs: true asks for"),
        ({"ray": {"address": "in-process"}, "n_envs": 4}, "ray: actors play"),
    ],
)
def test_native_environments_without_a_preset_are_an_error_that_says_which_to_add(runs, changes, demand):
    path = configuration(runs, env_wrapper=None, **changes)
    with pytest.raises(ValueError, match=f"{demand} native games, which need a preset: .*sb3_atari_dqn.atari.Nature"):
        train(*SHORT, "-conf", path)
    with pytest.raises(ValueError, match=f"{demand} native games, which are Atari games, and CartPole-v1 is none: "):
        train("--algo", "dqn_dueling", "--env", "CartPole-v1", "-conf", path)
    assert files(runs) == ["conf.yml"]


@pytest.mark.parametrize("value", ["fast", 0, 1])
def test_an_unknown_value_is_refused(runs, value):
    with pytest.raises(ValueError, match=f"native_envs .*true, false or auto.* {value!r}"):
        train(*SHORT, "-conf", configuration(runs, native_envs=value))


@pytest.mark.slow
def test_the_configuration_reaches_the_games_of_training_and_of_evaluation(runs, monkeypatch):
    asked = []
    build = NativeAtariVecEnv.__init__

    def recording(env, *args, **kwargs):
        asked.append(kwargs)
        build(env, *args, **kwargs)

    monkeypatch.setattr(NativeAtariVecEnv, "__init__", recording)
    size = {"sb3_atari_dqn.atari.NatureAtari": {"size": [84, 90]}}
    path = configuration(runs, native_envs=True, env_wrapper=size, env_kwargs={"full_action_space": True})
    train(*PONG, "-n", "160", "-conf", path, "--seed", "3", "--eval-freq", "1000")
    assert [kwargs["monitor_dir"] is None for kwargs in asked] == [True, False]
    for kwargs in asked:
        assert (kwargs["n_stack"], kwargs["seed"]) == (4, 3)
        assert kwargs["env_kwargs"] == {"full_action_space": True}
        assert kwargs["preset"].size == (84, 90)


def test_other_environments_are_not_spoken_of(runs):
    printed = train("--algo", "dqn_dueling", "--env", "CartPole-v1", "-n", "160", "--eval-freq", "-1")
    assert "environments:" not in printed


@pytest.mark.slow
def test_a_trial_of_the_tuning_plays_natively(runs):
    printed = train(*PONG, "-n", "160", "-optimize", "--n-trials", "1", "--n-evaluations", "1", "--eval-episodes", "1",
                    "--eval-env-kwargs", "max_num_frames_per_episode:200", "-params", *TINY_ATARI)  # fmt: skip
    assert "Native environments" in printed
