"""``look``: the sheet is recorded in a training environment."""

import sys
from unittest import mock

import cv2
import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn.atari import NatureAtari
from sb3_atari_dqn.commands import look
from sb3_atari_dqn.recipes import find
from tests.support.commands import run, shell

PONG = "PongNoFrameskip-v4"


def sections(*arguments):
    """:return: the content of the sheet"""
    with mock.patch.object(look, "contact_sheet", return_value=np.zeros((1, 1, 3), np.uint8)) as drawn:
        look.main([*arguments, "-o", "sheet.png"])
    return drawn.call_args.args[1]


@pytest.mark.slow
def test_the_command_writes_a_sheet_of_pong(runs):
    done = run([sys.executable, "-m", "sb3_atari_dqn", "look", "--env", PONG, "--steps", "5", "-o", "pong.png"])
    assert done.returncode == 0, done.stdout
    assert "NatureAtari: 84 x 84 x 4 uint8" in done.stdout
    sheet = cv2.imread("pong.png")
    assert sheet is not None
    assert min(sheet.shape[:2]) > 400
    assert [path.name for path in runs.iterdir()] == ["pong.png"]


def trained_in(env_id, seed):
    """:return: a training environment, and its first observation"""
    env = VecFrameStack(make_vec_env(env_id, seed=seed, wrapper_class=NatureAtari), 4)
    env.action_space.seed(seed)
    return env, env.reset()


def test_other_environments_have_no_preprocessing(runs):
    (section,) = sections("--env", "CartPole-v1", "--steps", "3")
    assert section.title == "no preprocessing"
    assert section.observation.shape == (4,)


def test_a_missing_browser_is_one_line(runs, capsys, monkeypatch):
    monkeypatch.setenv("SB3_ATARI_DQN_BROWSER", "/nowhere")
    with pytest.raises(SystemExit):
        look.main(["--recipe", "chrome_dino", "-o", "sheet.png"])
    assert "='/nowhere'" in capsys.readouterr().err
    assert list(runs.iterdir()) == []


class Stacking(gym.Env):
    """Stacks four frames itself."""

    observation_space = gym.spaces.Box(0, 255, (8, 8, 4), np.uint8)
    action_space = gym.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode


def test_an_environment_that_stacks_frames_itself_raises_with_a_way_out(runs, capsys):
    gym.register("Stacked-v0", lambda **kwargs: Stacking(**kwargs))
    with pytest.raises(SystemExit):
        look.main(["--env", "Stacked-v0", "-o", "sheet.png"])
    del gym.registry["Stacked-v0"]
    assert "Stacked-v0 has observations of shape (8, 8, 4)" in capsys.readouterr().err
    assert list(runs.iterdir()) == []


def test_the_sheet_of_a_recipe_is_named_after_it(runs):
    with mock.patch.object(look, "contact_sheet", return_value=np.zeros((1, 1, 3), np.uint8)):
        look.main(["--recipe", "mspacman_ram", "--steps", "1"])
    assert [path.name for path in runs.iterdir()] == ["look-mspacman_ram.png"]


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [0, 30])
def test_the_stack_is_the_observation_of_a_training_environment(runs, n_steps):
    (section,) = sections("--env", PONG, "--steps", str(n_steps), "--seed", "3")
    env, observation = trained_in(PONG, 3)
    for _ in range(n_steps):
        observation, *_ = env.step(np.array([env.action_space.sample()]))
    assert np.array_equal(section.observation, observation[0])
    assert np.array_equal(np.concatenate([panel.array for panel in section.stack], axis=-1), observation[0])
    assert np.array_equal(section.stages[-1].array, observation[0, ..., -1:])


def test_if_the_last_step_ends_an_episode_the_next_one_is_shown(runs):
    game = "BreakoutNoFrameskip-v4"
    env, _ = trained_in(game, 0)
    n_steps, done = 0, False
    while not done:
        observation, _, (done,), _ = env.step(np.array([env.action_space.sample()]))
        n_steps += 1
    (section,) = sections("--env", game, "--steps", str(n_steps))
    assert np.array_equal(section.observation, observation[0])
    assert not any(panel.array.any() for panel in section.stack[:-1])
    assert np.array_equal(section.stages[-1].array, section.stack[-1].array)


@pytest.mark.slow
def test_several_presets_are_compared_with_their_options(runs):
    nature, bilinear, sb3 = sections(
        *("--env", PONG, "--frame-stack", "2", "--steps", "9", "--preset", "NatureAtari"),
        *("--preset", "NatureAtari: {size: [105, 80], resize: bilinear}"),
        *("--preset", "stable_baselines3.common.atari_wrappers.AtariWrapper"),
    )
    assert bilinear.title == "NatureAtari {size: [105, 80], resize: bilinear}"
    assert [s.observation.shape for s in (nature, bilinear, sb3)] == [(84, 84, 2), (105, 80, 2), (84, 84, 2)]
    assert np.array_equal(nature.observation, sb3.observation)


def test_an_environment_with_its_own_skip_is_built_without_it(runs):
    (section,) = sections("--env", "ALE/Pong-v5", "--steps", "1")
    assert section.stages[0].name == "raw frame 3 of 4"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["pong_elu", "mspacman_skip16", "mspacman_ram", "space_invaders_dueling"])
def test_recipes_have_their_own_environment_and_stack(runs, recipe):
    (section,) = sections("--recipe", recipe, "--steps", "2")
    shapes = {
        "pong_elu": (105, 80, 4),
        "mspacman_skip16": (84, 84, 4),
        "mspacman_ram": (128,),
        "space_invaders_dueling": (105, 80, 3),
    }
    assert find(recipe).env_id in gym.registry
    assert section.observation.shape == shapes[recipe]


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        ((), "--env PongNoFrameskip-v4"),
        (("--env", "Pnog-v4"), "Unknown environment Pnog-v4"),
        (("--env", "CartPole-v1", "--preset", "NatureAtari"), "is not an Atari game"),
        (("--env", PONG, "--preset", "Natur"), "NatureAtari"),
        (("--env", PONG, "--preset", "NatureAtari: {sizes: 3}"), "sizes; known: noop_max"),
        (("--env", PONG, "--preset", "NatureAtari: 84"), "a mapping"),
        (("--env", PONG, "--preset", "NatureAtari: {size"), "a mapping"),
        (("--env", PONG, "--preset", "nowhere.Preset"), "nowhere.Preset cannot be imported"),
        (("--env", PONG, "--preset", "stable_baselines3.common.atari_wrappers.AtariWrapper: {nix: 3}"), "'nix'"),
        (("--env", PONG, "--preset", "collections.OrderedDict"), "cannot wrap"),
        (("--env", PONG, "--preset", "builtins.str"), "not a Gymnasium environment"),
        (("--recipe", "pong"), "pong_elu"),
        (("--recipe", "pong_elu", "--env", PONG), f"--env {PONG} contradicts --recipe pong_elu, which uses Pong-v4"),
        (("--env", PONG, "-o", "sheet.jpg"), "end with .png"),
        (("--env", PONG, "--preset", "NatureAtari: {size: [1, 1]}"), "stack of frames of shape (1, 1, 1)"),
        (("--env", PONG, "--frame-stack", "100000000000"), "NatureAtari: Unable to allocate"),
        (("--env", PONG, "--preset", "rl_zoo3.wrappers.HistoryWrapper"), "does not fit PongNoFrameskip-v4"),
        (("--env", PONG, "--preset", "rl_zoo3.wrappers.FrameSkip: {skip: 0}"), "UnboundLocalError: "),
        (("--env", PONG, "--preset", "AtariPresetWrapper"), "known: MsPacmanSkip16Atari, Nature"),
        (("--recipe", "pong_elu", "--frame-stack", "2"), "--frame-stack 2 is for presets"),
        (("--env", "CartPole-v1", "--frame-stack", "2"), "--frame-stack 2 is for presets"),
        (("--env", PONG, "--preset", "NatureAtari: {3: 3}"), "Unknown preset option 3"),
        (("--env", PONG, "--preset", "gymnasium.wrappers.TimeLimit: {3: 3}"), "got 3 (int)"),
    ],
)
def test_a_user_error_is_one_line_with_a_way_out(runs, capsys, arguments, way_out):
    with pytest.raises(SystemExit) as exit_:
        look.main(list(arguments))
    printed = capsys.readouterr().err
    assert exit_.value.code == 2
    assert printed.startswith("look: error: ")
    assert way_out in printed
    assert printed.count("\n") == 1
    assert not list(runs.iterdir())


def test_missing_libraries_of_an_environment_are_one_line(runs, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "Box2D", None)
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit):
        look.main(["--env", "CarRacing-v3", "-o", "sheet.png"])
    printed = capsys.readouterr().err
    assert printed.startswith("look: error: CarRacing-v3 has missing dependencies: Box2D is not installed")
    assert printed.count("\n") == 1
    assert list(runs.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "reason"), [("> /dev/full", "No space left on device"), ("| head -0", "Broken pipe"), (">&-", None)]
)
def test_a_closed_output_is_one_line_and_the_sheet_is_written(runs, output, reason):
    told = shell("look", "--env", "CartPole-v1", "--steps", "1", "-o", "sheet.png", redirection=output)
    says = f"look: error: Standard output cannot be written ({reason}); already written: sheet.png\n"
    assert told == (says if reason else "")
    assert cv2.imread("sheet.png") is not None


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_no_file(runs):
    told = shell("look", "--env", "CartPole-v1", "--steps", "1", "-o", "sheet.png", largest_file=1)
    assert "look: error: sheet.png cannot be written (File too large): give another path with -o\n" in told
    assert "Traceback" not in told
    assert list(runs.iterdir()) == []


def test_a_sheet_is_written_through_a_symbolic_link(runs):
    (runs / "real.png").write_bytes(b"older")
    (runs / "link.png").symlink_to("real.png")
    look.main(["--env", "CartPole-v1", "--steps", "1", "-o", "link.png"])
    assert (runs / "link.png").is_symlink()
    assert cv2.imread("real.png") is not None
