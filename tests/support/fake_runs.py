"""Run folders as the zoo leaves them, with known numbers."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

START = 1_700_000_000.0
NATURE = {"env_wrapper": ["sb3_atari_dqn.atari.NatureAtari"]}

#: Return, length and end in seconds of each game of an environment.
Rows = list[tuple[float, int, float]]


def write_run(
    folder: Path,
    *environments: Rows,
    algo: str = "dqn_dueling",
    env: str = "PongNoFrameskip-v4",
    config: dict[str, Any] | None = None,
    late: float = 0.0,
    **args: Any,
) -> Path:
    """
    :param folder: of the run
    :param environments: games of each
    :param config: hyperparameters; NATURE by default
    :param late: seconds by which each environment starts after the one before
    :param args: of the command line
    """
    settings = folder / env
    settings.mkdir(parents=True)
    (settings / "config.yml").write_text(yaml.dump(OrderedDict(sorted((NATURE if config is None else config).items()))))
    (settings / "args.yml").write_text(yaml.dump(OrderedDict(algo=algo, env=env, log_folder="logs", **args)))
    for number, rows in enumerate(environments):
        head = json.dumps({"t_start": START + late * number, "env_id": env})
        lines = [",".join(map(str, row)) for row in rows]
        (folder / f"{number}.monitor.csv").write_text("\n".join([f"#{head}", "r,l,t", *lines]) + "\n")
    return folder


def games(n: int, seed: int = 0, length: int = 400) -> Rows:
    """:return: n games that get better, one every ten seconds"""
    noise = np.random.default_rng(seed).normal(size=n)
    return [(round(-20 + 30 * k / n + noise[k], 3), length, 10.0 * (k + 1)) for k in range(n)]


def write_evaluations(run: Path, timesteps: list[int], results: list[list[float]]) -> None:
    np.savez(run / "evaluations.npz", timesteps=timesteps, results=results, ep_lengths=results)


def write_goal_evaluations(run: Path, timesteps: list[int], results: list[list[float]], seconds: list[float]) -> None:
    """:param seconds: since the start of the run, at which each ended"""
    times: dict[str, Any] = {"ended": START + np.array(seconds), "seconds": [9.0] * len(seconds)}
    path = run / "goal_evaluations.npz"
    np.savez(path, timesteps=timesteps, results=results, ep_lengths=results, epsilon=0.001, **times)
