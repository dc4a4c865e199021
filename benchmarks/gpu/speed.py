"""Part 2: environment steps per second during training on Pong, SB3's dqn and ours, in alternating windows.

8 samples per environment step for all; each contestant has its own process. A last window measures time shares.
"""

import argparse
from dataclasses import replace
from typing import Any

from contestants import Contestant
from report import spread
from stable_baselines3 import DQN
from throughput import PEER, Worker

from gpu.results import Report, arguments
from gpu.shares import shares
from sb3_atari_dqn import DuelingDQN

GAME = "PongNoFrameskip-v4"
SPEED = "env_steps_per_second"


def ours(n_envs: int, batch_size: int, precision: str = "bf16", samples_per_step: float = 8) -> Contestant:
    """:return: dqn_dueling as in `-conf large_batch`, at other sizes"""
    return Contestant(
        *(DuelingDQN, n_envs, True, "fast", precision),
        batch_size=batch_size,
        samples_per_step=samples_per_step,
        replay="prioritized",
        frame_storage="device",
    )


CONTESTANTS = {
    PEER: Contestant(DQN),
    "SB3 dqn, 8 envs": Contestant(DQN, n_envs=8),
    "dqn_dueling, 8 envs, batch 32": ours(8, 32),
    "dqn_dueling, 128 envs, batch 512": ours(128, 512),
}


def tiny(batch_size: int = 4, samples_per_step: float = 1) -> Contestant:
    """:return: a small contestant for dry runs"""
    return replace(ours(2, batch_size, "fp32", samples_per_step), learning_starts=16)


SMALL = {PEER: Contestant(DQN, batch_size=4, learning_starts=16), "dqn_dueling, 2 envs, batch 4": tiny()}


def main() -> None:
    args = arguments(__doc__).parse_args()
    report = Report("throughput", args)
    contestants, window_s = (SMALL, 0.2) if args.dry_run else (CONTESTANTS, 2.0)
    workers = {name: Worker(each, GAME, args.device, wait=False) for name, each in contestants.items()}
    for worker in workers.values():  # they warm up in parallel
        worker.wait()
    report.put(warm_up_seconds=round(args.seconds - report.seconds_left(), 1))
    rounds = measure(workers, window_s, report, args)
    for name, worker in workers.items():
        steps = _steps(rounds, name, window_s)
        report.put(shares={**report.get("shares", {}), name: worker.ask(shares, steps)})
        worker.close()
    report.done()


def measure(
    workers: dict[str, Worker], window_s: float, report: Report, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Run rounds of windows of equal duration while time is left; report after each round."""
    first = {name: worker.window(32 if args.dry_run else 512) for name, worker in workers.items()}
    rounds = [first]  # only calibrates the lengths of the windows
    needed_s = 2 * window_s * len(workers) + 3  # a round and the time shares
    while len(rounds) < 2 or (report.seconds_left() > needed_s and len(rounds) < (2 if args.dry_run else 12)):
        rounds.append({name: worker.window(_steps(rounds, name, window_s)) for name, worker in workers.items()})
        report.put(contestants=figures(rounds[1:]))
    return rounds


def figures(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """:return: by contestant: speed, ratio to SB3 in paired windows, memory"""
    return {
        name: {
            SPEED: spread([each[name][SPEED] for each in rounds]),
            "ratio_to_sb3": spread([each[name][SPEED] / each[PEER][SPEED] for each in rounds]),
            "peak_memory_mb": rounds[-1][name]["peak_memory_mb"],
        }
        for name in rounds[0]
    }


def _steps(rounds: list[dict[str, Any]], name: str, seconds: float) -> int:
    """:return: environment steps that take this long, estimated from the last window"""
    return max(round(rounds[-1][name][SPEED] * seconds), 16)


if __name__ == "__main__":
    main()
