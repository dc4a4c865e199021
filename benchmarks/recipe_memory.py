"""Memory of the whole process while a recipe learns with its replay memory filled to the last transition.

    python benchmarks/recipe_memory.py --out benchmarks/results/recipe_memory.json

Runs the training in a process of its own: random play until the memory is full, then updates. The process is looked
at from outside four times a second. A million steps of Pong take about 20 minutes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from typing import Any

import psutil
from report import circumstances, write

from sb3_atari_dqn.recipes import NAMES, find

UPDATES = 1_000


def measure(name: str, transitions: int) -> dict[str, Any]:
    """
    :param name: of the recipe
    :param transitions: stored before learning starts
    """
    recipe = find(name)
    command = [sys.executable, "-m", "rl_zoo3.train", "--algo", recipe.algos[0], "--env", recipe.env_id]
    command += ["-conf", recipe.module, "--seed", "0", "--eval-freq", "-1", "-n", str(transitions + UPDATES)]
    command += ["-params", f"learning_starts:{transitions}", "callback:None"]
    resident: list[float] = []
    started = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as training,
    ):
        process = psutil.Process(training.pid)
        while training.poll() is None:
            try:
                resident.append(process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.25)
    if training.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {training.returncode}")
    return {
        "training": " ".join(["python", *command[1:]]),
        "transitions_stored": transitions,
        "updates_after_that": UPDATES,
        "peak_resident_mb": round(max(resident)),
        "resident_mb_by_tenths_of_the_run": [round(resident[len(resident) * i // 10]) for i in range(10)],
        "minutes": round((time.perf_counter() - started) / 60, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=NAMES, default="pong_elu")
    parser.add_argument("--transitions", type=int, default=1_000_000, help="stored before learning starts")
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    result = measure(args.recipe, args.transitions)
    write({**circumstances("stable-baselines3", "torch", "ale-py"), "recipe": args.recipe, **result}, args.out)


if __name__ == "__main__":
    main()
