"""Environment steps per second during training, ours and SB3's DQN: same hyperparameters, same game, one run.

    GOMP_SPINCOUNT=10000 python benchmarks/throughput.py --figure docs/images/throughput.png
    GOMP_SPINCOUNT=10000 python benchmarks/throughput.py --family --envs PongNoFrameskip-v4 --steps 400

Each contestant has its own process and is measured after ``learning_starts``, in alternating windows, so that
slowdowns of the machine affect all of them; while one runs, the others wait. One update per four transitions, batch
size 32. A last instrumented window breaks down the time per step.
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
import dopamine_peer
import numpy as np
import tianshou_peer
import torch
from contestants import CONTESTANTS, FAMILY, SETTINGS, UPDATES_PER_TRANSITION, Contestant, broken_down, serve, window
from peer_program import PeerProgram
from report import circumstances, spread, write
from torch.utils.flop_counter import FlopCounterMode

PEER = "SB3 dqn"
PEERS = ("SB3", "sb3-contrib", "CleanRL", "Tianshou", "Dopamine")


class Worker:
    """A contestant in its own process. The constructor returns after its warm-up or, with `wait=False`, at once."""

    def __init__(self, contestant: Contestant, game: str, device: str, wait: bool = True) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, contestant, game, device), daemon=True).start()
        theirs.close()  # so that recv() raises if the process ends
        if wait:
            self.wait()

    def wait(self) -> None:
        """Block until the warm-up is over."""
        assert self._pipe.recv() == "ready"

    def window(self, steps: int) -> dict[str, float]:
        return self.ask(window, steps)

    def breakdown(self, steps: int) -> dict[str, float]:
        return self.ask(broken_down, steps)

    def close(self) -> None:
        self._pipe.send(None)

    def ask(self, measurement: Callable[[Any, int], dict[str, Any]], steps: int) -> dict[str, Any]:
        """:param measurement: module-level function, called in the process with model and steps"""
        self._pipe.send((measurement, steps))
        return self._pipe.recv()


def peer_programs(game: str, args: argparse.Namespace) -> dict[str, PeerProgram]:
    """
    :return: those asked for, by name, not yet started
    :raises FileNotFoundError: if one is not installed
    """
    own, programs = (game, SETTINGS, UPDATES_PER_TRANSITION), {}
    if args.cleanrl:
        programs[cleanrl.DQN] = cleanrl.dqn(args.cleanrl, *own)
    if args.tianshou:
        programs |= {name: tianshou_peer.program(name, args.tianshou, *own) for name in tianshou_peer.SCRIPTS}
    if args.dopamine:
        programs |= {name: dopamine_peer.program(name, args.dopamine, *own) for name in dopamine_peer.AGENTS}
    return programs


def open_workers(game: str, args: argparse.Namespace) -> dict[str, Any]:
    """:return: contestants by name, other projects last"""
    known = {**CONTESTANTS, **FAMILY}
    programs = peer_programs(game, args)
    workers: dict[str, Any] = {name: Worker(known[name], game, args.device) for name in args.contestants}
    return workers | {name: program.start() for name, program in programs.items()}


def measure(game: str, args: argparse.Namespace) -> dict[str, Any]:
    """:return: by contestant: speeds with their spread, ratio to SB3 in paired windows, memory, breakdown"""
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
    """Upper bounds of this machine: speeds if only the matrix products of the updates took time."""
    flops = update_flops()
    rates = {"fp32": matrix_rate(torch.float32, device), "bf16": matrix_rate(torch.bfloat16, device)}
    return {
        "gflop_per_update": flops / 1e9,
        "matrix_gflops": {name: rate / 1e9 for name, rate in rates.items()},
        "env_steps_per_second": {name: rate / flops / UPDATES_PER_TRANSITION for name, rate in rates.items()},
    }


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw a bar chart of the speeds with their spread, one panel per game."""
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
        colours = ["#9aa5b1" if name.startswith(PEERS) else "#2f6f9f" for name in names]
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
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=[*CONTESTANTS, *FAMILY])
    parser.add_argument(
        "--family", action="store_true", help="the algorithms with a replay memory, instead of contestants"
    )
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_000, help="environment steps per window")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cleanrl", type=Path, help="checkout of CleanRL as a further peer, see benchmarks/cleanrl.py")
    parser.add_argument("--tianshou", type=Path, help="checkout of Tianshou, see benchmarks/tianshou_peer.py")
    parser.add_argument("--dopamine", type=Path, help="folder with Dopamine, see benchmarks/dopamine_peer.py")
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--figure", type=Path, help="picture of them")
    args = parser.parse_args()
    if args.family:
        args.contestants = list(FAMILY)
    try:
        peer_programs(args.envs[0], args)
    except FileNotFoundError as error:
        parser.error(str(error))

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
