"""Expands ``--recipe NAME`` on the command line into arguments of the RL Zoo."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sb3_atari_dqn.recipes import Recipe, find

#: Commands that open an existing run.
_READERS = ("enjoy", "record_video", "record_training", "push_to_hub")


class _Parser(argparse.ArgumentParser):
    """Parser without help and exits, which the zoo handles."""

    def __init__(self, allow_abbrev: bool) -> None:
        super().__init__(add_help=False, allow_abbrev=allow_abbrev)

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def expand(command: str, arguments: Sequence[str]) -> list[str]:
    """
    :param command: of the zoo
    :param arguments: of the command
    :return: arguments without ``--recipe``; algorithm, environment, configuration (for ``train``) and folder come from
        the recipe unless given
    :raises ValueError: on an unknown recipe, several recipes, conflicting arguments, or a recipe without a run
    """
    names, rest = _named_recipes(arguments)
    if not names:
        return rest
    if len(names) > 1:
        raise ValueError(f"--recipe {' --recipe '.join(names)}: a run has only one recipe, use one of them.")
    recipe = find(names[0])
    given, _ = _zoo_options().parse_known_args(rest)
    if given.help:
        return rest
    added = _algorithm(recipe, given.algo) + _environment(recipe, given.env)
    folder = given.folder
    if folder is None:
        folder = str(Path("logs") / recipe.name)
        added += ["-f", folder]
    if command == "train":
        added += _configuration(recipe, given.conf) + _tensorboard(recipe, given.tensorboard, folder)
    elif command in _READERS:
        _check_runs(recipe, Path(folder) / (given.algo or recipe.algos[0]), given.exp_id)
    return added + rest


def _named_recipes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """
    :return: names after ``--recipe``, and the other arguments
    :raises ValueError: if ``--recipe`` has no value
    """
    parser = _Parser(allow_abbrev=False)
    parser.add_argument("--recipe", action="append", default=[])
    asked, rest = parser.parse_known_args(arguments)
    return asked.recipe, rest


def _zoo_options() -> argparse.ArgumentParser:
    """
    Parses the options of the zoo that a recipe sets, including argparse's abbreviations.

    The zoo has more options: an abbreviation that is unique here may be ambiguous there, which the zoo rejects.
    """
    parser = _Parser(allow_abbrev=True)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--algo")
    parser.add_argument("--env")
    parser.add_argument("-conf", "--conf-file", dest="conf")
    parser.add_argument("-f", "--log-folder", "--folder", dest="folder")
    parser.add_argument("-tb", "--tensorboard-log", dest="tensorboard")
    parser.add_argument("--exp-id", dest="exp_id")
    return parser


def _algorithm(recipe: Recipe, given: str | None) -> list[str]:
    if given is None:
        return ["--algo", recipe.algos[0]]
    if given not in recipe.algos:
        raise ValueError(
            f"--algo {given} contradicts --recipe {recipe.name}, which supports {', '.join(recipe.algos)}: omit --algo."
        )
    return []


def _environment(recipe: Recipe, given: str | None) -> list[str]:
    recipe.check_env(given)
    return [] if given else ["--env", recipe.env_id]


def _configuration(recipe: Recipe, given: str | None) -> list[str]:
    if given not in (None, recipe.module):
        raise ValueError(
            f"-conf {given} contradicts --recipe {recipe.name}, which is a configuration itself: omit one of them; "
            "-params changes single values."
        )
    return [] if given else ["-conf", recipe.module]


def _tensorboard(recipe: Recipe, given: str | None, folder: str) -> list[str]:
    return ["-tb", str(Path(folder) / "tensorboard")] if recipe.tensorboard and given is None else []


def _check_runs(recipe: Recipe, folder: Path, asked: str | None) -> None:
    """
    :param folder: with the runs of one algorithm
    :param asked: value of --exp-id, None for the latest run
    :raises ValueError: if there is no run, or the selected one was trained with another configuration
    """
    if not folder.is_dir():
        raise ValueError(
            f"No run of {recipe.name} in {folder}: train one with `python -m sb3_atari_dqn train --recipe "
            f"{recipe.name}`, or pass the folder of your runs with -f."
        )
    runs = _runs(recipe, folder)
    number = int(asked) if asked and asked.isdecimal() else 0
    opened = number or max(runs, default=0)
    other = _configuration_of(runs[opened], recipe) if opened in runs else recipe.module
    if other in (None, recipe.module):  # unknown for a run without args.yml
        return
    own = [n for n in sorted(runs) if _configuration_of(runs[n], recipe) == recipe.module]
    way_out = f"open a run of it with --exp-id {own[-1]}" if own else f"train one with -f logs/{recipe.name}"
    raise ValueError(
        f"{runs[opened]} is not a run of {recipe.name}, it was trained with {other}: {way_out}, or omit --recipe."
    )


def _runs(recipe: Recipe, folder: Path) -> dict[int, Path]:
    """:return: run folders for the recipe's environment, by run number"""
    name = recipe.env_id.replace("/", "-")
    found = {path.name.removeprefix(f"{name}_"): path for path in folder.glob(f"{name}_*")}
    return {int(number): path for number, path in found.items() if number.isdecimal()}


def _configuration_of(run: Path, recipe: Recipe) -> str | None:
    """
    :return: configuration the run was trained with, None if its args.yml does not name one. Searches the text, because
        loading the zoo's YAML files can execute code
    """
    saved = run / recipe.env_id.replace("/", "-") / "args.yml"
    found = re.search(r"conf_file\n *- (.*)", saved.read_text(encoding="utf-8")) if saved.is_file() else None
    if found is None:
        return None
    return "the default configuration" if found[1] == "null" else found[1].strip("'\"")
