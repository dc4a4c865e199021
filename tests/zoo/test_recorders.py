"""Our callbacks in runs of the zoo."""

import re
from typing import cast

import cv2
import pandas as pd
import pytest
import torch
import yaml
from rl_zoo3 import ALGOS
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import load_results
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize, unwrap_vec_normalize

from sb3_atari_dqn.plotting.runs import read_run
from sb3_atari_dqn.zoo.saved_run import find_run
from tests.support.commands import TINY_ATARI, files, train, zoo
from tests.support.videos import pictures_of

HERE = "sb3_atari_dqn.callbacks"
#: Games of 100 frames, 25 steps.
PONG = ("--env", "PongNoFrameskip-v4", "--env-kwargs", "max_num_frames_per_episode:100", "--seed", "1")
OURS = ("--algo", "dqn_dueling", *PONG, "-n", "230", "--eval-freq", "-1")
CARTPOLE = ("--env", "CartPole-v1", "--seed", "1", "-n", "300", "--eval-freq", "-1")


def callback(*entries):
    return f"callback:{list(entries)!r}"


def parameters(run, algo="dqn_dueling"):
    return ALGOS[algo].load(next(run.glob("*-v?.zip")), device="cpu").policy.state_dict()


def same(run, other):
    ours, theirs = parameters(run), parameters(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture(scope="module")
def pong(tmp_path_factory):
    """Three short runs of Pong in native environments: recorded in training, beside it, not at all."""
    folder = tmp_path_factory.mktemp("recorders")
    recorded = {
        "training": (
            callback(
                f"{HERE}.LogEpisodes",
                {f"{HERE}.RecordEpisodes": dict(every_n_episodes=2)},
                {f"{HERE}.LogDeadUnits": dict(every=100, n_states=20, verbose=1)},
            ),
        ),
        "evaluation": (
            callback({f"{HERE}.RecordEpisodes": dict(source="evaluation", format="gif", every_n_episodes=3)}),
        ),
        "goal": (
            callback(
                {
                    f"{HERE}.StopAtReturn": dict(
                        mean_return=21, episodes=1, evaluation_games=3, evaluate_from=-21, evaluate_every=100, verbose=1
                    )
                }
            ),
        ),
        "native": (),
    }
    printed = {}
    for name, params in recorded.items():
        # "auto" measures which precision is faster here, and may choose another one for the next run
        given = ("-params", *TINY_ATARI, "precision:'fp32'", *params)
        printed[name] = train(*OURS, "-f", str(folder / name), *given)
    return {name: (folder / name / "dqn_dueling/PongNoFrameskip-v4_1", printed[name]) for name in recorded}


@pytest.fixture(scope="module")
def normalized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("normalized")
    entries = [
        {f"{HERE}.SaveEveryEpisode": dict(every_n_episodes=5)},
        {f"{HERE}.SaveOnBestTrainingMean": dict(window=3)},
        {f"{HERE}.SaveProgress": dict(every_env_steps=100)},
    ]
    train("--algo", "dqn", *CARTPOLE, "-f", str(folder), "-params", "normalize:True", callback(*entries))
    return folder / "dqn/CartPole-v1_1"


def count(path):
    return cast(RunningMeanStd, VecNormalize.load(str(path), make_vec_env("CartPole-v1")).obs_rms).count


def normalization(env):
    found = unwrap_vec_normalize(env)
    assert found is not None
    return cast(RunningMeanStd, found.obs_rms).count


@pytest.mark.slow
def test_games_of_training_are_recorded_in_the_run_folder_as_the_game_shows_itself(pong):
    run, printed = pong["training"]
    names = [name for name in files(run) if name.startswith("videos/")]
    assert names[:3] == [f"videos/training_episode_{number:06d}.mp4" for number in (1, 3, 5)]
    pictures = pictures_of(run / names[0])
    assert pictures.shape[1:] == (420, 320, 3)
    assert len(set(pictures.reshape(-1, 3).mean(axis=0).round().tolist())) == 3  # in colour
    assert cv2.VideoCapture(str(run / names[0])).get(cv2.CAP_PROP_FPS) == 15
    assert "Native environments: 2 in C++" in printed


@pytest.mark.slow
def test_a_recorded_training_equals_one_that_is_not_to_the_bit(pong):
    assert same(pong["training"][0], pong["native"][0])


@pytest.mark.slow
def test_dead_units_are_counted_from_the_configuration(pong):
    lines = [line for line in pong["training"][1].splitlines() if line.startswith("Dead units after")]
    assert [line.split()[3] for line in lines] == ["100", "200"]
    layers = re.findall(r"(\w+) \d+/(\d+)", lines[0].partition(": ")[2])
    assert layers == [("conv1", "32"), ("conv2", "64"), ("conv3", "64"), ("value1", "512"), ("advantage1", "512")]


@pytest.mark.slow
def test_games_beside_a_native_training_are_recorded_and_leave_it_the_same_to_the_bit(pong):
    run, printed = pong["evaluation"]
    assert "Native environments: 2 in C++" in printed
    names = [name for name in files(run) if name.startswith("videos/")]
    assert names[:2] == ["videos/evaluation_episode_000003.gif", "videos/evaluation_episode_000006.gif"]
    assert pictures_of(run / names[0]).shape[1:] == (420, 320, 3)
    assert same(run, pong["native"][0])


@pytest.mark.slow
def test_a_goal_is_evaluated_beside_a_native_training_and_leaves_it_the_same_to_the_bit(pong):
    run, printed = pong["goal"]
    found = read_run(run)
    assert found.goal_evaluations is not None
    first, second = found.goal_evaluations.env_steps
    assert second - first >= 100
    assert found.goal_evaluations.games == 3
    assert (found.goal_evaluations.seconds > 0).all()
    assert printed.count("Evaluated at ") == 2
    assert same(run, pong["native"][0])


@pytest.mark.slow
def test_a_goal_of_the_zoo_s_own_algorithms_is_evaluated_too(runs):
    stop = dict(mean_return=5, episodes=1, evaluation_games=2, evaluate_from=1, verbose=1)
    printed = train("--algo", "dqn", *CARTPOLE, "-f", "logs", "-params", callback({f"{HERE}.StopAtReturn": stop}))
    assert "over 2 evaluation games" in printed
    assert (runs / "logs/dqn/CartPole-v1_1/goal_evaluations.npz").is_file()


@pytest.mark.slow
def test_what_later_scripts_read_says_nothing_of_the_pictures(pong):
    args = yaml.unsafe_load((pong["training"][0] / "PongNoFrameskip-v4/args.yml").read_text())
    assert args["env_kwargs"] == {"max_num_frames_per_episode": 100}


@pytest.mark.slow
def test_the_logged_games_are_those_of_the_monitor_files(pong):
    run = pong["training"][0]
    logged, monitored = pd.read_csv(run / "episodes.csv"), load_results(str(run))
    assert list(logged.columns) == [
        "episode",
        "env",
        "env_steps",
        "seconds",
        "return",
        "length",
        "mean_loss",
        "epsilon",
    ]
    assert len(logged) > 5
    assert sorted(logged["length"]) == sorted(monitored["l"])
    assert logged["return"].sum() == monitored["r"].sum()


def test_a_bad_argument_leaves_no_run_folder(runs):
    with pytest.raises(ValueError, match="window"):
        train(
            "--algo", "dqn_dueling", *CARTPOLE, "-params", callback({f"{HERE}.SaveOnBestTrainingMean": {"window": 0}})
        )
    assert files(runs) == []


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_the_zoo_s_own_algorithms_tell_their_folder_too(runs, algo):
    entries = [
        {f"{HERE}.RecordEpisodes": dict(source="evaluation", every_n_episodes=10, format="gif", max_steps=20)},
        {f"{HERE}.SaveEveryEpisode": dict(every_n_episodes=5)},
        {f"{HERE}.SaveOnBestTrainingMean": dict(window=3)},
    ]
    train("--algo", algo, *CARTPOLE, "-params", callback(*entries))
    names = files(runs / "logs" / algo / "CartPole-v1_1")
    assert {"videos/evaluation_episode_000010.gif", "models/episode_000005.zip", "best_training_model.zip"} <= set(
        names
    )


@pytest.mark.slow
def test_the_zoo_s_own_algorithms_are_filmed_too_and_enjoy_is_told_nothing_of_it(runs):
    film = callback({f"{HERE}.RecordEpisodes": dict(every_n_episodes=99, scale=1)})
    train("--algo", "dqn", *CARTPOLE, "-params", film)
    run = runs / "logs/dqn/CartPole-v1_1"
    (name,) = [name for name in files(run) if name.startswith("videos/")]
    assert name == "videos/training_episode_000001.mp4"
    assert cv2.VideoCapture(str(run / name)).get(cv2.CAP_PROP_FPS) == 50, "not the speed of the game"
    assert not yaml.unsafe_load((run / "CartPole-v1/args.yml").read_text())["env_kwargs"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["progress.zip", "models/episode_000005.zip", "best_training_model.zip"])
def test_a_model_of_a_normalized_run_is_played_and_continued_with_its_own_statistics(normalized, model):
    own = normalized / model.replace(".zip", "_vecnormalize.pkl")
    run = find_run(normalized / model)
    assert normalization(run.create_env(0)) == count(own)
    latest = (normalized / model).parent / "CartPole-v1" / "vecnormalize.pkl"  # where -i looks
    assert latest.is_file()
    for other in normalized.rglob("vecnormalize.pkl"):
        other.rename(other.with_suffix(".away"))
    try:
        assert normalization(run.create_env(0)) == count(own), "of a run that was killed"
    finally:
        for other in normalized.rglob("vecnormalize.away"):
            other.rename(other.with_suffix(".pkl"))


@pytest.mark.slow
def test_a_normalized_run_goes_on_from_its_progress_with_its_statistics(normalized, runs):
    kept = count(normalized / "progress_vecnormalize.pkl")
    printed = train("--algo", "dqn", *CARTPOLE, "-params", "normalize:True", "-i", str(normalized / "progress.zip"))
    assert "Loading saved VecNormalize stats" in printed
    (statistics,) = (runs / "logs").glob("dqn/CartPole-v1_1/CartPole-v1/vecnormalize.pkl")
    assert count(statistics) > kept + 200


@pytest.mark.slow
def test_tuning_goes_without_and_says_so(runs):
    result = zoo(
        *("train", "--algo", "dqn_classic", *CARTPOLE, "-optimize", "--n-trials", "1", "--n-evaluations", "1"),
        *("--no-optim-plots", "-params", "learning_starts:50", callback(f"{HERE}.SaveEveryEpisode")),
        cwd=runs,
    )
    assert result.returncode == 0, result.stdout
    assert "callbacks of sb3_atari_dqn are disabled during -optimize" in result.stdout
    assert not [name for name in files(runs) if "episode_" in name]
