"""The browser game in the zoo, as a user types it: train, play, record, tune, and the recipe, stopped and continued."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml

from sb3_atari_dqn import ClassicDQN
from tests.support.commands import TINY, run, train, zoo
from tests.support.dino import comes_true

pytestmark = pytest.mark.browser
DINO = ("--algo", "dqn_dueling", "--env", "ChromeDino-v0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    evaluation = ("--eval-freq", "200", "--eval-episodes", "1", "--eval-env-kwargs", "max_episode_steps:20")
    result = zoo("train", *DINO, "-n", "400", "--seed", "1", *evaluation, "-params", *TINY, cwd=folder)
    assert result.returncode == 0, result.stdout
    return folder


def test_training_logs_the_score_of_every_game(trained):
    run_folder = trained / "logs/dqn_dueling/ChromeDino-v0_1"
    assert (run_folder / "best_model.zip").is_file()
    lines = (run_folder / "0.monitor.csv").read_text().splitlines()[1:]
    games = list(csv.DictReader(lines))
    assert games
    for game in games:
        length = int(game["l"])
        assert float(game["r"]) == pytest.approx(0.1 * (length - 1) - 1)
        assert int(game["score"]) == pytest.approx(0.025 * 6 * 4 * length, abs=2), "at constant speed"


def test_the_run_remembers_how_its_environment_was_made(trained):
    settings = dict(yaml.unsafe_load((trained / "logs/dqn_dueling/ChromeDino-v0_1/ChromeDino-v0/args.yml").read_text()))
    assert settings["env_kwargs"] == {"acceleration": 0.0, "stack": 1}


def test_enjoy_plays_the_trained_model(trained):
    result = zoo("enjoy", *DINO, "-f", "logs", "--no-render", "-n", "300", "--seed", "2", cwd=trained)
    assert result.returncode == 0, result.stdout
    assert "Episode Reward" in result.stdout


def test_record_video_writes_a_video_that_shows_the_game(trained):
    result = zoo("record_video", *DINO, "-f", "logs", "-n", "40", "--no-render", cwd=trained)
    assert result.returncode == 0, result.stdout
    (path,) = (trained / "logs/dqn_dueling/ChromeDino-v0_1/videos").glob("*.mp4")
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 15
    frames = []
    while (frame := video.read())[0]:
        frames.append(frame[1])
    assert len(frames) >= 40
    assert frames[0].shape == (150, 600, 3)
    assert np.median(frames[0]) == pytest.approx(247, abs=3)
    assert abs(frames[-1].astype(int) - frames[0].astype(int)).max() > 50, "nothing moves"


def test_play_tells_the_games_own_score_and_names_its_actions(trained):
    saved = trained / "logs/dqn_dueling/ChromeDino-v0_1"
    command = [sys.executable, "-m", "sb3_atari_dqn", "play", str(saved), "--max-steps", "20", "-o", "dino.mp4"]
    result = run(command, cwd=trained)
    assert result.returncode == 0, result.stdout
    (episode,) = json.loads((trained / "dino.json").read_text())["episodes"]
    assert episode["score"] == pytest.approx(0.025 * 6 * 4 * 20, abs=2)  # the rewards are 2
    assert {*episode["actions"]} <= {"NOTHING", "JUMP"}


def test_a_trial_of_the_tuning_runs(runs):
    search = ("-optimize", "--n-trials", "1", "--n-evaluations", "1", "--eval-episodes", "1", "--no-optim-plots")
    short = ("-n", "80", "--eval-env-kwargs", "max_episode_steps:20")
    printed = train(*DINO, *search, *short, "-params", "learning_starts:60", "buffer_size:500")
    assert "Best trial" in printed


def test_a_stopped_run_of_the_recipe_goes_on_from_its_folder(runs):
    recipe = ("--algo", "dqn_classic", "--env", "ChromeDino-v0", "-conf", "sb3_atari_dqn.recipes.chrome_dino")
    often = "callback:[{'sb3_atari_dqn.callbacks.SaveProgress': {'every_env_steps': 60}}]"
    tiny = ("--eval-freq", "-1", "-params", "learning_starts:40", "buffer_size:300", often)
    command = [sys.executable, "-m", "rl_zoo3.train", *recipe, *tiny]
    process = subprocess.Popen(command, cwd=runs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = runs / "logs/dqn_classic/ChromeDino-v0_1"
    assert comes_true((folder / "replay_buffer.pkl").exists, timeout_s=240)
    process.kill()
    process.wait()
    kept = ClassicDQN.load(folder / "progress.zip", device="cpu")
    assert kept.num_timesteps % 60 == 0

    printed = train(*recipe, "-n", "50", "-i", str(folder / "progress.zip"), *tiny, "exploration_initial_eps:0.05")
    assert "Loading replay buffer" in printed
    continued = ClassicDQN.load(runs / "logs/dqn_classic/ChromeDino-v0_2/ChromeDino-v0.zip", device="cpu")
    assert continued._n_updates > kept._n_updates


def test_the_environment_is_registered_wherever_the_package_is_installed(tmp_path):
    code = "import gymnasium, sys; print(gymnasium.spec('ChromeDino-v0').entry_point, 'torch' in sys.modules)"
    result = run([sys.executable, "-c", code], cwd=tmp_path)
    assert result.stdout.split() == ["sb3_atari_dqn.dino.env:ChromeDinoEnv", "False"]
    off = run([sys.executable, "-c", code], cwd=tmp_path, env={"SB3_ATARI_DQN_AUTOLOAD": "0"})
    assert "NameNotFound" in off.stdout
