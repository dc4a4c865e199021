"""Environment steps per second of the recipes during training.

    GOMP_SPINCOUNT=10000 python benchmarks/recipe_steps.py --out benchmarks/results/recipe_steps.json

Each training runs in its own process; they alternate. The first steps are random and not timed. The replay buffer is
small, and there are no callbacks.
"""

import argparse
import json
import subprocess
import sys
import time
from itertools import product
from typing import Any

import numpy as np
import torch
from recipe_models import recipe_model
from report import circumstances, spread, write
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from sb3_atari_dqn.recipes import NAMES, find

RANDOM_STEPS, WARM_UP = 400, 30


class StepTimes(BaseCallback):
    """Records the time at the end of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def _on_step(self) -> bool:
        self.times.append(time.perf_counter())
        return True


def train(name: str, steps: int) -> dict[str, Any]:
    """:return: speed of a training in this process"""
    model = recipe_model(find(name), buffer_size=10_000, learning_starts=RANDOM_STEPS)
    clock = StepTimes()
    model.learn(RANDOM_STEPS + WARM_UP + steps, callback=clock, log_interval=None)
    seconds = np.diff(clock.times[-steps:])
    return {"median_ms": round(1000 * float(np.median(seconds)), 2), "steps_per_second": round(1 / seconds.mean(), 1)}


def train_apart(name: str, steps: int) -> dict[str, Any]:
    """:return: speed of a training in its own process"""
    command = [sys.executable, __file__, "--here", "--steps", str(steps), name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--steps", type=int, default=200, help="that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(train(args.recipes[0], args.steps)))
        return
    names = args.recipes or NAMES
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _, name in tqdm(list(product(range(args.rounds), names)), unit="training"):
        found[name].append(train_apart(name, args.steps))
    figures = {name: {key: spread([each[key] for each in runs]) for key in runs[0]} for name, runs in found.items()}
    facts = circumstances("stable-baselines3", "torch", "ale-py")
    write({**facts, "torch_threads": torch.get_num_threads(), "recipes": figures}, args.out)


if __name__ == "__main__":
    main()
