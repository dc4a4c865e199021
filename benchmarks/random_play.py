"""Random-policy baseline of each recipe: raw scores of full episodes.

    python benchmarks/random_play.py --out benchmarks/results/random_play.json
    python benchmarks/random_play.py --recipes pong_elu --games 100

The environment is that of `train --recipe`, including frame skip and sticky actions. Reports standard deviation
(spread) and standard error (error of the mean).
"""

import argparse
from typing import Any

from games import play, random_actions
from report import circumstances, write

from sb3_atari_dqn.recipes import NAMES, find
from sb3_atari_dqn.zoo.training_env import training_env

GAMES = 60


def play_recipe(name: str, games: int, seed: int) -> dict[str, Any]:
    """
    :param name: of the recipe
    :param games: number of episodes
    :param seed: of environment and actions
    """
    recipe = find(name)
    env = training_env(recipe, seed)
    rng = random_actions(seed)
    n_actions = env.action_space.n  # type: ignore[attr-defined]
    scores = play(env, lambda _: rng.integers(n_actions, size=1), games, "return", name)
    env.close()
    return {"env": recipe.env_id, **scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=NAMES, default=NAMES, help="by default all of them")
    parser.add_argument("--games", type=int, default=GAMES, help=f"of each recipe (default: {GAMES})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    if args.games < 2:
        parser.error(f"--games {args.games}: give at least 2, a spread needs them")
    results = {name: play_recipe(name, args.games, args.seed) for name in args.recipes}
    write({**circumstances("ale-py", "gymnasium"), "seed": args.seed, "recipes": results}, args.out)


if __name__ == "__main__":
    main()
