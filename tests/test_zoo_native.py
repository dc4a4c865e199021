"""The zoo plays our Atari configurations in C++: proven by what is built, and every later script takes the run."""

import re

import numpy as np
import pytest
import yaml
from stable_baselines3.common.monitor import load_results

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.atari import NativeAtariVecEnv
from tests.commands import TINY_ATARI, files, train, zoo

PONG = ("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v4")
SHORT = (*PONG, "-n", "160", "--eval-freq", "-1")

#: Started before the zoo, it lets the ordinary game fail: only a run that needs none comes through.
NO_ORDINARY_GAMES = """
import ale_py.env
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
        *("--eval-env-kwargs", "max_num_frames_per_episode:400", "-params", "n_envs:2", *TINY_ATARI),
        cwd=folder,
        env={"PYTHONPATH": f"{folder / 'path'}"},
    )
    assert result.returncode == 0, result.stdout
    assert "Native environments: 2 in C++, stacking 4 frames" in result.stdout
    return folder / "logs/dqn_dueling/PongNoFrameskip-v4_1"
