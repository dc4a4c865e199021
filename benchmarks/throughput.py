"""Environment steps per second while learning, ours beside SB3's DQN: same settings, same game, one run.

    GOMP_SPINCOUNT=10000 python benchmarks/throughput.py --figure docs/images/throughput.png

Every contestant lives in a process of its own and is measured past ``learning_starts`` in windows that take turns, so
that a machine that slows down slows all of them; while one plays the others wait. One gradient step per four
transitions, batch 32. Last comes a window that says where the time goes.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cleanrl
import numpy as np
import torch
from contestants import CONTESTANTS, SETTINGS, UPDATES_PER_TRANSITION, Contestant, broken_down, serve, window
from report import circumstances, spread, write
from stable_baselines3 import DQN
from torch.utils.flop_counter import FlopCounterMode

PEER = "SB3 dqn"


class Worker:
    """A contestant in a process of its own, warmed up when this is built or, without `wait`, after :meth:`wait`."""

    def __init__(self, contestant: Contestant, game: str, device: str, wait: bool = True) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, contestant, game, device), daemon=True).start()
        theirs.close()  # so that the end of the process is an error here
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it is warmed up."""
        assert self._pipe.recv() == "ready"

    def window(self, steps: int) -> dict[str, float]:
        return self.ask(window, steps)

    def breakdown(self, steps: int) -> dict[str, float]:
        return self.ask(broken_down, steps)

    def close(self) -> None:
        self._pipe.send(None)

    def ask(self, measurement: Callable[[DQN, int], dict[str, Any]], steps: int) -> dict[str, Any]:
        """:param measurement: a function of a module, called there with the model and the steps"""
        self._pipe.send((measurement, steps))
        return self._pipe.recv()


def open_workers(game: str, args: argparse.Namespace) -> dict[str, Any]:
    """:return: the contestants by name, those of other projects last"""
    workers: dict[str, Any] = {name: Worker(CONTESTANTS[name], game, args.device) for name in args.contestants}
    if args.cleanrl:
        workers[cleanrl.NAME] = cleanrl.CleanRL(args.cleanrl, game, SETTINGS, UPDATES_PER_TRANSITION)
    return workers


def measure(game: str, args: argparse.Namespace) -> dict[str, Any]:
    """:return: by contestant: speeds with their spread, ratio to SB3 window by window, memory, breakdown"""
    workers = open_workers(game, args)
    rounds = [{name: worker.window(args.steps) for name, worker in workers.items()} for _ in range(args.windows)]
    result: dict[str, Any] = {}
    for name, worker in workers.items():
        mine = [played[name] for played in rounds]
        result[name] = {
            "env_steps_per_second": spread([each["env_steps_per_second"] for each in mine]),
            "updates_per_second": spread([each["updates_per_second"] for each in mine]),
            "peak_memory_mb": mine[-1]["peak_memory_mb"],
            "breakdown_ms_per_update": worker.breakdown(args.steps),
        }
        if PEER in workers:
            speed = "env_steps_per_second"
            result[name]["ratio_to_sb3"] = spread([played[name][speed] / played[PEER][speed] for played in rounds])
        worker.close()
    return result


def matrix_rate(dtype: torch.dtype, device: str) -> float:
    """:return: floating-point operations per second of a large matrix product"""
    size, times = 2048 if device == "cpu" else 8192, []
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    for _ in range(10):
        begin = time.perf_counter()
        product = left @ right
        float(product[0, 0])
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / statistics.median(times)


def update_flops() -> int:
    """:return: floating-point operations of one update of the Nature network: two forward passes and a backward one"""
    from gymnasium import spaces
    from stable_baselines3.common.torch_layers import NatureCNN

    torso = NatureCNN(spaces.Box(0, 255, (4, 84, 84), np.uint8))
    network = torch.nn.Sequential(torso, torch.nn.Linear(512, 6))
    images = torch.zeros(SETTINGS["batch_size"], 4, 84, 84)
    with FlopCounterMode(display=False) as counter:
        with torch.no_grad():
            network(images)
        network(images).sum().backward()
    return counter.get_total_flops()


def bounds(device: str) -> dict[str, Any]:
    """What the machine's matrix units allow: if nothing but the products of the update took time."""
    flops = update_flops()
    rates = {"fp32": matrix_rate(torch.float32, device), "bf16": matrix_rate(torch.bfloat16, device)}
    return {
        "gflop_per_update": flops / 1e9,
        "matrix_gflops": {name: rate / 1e9 for name, rate in rates.items()},
        "env_steps_per_second": {name: rate / flops / UPDATES_PER_TRANSITION for name, rate in rates.items()},
    }


def draw(result: dict[str, Any], path: Path) -> None:
    """Bars of the speeds, game by game, with their spread, and the bounds of the machine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    games = result["games"]
    figure, axes = plt.subplots(1, len(games), figsize=(6 * len(games), 4.6), sharey=True, layout="constrained")
    for axis, (game, speeds) in zip([axes] if len(games) == 1 else axes, games.items(), strict=True):
        names = list(speeds)
        figures = [speeds[name]["env_steps_per_second"] for name in names]
        medians = [each["median"] for each in figures]
        below = [each["median"] - each["min"] for each in figures]
        above = [each["max"] - each["median"] for each in figures]
        colours = ["#9aa5b1" if name.startswith(("SB3", "CleanRL")) else "#2f6f9f" for name in names]
        axis.barh(names, medians, xerr=[below, above], color=colours, ecolor="#444444", capsize=2)
        for row, name in enumerate(names):
            ratio = speeds[name].get("ratio_to_sb3", {}).get("median")
            label = f" {medians[row]:.0f}" + (f"  ({ratio:.1f}x)" if ratio else "")
            axis.text(figures[row]["max"], row, label, va="center", fontsize=8)
        if axis is figure.axes[0]:
            axis.invert_yaxis()  # shared by the others
        axis.set_xlim(0, 1.25 * max(each["max"] for each in figures))
        axis.set_title(game)
        axis.set_xlabel("environment steps per second, learning")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=["PongNoFrameskip-v4", "BreakoutNoFrameskip-v4"])
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_000, help="environment steps per window")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cleanrl", type=Path, help="checkout of CleanRL as a further peer, see benchmarks/cleanrl.py")
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--figure", type=Path, help="picture of them")
    args = parser.parse_args()

    result = {
        **circumstances("stable-baselines3", "torch", "ale-py", "gymnasium"),
        "torch_threads": torch.get_num_threads(),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT"),
        "settings": {**SETTINGS, "replay_ratio": UPDATES_PER_TRANSITION},
        "bounds": bounds(args.device),
        "games": {game: measure(game, args) for game in args.envs},
    }
    write(result, args.out)
    if args.figure:
        draw(result, args.figure)


if __name__ == "__main__":
    main()
