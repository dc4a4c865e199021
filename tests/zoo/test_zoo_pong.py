"""The main job, as a user types it: train on real Pong, play, record."""

import os
import re
import signal
import subprocess
import sys
import time

import cv2
import pytest
import torch as th

from sb3_atari_dqn import DuelingDQN
from tests.support.commands import TINY, TINY_ATARI, run, zoo

PONG = ("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one short run of the main job, with as many games as are configured."""
    folder = tmp_path_factory.mktemp("pong")
    result = zoo(
        *("train", *PONG, "-n", "400", "--seed", "1", "-P", "--tensorboard-log", "runs", "--save-freq", "200"),
        *("--eval-freq", "300", "--eval-episodes", "1", "--eval-env-kwargs", "max_num_frames_per_episode:800"),
        *("--log-interval", "1", "-params", *TINY),
        cwd=folder,
        fresh=True,
    )
    assert result.returncode == 0, result.stdout
    return folder


@pytest.mark.slow
def test_training_writes_model_checkpoints_best_model_and_tensorboard_logs(trained):
    run_folder = trained / "logs/dqn_dueling/PongNoFrameskip-v4_1"
    for name in ("PongNoFrameskip-v4.zip", "rl_model_200_steps.zip", "rl_model_400_steps.zip", "best_model.zip"):
        assert (run_folder / name).is_file()
    (log,) = (trained / "runs").rglob("events.out.tfevents.*")
    assert log.parent == trained / "runs/PongNoFrameskip-v4/DuelingDQN_1"


@pytest.mark.slow
def test_training_went_past_learning_starts(trained):
    model = DuelingDQN.load(trained / "logs/dqn_dueling/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip", device="cpu")
    assert model.num_timesteps == 400
    # 8 environments, so 2 updates for each vector step beyond 150; those of the last one are made when training goes on
    assert (model._n_updates, model.pending_updates) == (2 * len(range(152, 400, 8)), 2)


@pytest.mark.slow
def test_enjoy_plays_the_trained_model(trained):
    result = zoo("enjoy", *PONG, "-f", "logs", "--no-render", "-n", "900", "--seed", "2", cwd=trained)
    assert result.returncode == 0, result.stdout
    (score,) = re.findall(r"Atari Episode Score: (-?\d+)\.00", result.stdout)  # one game: the fastest takes 764 steps
    assert -21 <= int(score) <= -17, "after 400 steps it plays no better than a random policy"


@pytest.mark.slow
def test_record_video_writes_a_video_that_shows_the_game(trained):
    result = zoo("record_video", *PONG, "-f", "logs", "-n", "40", "--no-render", cwd=trained)
    assert result.returncode == 0, result.stdout
    (path,) = (trained / "logs/dqn_dueling/PongNoFrameskip-v4_1/videos").glob("*.mp4")
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 15, "not the speed of the game, which holds each action for 4 of 60 frames"
    frames = []
    while (frame := video.read())[0]:
        frames.append(frame[1])
    assert len(frames) >= 40
    assert frames[0].shape == (210, 160, 3)
    assert abs(frames[-1].astype(int) - frames[0].astype(int)).max() > 50, "nothing moves"


@pytest.mark.slow
def test_ctrl_c_leaves_a_usable_model(tmp_path):
    tiny = ("--eval-freq", "-1", "-params", *TINY, "n_envs:1")
    command = [sys.executable, "-m", "rl_zoo3.train", *PONG, *tiny]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    monitor = tmp_path / "logs/dqn_dueling/PongNoFrameskip-v4_1/0.monitor.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (monitor.exists() and len(monitor.read_text().splitlines()) > 2):
        time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    model = DuelingDQN.load(monitor.parent / "PongNoFrameskip-v4.zip", device="cpu")
    assert model.num_timesteps > 150


@pytest.mark.slow
def test_the_same_command_and_seed_give_the_same_weights(tmp_path):
    weights = []
    for folder in ("a", "b"):
        arguments = ("-n", "260", "--seed", "5", "--eval-freq", "-1", "-f", folder, "-params", *TINY_ATARI)
        # Python hashes with another seed each time; "auto" is a matter of time: two runs may choose differently
        result = zoo("train", *PONG, *arguments, "precision:'bf16'", cwd=tmp_path, fresh=True)
        assert result.returncode == 0, result.stdout
        (path,) = (tmp_path / folder).rglob("PongNoFrameskip-v4.zip")
        weights.append(DuelingDQN.load(path, device="cpu").policy.state_dict())
    assert all(th.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.fixture(scope="module")
def trained_on_a_game_that_skips(tmp_path_factory):
    """Every later script must build ``ALE/Pong-v5`` as training did, without its own skip; the preset refuses it."""
    folder = tmp_path_factory.mktemp("skipping")
    tiny = ("-n", "170", "--eval-freq", "-1", "-params", *TINY_ATARI)
    result = zoo("train", "--algo", "dqn_double", "--env", "ALE/Pong-v5", *tiny, cwd=folder)
    assert result.returncode == 0, result.stdout
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", ["enjoy", "record_video"])
def test_later_scripts_build_the_environment_of_the_training(trained_on_a_game_that_skips, command):
    arguments = ("--algo", "dqn_double", "--env", "ALE/Pong-v5", "-f", "logs", "-n", "20", "--no-render")
    result = zoo(command, *arguments, cwd=trained_on_a_game_that_skips)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_push_to_hub_builds_the_environment_of_the_training(trained_on_a_game_that_skips):
    arguments = ("--algo", "dqn_double", "--env", "ALE/Pong-v5", "-f", "logs", "-orga", "nobody")
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_none"}
    result = zoo("push_to_hub", *arguments, cwd=trained_on_a_game_that_skips, env=nowhere)
    assert "Uploading to nobody/dqn_double-ALE-Pong-v5" in result.stdout, "the environment and the model came first"


@pytest.mark.slow
def test_record_training_joins_the_videos_of_all_checkpoints(trained):
    result = zoo("record_training", *PONG, "-f", "logs", "-n", "20", cwd=trained)
    assert result.returncode == 0, result.stdout
    path = trained / "logs/dqn_dueling/PongNoFrameskip-v4_1/videos/training.mp4"
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) > 60


@pytest.mark.slow
def test_a_missing_venv_module_is_one_clear_line(tmp_path):
    from sb3_atari_dqn.zoo.packaged_configs import config_path

    root = config_path("dqn_dueling").parent.parent
    python = tmp_path / "python-without-venv"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    result = run(["make", "-s", "train", f"PYTHON={python}", f"VENV={tmp_path}/venv"], cwd=root)
    assert result.returncode == 2
    assert "apt-get install python3-venv" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "venv").exists()
