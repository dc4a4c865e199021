"""``--recipe NAME``: what it stands for, and what contradicts it."""

import re
import shutil
from collections import OrderedDict
from importlib.resources import files

import pytest
import yaml

from sb3_atari_dqn.__main__ import ZOO_COMMANDS
from sb3_atari_dqn.recipes import NAMES
from sb3_atari_dqn.recipes.expansion import _zoo_options, expand

OPTIONS = [
    "--algo",
    "--env",
    "-conf",
    "--conf-file",
    "-f",
    "--log-folder",
    "--folder",
    "-tb",
    "--tensorboard-log",
    "--exp-id",
]
OF_PONG = ["--algo", "dqn_classic", "--env", "Pong-v4"]


def test_without_a_recipe_nothing_changes():
    typed = ["--algo", "dqn_double", "--eval-freq", "-1", "-params", "n_steps:3", "gamma:0.9", "-f", "mine"]
    assert expand("train", typed) == typed


def test_train_gets_algorithm_environment_folder_and_configuration_and_keeps_what_overrides():
    typed = [
        "-params",
        "gamma:0.5",
        "n_steps:3",
        "--recipe",
        "pong_elu",
        "--seed",
        "3",
        "-n",
        "100",
        "--eval-freq",
        "-1",
    ]
    assert expand("train", typed) == [
        *OF_PONG,
        *("-f", "logs/pong_elu", "-conf", "sb3_atari_dqn.recipes.pong_elu"),
        *("-params", "gamma:0.5", "n_steps:3", "--seed", "3", "-n", "100", "--eval-freq", "-1"),
    ]


@pytest.mark.parametrize("command", ["enjoy", "record_video", "push_to_hub"])
def test_a_command_that_reads_a_run_gets_no_configuration(command, runs):
    (runs / "logs/pong_elu/dqn_classic").mkdir(parents=True)
    typed = ["--recipe=pong_elu", "--no-render"]
    assert expand(command, typed) == [*OF_PONG, "-f", "logs/pong_elu", "--no-render"]


def test_a_recipe_whose_author_logs_to_tensorboard_does_so_too():
    expanded = expand("train", ["--recipe", "space_invaders_dueling", "-f", "mine"])
    assert expanded[expanded.index("-tb") + 1] == "mine/tensorboard"
    assert "-tb" not in expand("train", ["--recipe", "space_invaders_dueling", "--tensorboard-log", "there"])
    assert "-tb" not in expand("train", ["--recipe", "pong_elu"])


def test_what_agrees_with_the_recipe_may_be_said_again():
    typed = [*OF_PONG, "-f", "mine", "-conf", "sb3_atari_dqn.recipes.pong_elu"]
    assert expand("train", ["--recipe", "pong_elu", *typed]) == typed


@pytest.mark.parametrize("algo", ["dqn_classic", "dqn_double", "dqn_dueling"])
def test_space_invaders_switches_between_vanilla_double_and_dueling(algo):
    expanded = expand("train", ["--recipe", "space_invaders_dueling", "--algo", algo])
    assert [expanded[i + 1] for i, word in enumerate(expanded) if word == "--algo"] == [algo]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["--recipe", "pong"], f"Unknown recipe 'pong'; known: {', '.join(sorted(NAMES))}"),
        (["--recipe"], "argument --recipe: expected one argument"),
        (["--recipe", "pong_elu", "--algo", "ppo"], "--algo ppo .*--recipe pong_elu.*dqn_classic"),
        (
            ["--recipe", "pong_elu", "--env", "Pong-v0"],
            "--env Pong-v0 .*--recipe pong_elu.*Pong-v4",
        ),
        (["--recipe", "pong_elu", "--conf-file", "my.yml"], "-conf my.yml .*--recipe pong_elu"),
        (["--recipe", "pong_elu", "--conf", "my.yml"], "-conf my.yml .*--recipe pong_elu"),
        (["--recipe", "pong_elu", "-co", "my.yml"], "-conf my.yml .*--recipe pong_elu"),
        (["--recipe", "pong_elu", "--alg", "dqn"], "--algo dqn .*--recipe pong_elu"),
        (["--recipe", "pong_elu", "--en", "Pong-v0"], "--env Pong-v0 .*--recipe pong_elu"),
        (["--recipe", "pong_elu", "--recipe=mspacman_ram"], "--recipe pong_elu --recipe mspacman_ram"),
    ],
)
def test_what_contradicts_the_recipe_is_one_clear_error(typed, says):
    with pytest.raises(ValueError, match=says):
        expand("train", typed)


def test_a_folder_may_be_abbreviated_as_argparse_allows():
    typed = ["--log-f", "mine"]
    assert expand("train", ["--recipe", "pong_elu", *typed]) == [
        *OF_PONG,
        *("-conf", "sb3_atari_dqn.recipes.pong_elu"),
        *typed,
    ]
    assert "-f" not in expand("train", ["--recipe", "pong_elu", "-fmine"])


@pytest.mark.parametrize("script", ZOO_COMMANDS)
def test_what_looks_like_an_abbreviation_of_ours_is_no_other_option_of_the_zoo(script):
    source = files("rl_zoo3").joinpath(f"{script}.py").read_text()
    theirs = set(re.findall(r'"(--?[a-z][a-z-]*)"', source))
    assert {"--env", "--algo"} <= theirs
    for option in theirs:
        read = vars(_zoo_options().parse_known_args([f"{option}=x"])[0])
        assert any(read.values()) == (option in OPTIONS), option


@pytest.mark.parametrize("asks", ["-h", "--help", "--he"])
def test_help_is_the_zoos_and_needs_no_run(asks, runs):
    assert expand("enjoy", ["--recipe", "pong_elu", asks]) == [asks]


def test_a_recipe_without_a_run_names_the_way_out(runs):
    with pytest.raises(ValueError, match=r"pong_elu .*logs/pong_elu/dqn_classic.*train --recipe"):
        expand("enjoy", ["--recipe", "pong_elu"])


@pytest.fixture
def shared(runs):
    """Runs of several configurations in one folder."""
    for number, config in ((1, "sb3_atari_dqn.recipes.pong_elu"), (2, None), (10, "conf/mine.yml")):
        folder = runs / f"logs/dqn_classic/Pong-v4_{number}/Pong-v4"
        folder.mkdir(parents=True)
        (folder / "args.yml").write_text(yaml.dump(OrderedDict(algo="dqn_classic", conf_file=config, device="auto")))
    return "logs"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ((), r"_10 .*pong_elu.*conf/mine\.yml.*--exp-id 1,"),
        (("--exp-id", "2"), "Pong-v4_2 .*pong_elu.*default configuration"),
    ],
)
@pytest.mark.parametrize("command", ["enjoy", "record_video", "record_training", "push_to_hub"])
def test_a_run_of_something_else_in_a_shared_folder_is_not_taken_for_the_recipes(shared, command, typed, says):
    with pytest.raises(ValueError, match=says):
        expand(command, ["--recipe", "pong_elu", "-f", shared, *typed])


def test_the_recipes_own_run_and_one_that_does_not_say_are_opened(shared, runs):
    assert expand("enjoy", ["--recipe", "pong_elu", "-f", shared, "--exp-id", "1"])[-2:] == ["--exp-id", "1"]
    (runs / "logs/dqn_classic/Pong-v4_11").mkdir()
    assert expand("enjoy", ["--recipe", "pong_elu", "-f", shared])[-2:] == ["-f", shared]


def test_without_a_run_of_the_recipe_a_folder_of_its_own_is_the_way_out(shared, runs):
    shutil.rmtree(runs / "logs/dqn_classic/Pong-v4_1")
    with pytest.raises(ValueError, match=r"-f logs/pong_elu.*--recipe"):
        expand("enjoy", ["--recipe", "pong_elu", "-f", shared])
