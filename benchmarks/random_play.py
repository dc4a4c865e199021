"""What random play scores on the environment of each recipe: raw scores of whole games.

    python benchmarks/random_play.py --out benchmarks/results/random_play.json
    python benchmarks/random_play.py --recipes pong_elu --games 100

The environment is the one that `train --recipe` builds, with its frame skip and its sticky actions; the spread is the
standard deviation over the games, the error that of the mean.
"""

import argparse
import statistics
from typing import Any

import numpy as np
from report import circumstances, write
from tqdm import tqdm

from sb3_atari_dqn.recipes import NAMES, find
from sb3_atari_dqn.zoo.training_env import training_env

#: Games per recipe: those of Pong are long.
GAMES = {"pong_elu": 15}
OTHER_GAMES = 60


def random_actions(seed: int) -> np.random.Generator:
    """
    :param seed: of the environment too, whose random skips come from a generator of the same kind: seeded alike, the
        two would go together step by step, and the length of a skip would follow from the action
    """
    return np.random.default_rng([seed, 1])


def play(name: str, games: int, seed: int) -> dict[str, Any]:
    """
    :param name: of the recipe
    :param games: how many
    :param seed: of environment and actions
    """
    recipe = find(name)
    env = training_env(recipe, seed)
    rng = random_actions(seed)
    env.reset()
    scores: list[float] = []
    steps = 0
    with tqdm(total=games, desc=name, unit="game") as progress:
        while len(scores) < games:
            _, _, _, infos = env.step(rng.integers(env.action_space.n, size=1))  # type: ignore[attr-defined]
            steps += 1
            if "episode" in infos[0]:
                scores.append(float(infos[0]["episode"]["r"]))
                progress.update()
    env.close()
    return {"env": recipe.env_id, "steps_per_game": round(steps / games), **summary(scores), "scores": scores}


def summary(scores: list[float]) -> dict[str, float]:
    """:return: mean, spread, error of the mean, and the ends"""
    spread = statistics.stdev(scores)
    return {
        "games": len(scores),
        "mean": round(statistics.fmean(scores), 2),
        "spread": round(spread, 2),
        "error_of_mean": round(spread / len(scores) ** 0.5, 2),
        "min": min(scores),
        "max": max(scores),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=NAMES, default=NAMES, help="by default all of them")
    parser.add_argument("--games", type=int, help="of each recipe; by default 15 of Pong and 60 of the others")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    if args.games is not None and args.games < 2:
        parser.error(f"--games {args.games}: give at least 2, a spread needs them")
    results = {name: play(name, args.games or GAMES.get(name, OTHER_GAMES), args.seed) for name in args.recipes}
    write({**circumstances("ale-py", "gymnasium"), "seed": args.seed, "recipes": results}, args.out)


if __name__ == "__main__":
    main()
