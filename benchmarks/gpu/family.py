"""Part 7: the algorithms of the catalogue that learn from replay, with their networks and objectives, at one size."""

from dataclasses import replace
from typing import Any

from contestants import Contestant
from stable_baselines3.common.vec_env import VecEnv

from gpu.results import Report, arguments
from gpu.speed import ours, tiny
from gpu.sweep import measure
from sb3_atari_dqn.algorithms.dqn import ClassicDQN
from sb3_atari_dqn.catalogue import ALGORITHMS

#: What differs from the constructor's defaults, which are those of each algorithm's paper: noise costs the same beside
#: an exploration schedule, and all sample the same number of steps ahead.
COMMON: dict[str, Any] = {"n_steps": 3, "exploration": "linear"}


def main() -> None:
    args = arguments(__doc__).parse_args()
    report = Report("family", args)
    base, window_s = (tiny(), 0.1) if args.dry_run else (ours(128, 512), 1.5)
    rows: list[dict[str, Any]] = []
    envs: dict[int, VecEnv] = {}
    left_out = []
    for name, algorithm in contestants(base).items():
        if rows and report.seconds_left() < 5 * window_s + 2:
            left_out.append(name)
            continue
        rows.append({"algorithm": name, **measure(algorithm, args.device, window_s, envs)})
        report.put(rows=rows)
    report.done(rows=rows, left_out=left_out)


def contestants(base: Contestant) -> dict[str, Contestant]:
    """:return: by zoo name"""
    classes = {name: entry.import_class() for name, entry in ALGORITHMS.items()}
    return {
        name: replace(base, algorithm=algorithm, options=COMMON)
        for name, algorithm in classes.items()
        if issubclass(algorithm, ClassicDQN) and name != "dqn_der"  # which differs from dqn_rainbow in its pace
    }


if __name__ == "__main__":
    main()
