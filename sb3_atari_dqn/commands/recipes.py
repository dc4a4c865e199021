"""``python -m sb3_atari_dqn recipes``: list the recipes."""

import argparse
from collections.abc import Sequence

from sb3_atari_dqn.commands.errors import report
from sb3_atari_dqn.recipes import NAMES, Recipe, find


def main(arguments: Sequence[str]) -> None:
    """
    :param arguments: as typed after ``recipes``; none are required
    """
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn recipes",
        description="List the systems of published tutorials that this package reproduces.",
        epilog="python -m sb3_atari_dqn train --recipe NAME trains one; -params, --seed and -n change it. "
        "docs/recipes.md describes each of them.",
    )
    parser.parse_args(arguments)
    report("recipes", "\n\n".join(described(find(name)) for name in NAMES))


def described(recipe: Recipe) -> str:
    """:return: a few lines about one recipe, with the equivalent command of the zoo"""
    board = f" -tb logs/{recipe.name}/tensorboard" if recipe.tensorboard else ""
    lines = {
        "source": recipe.source,
        "env": recipe.env_id,
        "algo": ", or ".join(recipe.algos),
        "budget": recipe.budget,
        "zoo": f"python -m rl_zoo3.train --algo {recipe.algos[0]} --env {recipe.env_id} -conf {recipe.module} "
        f"-f logs/{recipe.name}{board}",
    }
    return "\n".join([f"{recipe.name}: {recipe.summary}", *(f"  {key:<7} {value}" for key, value in lines.items())])
