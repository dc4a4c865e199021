"""``--recipe NAME`` on the command line becomes the arguments of the zoo that it stands for."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sb3_atari_dqn.recipes import Recipe, find

#: Commands that open a run which must be there.
_READERS = ("enjoy", "record_video", "record_training", "push_to_hub")

# Abbreviations are the zoo's to resolve, and "-f" must not swallow other options.
_BARE = {"add_help": False, "allow_abbrev": False}


def expand(command: str, arguments: Sequence[str]) -> list[str]:
    """
    :param command: one of the zoo's
    :param arguments: as typed after it
    :return: the same for the zoo alone: algorithm, environment, configuration (for ``train``) and folder come from the
        recipe where they are not given
    :raises ValueError: on an unknown recipe, what contradicts it, or a recipe that has no run yet
    """
    recipes = argparse.ArgumentParser(**_BARE)  # type: ignore[arg-type]
    recipes.add_argument("--recipe")
    asked, rest = _parse(recipes, arguments)
    if asked.recipe is None:
        return rest
    recipe = find(asked.recipe)
    given, _ = _parse(_zoo_options(), rest)
    added = _algorithm(recipe, given.algo) + _environment(recipe, given.env)
    folder = given.folder
    if folder is None:
        folder = str(Path("logs") / recipe.name)
        added += ["-f", folder]
    if command == "train":
        added += _configuration(recipe, given.conf) + _tensorboard(recipe, given.tensorboard, folder)
    elif command in _READERS:
        _check_runs(recipe, Path(folder) / (given.algo or recipe.algos[0]))
    return added + rest


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """:raises ValueError: on an option without its value"""
    parser.exit_on_error = False
    try:
        return parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error


def _zoo_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(**_BARE)  # type: ignore[arg-type]
    parser.add_argument("--algo")
    parser.add_argument("--env")
    parser.add_argument("-conf", "--conf-file", dest="conf")
    parser.add_argument("-f", "--log-folder", "--folder", dest="folder")
    parser.add_argument("-tb", "--tensorboard-log", dest="tensorboard")
    return parser


def _algorithm(recipe: Recipe, given: str | None) -> list[str]:
    if given is None:
        return ["--algo", recipe.algos[0]]
    if given not in recipe.algos:
        raise ValueError(
            f"--algo {given} contradicts --recipe {recipe.name}, which is made for {' or '.join(recipe.algos)}: leave "
            "--algo out."
        )
    return []


def _environment(recipe: Recipe, given: str | None) -> list[str]:
    if given is None:
        return ["--env", recipe.env_id]
    if given != recipe.env_id:
        raise ValueError(
            f"--env {given} contradicts --recipe {recipe.name}, which plays {recipe.env_id}: leave --env out."
        )
    return []


def _configuration(recipe: Recipe, given: str | None) -> list[str]:
    if given not in (None, recipe.module):
        raise ValueError(
            f"-conf {given} contradicts --recipe {recipe.name}, which is a configuration itself: leave one of them "
            "out; -params changes single values."
        )
    return [] if given else ["-conf", recipe.module]


def _tensorboard(recipe: Recipe, given: str | None, folder: str) -> list[str]:
    return ["-tb", str(Path(folder) / "tensorboard")] if recipe.tensorboard and given is None else []


def _check_runs(recipe: Recipe, folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(
            f"There is no run of {recipe.name} in {folder}: train one with `python -m sb3_atari_dqn train --recipe "
            f"{recipe.name}`, or name the folder of your runs with -f."
        )
