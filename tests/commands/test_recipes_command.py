"""`recipes` and `--recipe` as a user types them."""

import sys
from unittest import mock

import pytest

from sb3_atari_dqn import __main__
from sb3_atari_dqn.__main__ import main
from sb3_atari_dqn.commands import recipes
from sb3_atari_dqn.recipes import NAMES, find
from tests.support.commands import run

COMMAND = [sys.executable, "-m", "sb3_atari_dqn"]


def test_every_recipe_is_listed_with_source_environment_algorithm_budget_and_the_zoos_command(capsys):
    recipes.main([])
    printed = capsys.readouterr().out
    for name in NAMES:
        recipe = find(name)
        paragraph = next(part for part in printed.split("\n\n") if part.startswith(f"{name}:"))
        for fact in (recipe.source, recipe.env_id, *recipe.algos, recipe.budget, f"-conf {recipe.module}"):
            assert fact in paragraph


def test_the_help_says_how_to_train_one(capsys):
    with pytest.raises(SystemExit):
        recipes.main(["--help"])
    assert "train --recipe NAME" in capsys.readouterr().out


@pytest.mark.slow
def test_the_help_of_the_zoos_commands_starts_with_our_option():
    told = run([*COMMAND, "train", "--help"]).stdout
    assert told.index("--recipe NAME ") < told.index("usage: ")


@pytest.mark.slow
def test_a_recipe_trains_and_plays_from_anywhere(runs):
    small = ("learning_starts:20", "buffer_size:200", "batch_size:8", "policy_kwargs:dict(net_arch=[16])")
    budget = ("-n", "60", "--seed", "1", "--eval-freq", "-1")
    trained = run([*COMMAND, "train", "--recipe", "mspacman_ram", *budget, "-params", *small, "gamma:0.5"])
    assert trained.returncode == 0, trained.stdout
    assert "('gamma', 0.5)" in trained.stdout
    assert (runs / "logs/mspacman_ram/dqn_classic/MsPacman-v0_1/MsPacman-v0.zip").is_file()
    played = run([*COMMAND, *["enjoy", "--recipe", "mspacman_ram", "--no-render", "-n", "200"]])
    assert played.returncode == 0, played.stdout
    assert "Atari Episode Score" in played.stdout


@pytest.mark.slow
def test_a_user_error_is_one_line_without_a_traceback(runs):
    failed = run([*COMMAND, "train", "--recipe", "pongelu"])
    assert failed.returncode == 2
    assert "error: Unknown recipe 'pongelu'; known: chrome_dino, mspacman_ram" in failed.stdout
    assert "Traceback" not in failed.stdout


def test_ctrl_c_while_a_command_starts_is_one_line(capsys):
    loading = mock.patch.object(__main__, "import_module", side_effect=KeyboardInterrupt)
    typed = mock.patch.object(sys, "argv", ["sb3_atari_dqn", "play", "somewhere"])
    with loading, typed, pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 130
    assert capsys.readouterr().err == "Interrupted\n"
