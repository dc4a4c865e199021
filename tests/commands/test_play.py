"""``play``: videos of any run of the zoo, opened as ``enjoy`` opens it."""

import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import OrderedDict
from functools import partial
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from rl_zoo3 import ALGOS

from sb3_atari_dqn import DuelingDQN, RainbowDQN, UnsafeFile
from sb3_atari_dqn.callbacks import video
from sb3_atari_dqn.commands import play, rendering
from sb3_atari_dqn.commands.rendering import FrameRenderer, _why_no_values
from sb3_atari_dqn.episodes import EpisodePlayer
from sb3_atari_dqn.networks.readout import read
from sb3_atari_dqn.pictures.bars import HEADING
from sb3_atari_dqn.pictures.drawing import BLUE
from sb3_atari_dqn.zoo.saved_run import find_run
from tests.support.commands import TINY_ATARI, files, run, shell, train

pytestmark = pytest.mark.slow

PONG = "PongNoFrameskip-v4"
BRIEF = ("--eval-freq", "-1", "--seed", "1")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Runs of several algorithms: dueling Pong with two checkpoints, and CartPole with and without action values."""
    folder = tmp_path_factory.mktemp("logs")
    to = ("-f", str(folder), *BRIEF)
    train("--algo", "dqn_dueling", "--env", PONG, "-n", "40", "--save-freq", "20", *to, "-params", *TINY_ATARI)
    train(
        "--algo", "ppo", "--env", "CartPole-v1", "-n", "32", *to, "-params", "n_steps:4", "batch_size:8", "n_epochs:1"
    )
    for algo in ("qrdqn", "dqn_c51"):
        train("--algo", algo, "--env", "CartPole-v1", "-n", "32", *to)
    train("--algo", "ppo", "--env", "Pendulum-v1", "-n", "32", *to, "-params", "n_envs:1", "n_steps:8", "n_epochs:1")
    return folder


@pytest.fixture
def pong(logs):
    return logs / "dqn_dueling" / f"{PONG}_1"


def views(*arguments):
    """:return: the content of the video's frames"""
    seen = []

    def draw(view, bars):
        seen.append(view)
        return np.zeros((720, 1280, 3), np.uint8)

    with mock.patch.object(rendering, "draw_screen", draw):
        play.main([*arguments, "-o", "video.mp4"])
    return seen


def worst(model, observation, **options):
    """Replaces a model's ``predict``: always the worst action."""
    with torch.no_grad():
        return model.q_net(model.policy.obs_to_tensor(observation)[0]).argmin(1).numpy(), None


@pytest.mark.slow
def test_the_command_writes_a_video_of_pong_and_its_statistics(pong, runs):
    command = [sys.executable, "-m", "sb3_atari_dqn", "play", str(pong), "--max-steps", "12", "-o", "pong.mp4"]
    done = run(command)
    assert done.returncode == 0, done.stdout
    assert "episode 1 (unfinished): score 0, 12 steps" in done.stdout
    assert "Stochastic policy with epsilon " in done.stdout
    assert "--deterministic" in done.stdout
    assert files(runs) == ["pong.json", "pong.mp4"]
    video = cv2.VideoCapture("pong.mp4")
    assert [video.get(key) for key in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS)] == [12, 15]
    picture = video.read()[1]
    assert picture.shape == (720, 1280, 3)
    brown = np.array([17, 72, 144])  # Pong's ground, blue first
    assert (abs(picture[200:600, 40:60].astype(int) - brown) < 20).all()
    report = json.loads((runs / "pong.json").read_text())
    assert (report["algo"], report["env"], report["deterministic"]) == ("dqn_dueling", PONG, False)
    (episode,) = report["episodes"]
    assert (episode["env_steps"], episode["finished"], sum(episode["actions"].values())) == (12, False, 12)
    assert episode["raw_frames"] >= 48


def test_full_episodes_are_played_and_counted(logs, runs, capsys):
    seen = views(str(logs / "qrdqn" / "CartPole-v1_1"), "--episodes", "2")
    report = json.loads((runs / "video.json").read_text())
    episodes = report["episodes"]
    assert [episode["finished"] for episode in episodes] == [True, True]
    assert [episode["score"] for episode in episodes] == [episode["env_steps"] for episode in episodes]
    assert len(seen) == sum(episode["env_steps"] for episode in episodes)
    assert report["mean_score"] == np.mean([episode["score"] for episode in episodes])
    assert report["deterministic"]  # as enjoy, outside of Atari
    printed = capsys.readouterr().out
    assert "Deterministic policy\nepisode 1: score" in printed
    assert "episode 2: score" in printed


def test_the_old_option_games_still_works_with_a_warning(logs, runs):
    with pytest.warns(FutureWarning, match="--games .*--episodes 2"):
        views(str(logs / "qrdqn" / "CartPole-v1_1"), "--games", "2")
    assert len(json.loads((runs / "video.json").read_text())["episodes"]) == 2


def test_the_help_lists_the_new_option_only(capsys):
    with pytest.raises(SystemExit):
        play.main(["--help"])
    printed = capsys.readouterr().out
    assert "--episodes" in printed
    assert "--games" not in printed


def test_a_dueling_model_has_stack_values_and_saliency(pong, runs):
    view = views(str(pong), "--max-steps", "3")[-1]
    assert [frame.shape for frame in view.frames] == [(84, 84, 1)] * 4
    assert [meaning for _, _, meaning in view.maps] == [
        "where blurring changes V, the state value", "where blurring changes A of the best action",
    ]  # fmt: skip
    assert all(saliency.min() >= 0 and saliency.max() == 1 for saliency, _, _ in view.maps)
    values, advantages = (column.numbers for column in view.columns)
    assert values[1:] == pytest.approx(values[0] + advantages[1:], abs=1e-5)
    assert view.game.shape == (210, 160, 3)


@pytest.mark.parametrize(("method", "legend"), [("gradient", "gradient of V"), ("smooth", "smoothed gradient of V")])
def test_the_saliency_maps_can_be_others(pong, runs, method, legend):
    (first, *_) = views(str(pong), "--max-steps", "1", "--saliency", method)[-1].maps
    assert first[2] == f"{legend}, the state value"


@pytest.mark.slow
def test_panels_that_a_model_does_not_support_are_left_out(logs, pong, runs, capsys):
    assert views(str(pong), "--max-steps", "1", "--no-saliency")[0].maps == []
    quantiles = views(str(logs / "qrdqn" / "CartPole-v1_1"), "--max-steps", "1")[0]
    assert (quantiles.frames, quantiles.maps, len(quantiles.columns)) == ([], [], 1)
    policy = views(str(logs / "ppo" / "CartPole-v1_1"), "--max-steps", "1", "--stochastic")[0]
    assert "Stochastic policy, as in enjoy" in capsys.readouterr().out
    assert policy.note == "ppo has no action values to show"
    assert policy.columns[0].heading == "action frequencies so far"
    assert views(str(logs / "ppo" / "Pendulum-v1_1"), "--max-steps", "1")[0].columns == []


@pytest.mark.parametrize("algo", ["qrdqn", "dqn_c51"])
def test_a_distribution_is_a_histogram_on_an_axis_that_stays(logs, runs, algo):
    run_ = find_run(logs / algo / "CartPole-v1_1")
    env = run_.create_env(seed=0)
    model = run_.load_model(env, 0, "cpu")
    renderer = FrameRenderer("CartPole-v1", algo, "last model", model, env)
    columns, pictures = [], []
    for step in EpisodePlayer(model, env, True).steps(1, 8):
        readout = read(model.policy, step.observation)
        columns.extend(renderer._columns(readout, step))
        pictures.append(renderer.draw(step))
        assert columns[-1].numbers.tolist() == readout.q.tolist()
        bars = (columns[-1].edges[:-1] + columns[-1].edges[1:]) / 2
        width = columns[-1].edges[1] - columns[-1].edges[0]
        assert columns[-1].masses.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
        assert columns[-1].masses @ bars == pytest.approx(readout.q, abs=width / 2)
    env.close()
    lows, highs = [column.edges[0] for column in columns], [column.edges[-1] for column in columns]
    assert (lows, highs) == (sorted(lows, reverse=True), sorted(highs))  # it never shrinks
    assert len({*zip(lows, highs, strict=True)}) <= (1 if algo == "dqn_c51" else 3)
    marks = [(picture == BLUE).all(axis=-1).any(axis=1) for picture in pictures]  # rows with the greedy action
    greedy = [int(column.numbers.argmax()) for column in columns]
    tops = [66 + HEADING + action * columns[0].TALLEST for action in greedy]
    for top, rows in zip(tops, marks, strict=True):
        assert top <= np.nonzero(rows)[0].min() <= np.nonzero(rows)[0].max() < top + columns[0].TALLEST


@pytest.mark.slow
def test_an_exploratory_action_is_marked(pong, runs):
    assert {view.note for view in views(str(pong), "--max-steps", "5", "--deterministic")} == {""}
    with mock.patch.object(DuelingDQN, "predict", worst):
        assert {view.note for view in views(str(pong), "--max-steps", "5")} == {"exploratory action"}


@pytest.mark.slow
def test_the_same_seed_plays_the_same_episode(pong, runs):
    first, again, other = (
        [view.frames[-1].tobytes() for view in views(str(pong), "--max-steps", "8", "--seed", seed)] for seed in "112"
    )
    assert first == again
    assert first != other


def test_models_are_chosen_as_in_enjoy(pong):
    assert find_run(pong).model_path == pong / f"{PONG}.zip"
    assert find_run(pong, checkpoint=20).model_path == pong / "rl_model_20_steps.zip"
    assert find_run(pong, last_checkpoint=True).model_path == pong / "rl_model_40_steps.zip"
    assert find_run(pong / "rl_model_20_steps.zip").model_name == "rl_model_20_steps"
    assert find_run(pong).model_name == "last model"


def test_a_model_in_a_folder_of_the_run_belongs_to_the_run(pong):
    model = pong / "models" / "episode_000001.zip"
    model.parent.mkdir(exist_ok=True)
    model.write_bytes((pong / "rl_model_20_steps.zip").read_bytes())
    assert (find_run(model).folder, find_run(model).model_path) == (pong, model)


def test_what_the_run_was_trained_with_must_be_there(pong, tmp_path):
    copy = tmp_path / f"{PONG}_1"
    shutil.copytree(pong, copy)
    args = copy / PONG / "args.yml"
    args.write_text(args.read_text().replace("gym_packages\n    - []", "gym_packages\n    - [no_such_games]"))
    with pytest.raises(UnsafeFile, match="would run no_such_games"):
        find_run(copy)
    with pytest.raises(ValueError, match="--gym-packages no_such_games"):
        find_run(copy, trust=True)


def test_without_o_the_video_is_written_to_the_run_folder(pong, runs, capsys):
    play.main([str(pong / "rl_model_20_steps.zip"), "--max-steps", "2"])
    assert files(pong / "videos") == ["play-rl_model_20_steps.json", "play-rl_model_20_steps.mp4"]


@pytest.mark.slow
def test_ctrl_c_stops_playing_and_keeps_the_video(pong, runs):
    original = FrameRenderer.draw

    def interrupted(renderer, step):
        if step.episode.env_steps == 4:
            raise KeyboardInterrupt
        return original(renderer, step)

    with mock.patch.object(FrameRenderer, "draw", interrupted):
        play.main([str(pong), "-o", "video.mp4"])
    assert cv2.VideoCapture("video.mp4").get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert json.loads((runs / "video.json").read_text())["episodes"][0]["finished"] is False


def test_the_environment_is_the_one_of_the_run(pong):
    run_ = find_run(pong)
    env = run_.create_env(seed=0)
    model = run_.load_model(env, 0, "cpu")
    assert env.observation_space.shape == (84, 84, 4)
    assert model.observation_space.shape == (4, 84, 84)
    assert EpisodePlayer(model, env, True).action_names[:2] == ["NOOP", "FIRE"]


def test_the_error_for_a_seed_beyond_32_bits_names_its_option(pong, capsys):
    with pytest.raises(SystemExit):
        play.main([str(pong), "--seed", str(2**32)])
    assert "argument --seed: '4294967296' is not a whole number of at least 0 and at most 4294967295" in (
        capsys.readouterr().err
    )


def test_the_note_says_why_there_are_no_action_values(pong):
    model = find_run(pong).load_model(find_run(pong).create_env(seed=0), 0, "cpu")
    several = spaces.Dict(image=model.observation_space)
    assert _why_no_values(model, "dqn_dueling", model.observation_space) == ""
    assert "observations of type Dict" in _why_no_values(model, "dqn_dueling", several)


@pytest.mark.parametrize(
    ("exploration", "line"),
    [("none", "Greedy policy (epsilon 0)"), ("linear", "Stochastic policy with epsilon 0.05, ")],
)
def test_a_policy_without_epsilon_is_called_greedy(exploration, line):
    model = RainbowDQN("MlpPolicy", "CartPole-v1", exploration=exploration, buffer_size=100).learn(20)
    assert play._policy_line(False, model).startswith(line)
    assert play._policy_line(True, model) == "Deterministic policy"


def rewritten(run, path, **text):
    """Replace a piece of a text file of a run, or all of it."""
    ((old, new),), file = text.items(), run / path
    file.write_text(new if old == "all" else file.read_text().replace(old, new))


def args_with(key, value):
    """:return: what puts a value into args.yml"""

    def edit(run):
        path = run / "CartPole-v1/args.yml"
        path.write_text(yaml.dump(OrderedDict(yaml.unsafe_load(path.read_text()), **{key: value})))

    return edit


def config_with(key, value):
    """:return: what puts a value into config.yml"""

    def edit(run):
        path = run / "CartPole-v1/config.yml"
        path.write_text(yaml.dump(OrderedDict(yaml.unsafe_load(path.read_text()), **{key: value})))

    return edit


def without_data(run):
    with zipfile.ZipFile(run / "CartPole-v1.zip", "w") as archive:
        archive.writestr("something", "else")


def with_nonsense_as_data(run):
    with zipfile.ZipFile(run / "CartPole-v1.zip", "w") as archive:
        archive.writestr("data", "[1, 2")


def with_a_hole(run):
    model = run / "CartPole-v1.zip"
    content = bytearray(model.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    model.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (partial(rewritten, path="CartPole-v1/args.yml", all=""), "args.yml is damaged"),
        (partial(rewritten, path="CartPole-v1/args.yml", all="a: [1,"), "args.yml is damaged"),
        (partial(rewritten, path="CartPole-v1/args.yml", all="algo: ppo"), "args.yml is damaged"),
        (partial(rewritten, path="CartPole-v1/config.yml", all="a: [1,"), "config.yml is damaged"),
        (partial(rewritten, path="CartPole-v1/config.yml", all="3"), "config.yml is damaged"),
        (partial(rewritten, path="CartPole-v1/args.yml", qrdqn="ppo"), "cannot be loaded as a model of ppo"),
        (
            partial(rewritten, path="CartPole-v1/args.yml", qrdqn="dqn_double"),
            "cannot be loaded as a model of dqn_double",
        ),
        (without_data, "without an entry 'data'"),
        (with_nonsense_as_data, "cannot be loaded as a model of qrdqn"),
        (with_a_hole, "CartPole-v1.zip is damaged: its entry 'policy"),
        (partial(rewritten, path="CartPole-v1/args.yml", all="[1, 2]"), "args.yml is damaged"),
        (args_with("env", 3), "env must be a string, got 3"),
        (args_with("algo", ["qrdqn"]), "algo must be a string, got ['qrdqn']"),
        (args_with("gym_packages", "x"), "gym_packages must be a list, got 'x'"),
        (args_with("env_kwargs", 3), "env_kwargs must be a mapping, got 3"),
        (args_with("env_kwargs", {"nope": 3}), "cannot be created (TypeError"),
        (config_with("env_kwargs", 3), "env_kwargs must be a mapping, got 3"),
        (config_with("monitor_kwargs", 3), "monitor_kwargs must be a mapping, got 3"),
        (config_with("monitor_kwargs", {"info_keywords": 3}), "info_keywords must be a list, got 3"),
        (config_with("frame_stack", "x"), "frame_stack must be an integer, got 'x'"),
        (config_with("frame_stack", 4), "cannot be loaded as a model of qrdqn"),
        (config_with("env_wrapper", "nope.Nope"), "is refused: it would run nope.Nope"),
        (config_with("vec_env_wrapper", "nope"), "cannot be created (ValueError: Empty module name)"),
        (config_with("normalize", True), "vecnormalize.pkl not found"),
        (
            lambda run: (run / "CartPole-v1/config.yml").unlink(),
            "has no config.yml",
        ),
    ],
)
def test_a_damaged_run_is_one_line(logs, tmp_path, runs, capsys, damage, says):
    copy = tmp_path / "CartPole-v1_1"
    shutil.copytree(logs / "qrdqn" / "CartPole-v1_1", copy)
    damage(copy)
    with pytest.raises(SystemExit) as exit_:
        play.main([str(copy), "--max-steps", "1", "-o", "video.mp4"])
    printed = capsys.readouterr().err
    assert exit_.value.code == 2
    assert printed.startswith("play: error: ")
    assert says in printed
    assert printed.count("\n") == 1
    assert not (runs / "video.mp4").exists()


@pytest.mark.parametrize(
    ("algo", "value", "says"),
    [
        ("ppo", np.nan, "its parameter mlp_extractor.policy_net.0.weight holds NaN or infinity"),
        ("dqn_c51", np.nan, "its parameter q_net."),
        ("dqn_c51", 1e30, "The network gives an action value of "),
        ("qrdqn", 1e30, "The network gives an action value of "),
    ],
)
def test_a_diverged_model_is_one_line_and_leaves_no_video(logs, tmp_path, runs, capsys, algo, value, says):
    shutil.copytree(logs / algo / "CartPole-v1_1", tmp_path / "run")
    saved = tmp_path / "run" / "CartPole-v1.zip"
    model = ALGOS[algo].load(saved)
    for parameter in model.policy.parameters():
        parameter.data.fill_(value)
    model.save(saved)
    with pytest.raises(SystemExit, match="2"):
        play.main([str(tmp_path / "run"), "-o", "video.mp4"])
    assert f"play: error: {saved}: {says}" in capsys.readouterr().err
    assert not list(runs.glob("*.mp4"))


@pytest.mark.slow
def test_sigint_within_an_episode_keeps_the_video(logs, runs):
    model = logs / "qrdqn" / "CartPole-v1_1"
    limits = ("--episodes", "9999", "--max-steps", "2000")
    command = [sys.executable, "-u", "-m", "sb3_atari_dqn", "play", str(model), *limits, "-o", "video.mp4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as player:
        progress = ""
        while not re.search(r"score [1-9]", progress):
            character = player.stderr.read(1) if player.stderr else ""
            assert character, progress
            progress += character
        player.send_signal(signal.SIGINT)
        printed, _ = player.communicate()
    assert player.returncode == 0
    assert "(unfinished)" in printed
    steps = sum(episode["env_steps"] for episode in json.loads((runs / "video.json").read_text())["episodes"])
    video = cv2.VideoCapture("video.mp4")
    assert 0 < steps < 2000
    assert abs(video.get(cv2.CAP_PROP_FRAME_COUNT) - steps) <= 1
    assert video.read()[0]


@pytest.mark.parametrize("rate", ["1e-9", "nan", "0", "1001", "fast"])
def test_an_invalid_frame_rate_raises_before_playing(pong, runs, capsys, rate):
    with pytest.raises(SystemExit):
        play.main([str(pong), "--fps", rate, "-o", "video.mp4"])
    assert f"'{rate}' is not a number of frames per second from 0.1 to 1000" in capsys.readouterr().err
    assert not files(runs)


def test_a_missing_encoder_raises_before_playing(pong, runs, capsys):
    missing = mock.patch.object(video, "get_ffmpeg_exe", side_effect=RuntimeError("none"))
    with missing, pytest.raises(SystemExit):
        play.main([str(pong), "-o", "video.mp4"])
    assert "pip install imageio-ffmpeg" in capsys.readouterr().err
    assert not files(runs)


@pytest.mark.parametrize(
    ("place", "arguments", "way_out"),
    [
        ("nowhere", (), "nowhere does not exist: pass a run folder"),
        ("dqn_dueling", (), f"pass {PONG}_1"),
        (f"dqn_dueling/{PONG}_1/{PONG}", (), "ENVIRONMENT/args.yml"),
        (f"dqn_dueling/{PONG}_1", ("--load-best",), "checkpoints after 20, 40 steps"),
        (f"dqn_dueling/{PONG}_1", ("--load-best",), "the last model"),
        (f"dqn_dueling/{PONG}_1", ("--load-checkpoint", "30"), "--load-checkpoint 40"),
        (f"dqn_dueling/{PONG}_1/{PONG}.zip", ("--load-best",), "omit --load-best"),
        (f"dqn_dueling/{PONG}_1/0.monitor.csv", (), "not a zip file"),
        (f"dqn_dueling/{PONG}_1", ("-o", "video.avi"), "end with .mp4"),
        (f"dqn_dueling/{PONG}_1", ("-o", "/proc/video.mp4"), "another path with -o"),
        (f"dqn_dueling/{PONG}_1", ("-o", "taken/video.mp4"), "taken/video.json cannot be written (it is a folder)"),
    ],
)
def test_a_user_error_is_one_line_with_a_way_out(logs, runs, capsys, place, arguments, way_out):
    (runs / "taken/video.json").mkdir(parents=True)
    before = files(runs)
    with pytest.raises(SystemExit) as exit_:
        play.main([str(logs / place), *arguments])
    printed = capsys.readouterr().err
    assert exit_.value.code == 2
    assert printed.startswith("play: error: ")
    assert way_out in printed
    assert printed.count("\n") == 1
    assert files(runs) == before


@pytest.mark.slow
def test_the_error_for_a_killed_run_lists_its_models(pong, tmp_path, runs, capsys):
    copy = tmp_path / f"{PONG}_1"
    shutil.copytree(pong, copy, ignore=shutil.ignore_patterns("videos", "models"))
    (copy / f"{PONG}.zip").rename(copy / "best_model.zip")
    (copy / "models").mkdir()
    for name in ("best_training_model.zip", "models/episode_000002.zip", "models/episode_000007.zip"):
        shutil.copy(copy / "best_model.zip", copy / name)
    with pytest.raises(SystemExit):
        play.main([str(copy)])
    printed = capsys.readouterr().err
    assert f"has no final model {PONG}.zip " in printed
    assert (
        "It has the best model (--load-best); checkpoints after 20, 40 steps (--load-checkpoint 40); "
        "best_training_model.zip, models/episode_000002.zip, models/episode_000007.zip "
        f"(play {copy}/models/episode_000007.zip). A checkpoint of step "
    ) in printed
    assert f"`python -m sb3_atari_dqn resume {copy}` goes on from it (a complete run with a higher -n); Ctrl" in printed
    for chosen in ([str(copy), "--load-best"], [str(copy / "models/episode_000007.zip")]):
        play.main([*chosen, "--max-steps", "1", "-o", "video.mp4"])


def test_cuda_without_cuda_raises_before_playing(pong, runs, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SystemExit):
        play.main([str(pong), "--device", "cuda", "-o", "video.mp4"])
    assert "play: error: device='cuda' cannot be used on this machine" in capsys.readouterr().err
    assert not files(runs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "reason"), [("> /dev/full", "No space left on device"), ("| head -0", "Broken pipe")]
)
def test_a_closed_output_is_one_line_and_the_video_is_written(logs, runs, output, reason):
    model = str(logs / "qrdqn" / "CartPole-v1_1")
    told = shell("play", model, "--max-steps", "2", "-o", "video.mp4", redirection=output)
    says = f"play: error: Standard output cannot be written ({reason}); already written: video.mp4 and video.json\n"
    assert told.endswith(says)
    assert "Traceback" not in told
    assert files(runs) == ["video.json", "video.mp4"]


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_no_file(logs, runs):
    model = str(logs / "qrdqn" / "CartPole-v1_1")
    told = shell("play", model, "--max-steps", "20", "-o", "video.mp4", largest_file=8)
    assert re.search(r"\nplay: error: .*video\.mp4 cannot be written \(ffmpeg .*: give another path with -o\n$", told)
    assert "Traceback" not in told
    assert not files(runs)


def test_a_video_is_written_through_a_symbolic_link(logs, runs):
    (runs / "real").mkdir()
    (runs / "link.mp4").symlink_to("real/video.mp4")
    play.main([str(logs / "qrdqn" / "CartPole-v1_1"), "--max-steps", "2", "-o", "link.mp4"])
    assert files(runs) == ["link.json", "link.mp4", "real", "real/video.mp4"]
    assert (runs / "link.mp4").is_symlink()
