"""Raw scores of full episodes of any policy, and their summary."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

Act = Callable[[Any], np.ndarray]


def random_actions(seed: int) -> np.random.Generator:
    """:return: generator of random actions, independent of other generators with the same ``seed``"""
    return np.random.default_rng([seed, 1])


def play(env: VecEnv, act: Act, games: int, value: str, name: str) -> dict[str, Any]:
    """
    :param env: one environment
    :param act: maps observations to actions
    :param games: number of episodes
    :param value: "return", or a key of the environment's info
    :param name: of the policy, for the progress bar
    """
    observations: Any = env.reset()
    scores: list[float] = []
    steps = 0
    with tqdm(total=games, desc=name, unit="game") as progress:
        while len(scores) < games:
            observations, _, _, infos = env.step(act(observations))
            steps += 1
            if "episode" in infos[0]:
                scores.append(float(infos[0]["episode"]["r"] if value == "return" else infos[0][value]))
                progress.update()
    return {"steps_per_game": round(steps / games), **summary(scores), "different": len(set(scores)), "scores": scores}


def summary(scores: list[float]) -> dict[str, float]:
    """:return: mean, standard deviation, standard error, minimum and maximum"""
    spread = statistics.stdev(scores)
    return {
        "games": len(scores),
        "mean": round(statistics.fmean(scores), 2),
        "spread": round(spread, 2),
        "error_of_mean": round(spread / len(scores) ** 0.5, 2),
        "min": min(scores),
        "max": max(scores),
    }
