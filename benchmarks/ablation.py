"""Switch each part of the family off, or another one on, and learn a small game from pixels with several seeds.

    python benchmarks/ablation.py --seeds 6 --runs runs.jsonl --out benchmarks/results/ablation.json
    python benchmarks/ablation.py --table benchmarks/results/ablation.json

The base is the profile `short`: quantiles, double, dueling, layer norm, centered images, 3-step returns, prioritized
replay. Each run adds a line to the file of --runs; those that are there already are not run again, so that the
benchmark can be stopped and continued. Scores are the mean return of all training episodes (speed of learning) and of
the last fifth (how far). Intervals: 95 %, bootstrap over seeds.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from report import circumstances, write
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecTransposeImage

from sb3_atari_dqn import ClassicDQN


class Balls(gym.Env):
    """
    Ten balls fall one after the other, each is worth 1 if caught and -1 if not.

    They are blown to a random side with probability 0.2 per step, and an action is repeated with probability 0.25, so
    that returns are random and catching needs looking ahead. Images are 36x36, the channel last.
    """

    cells, pixels, balls = 9, 4, 10
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.row = self.ball = 0
        self.left, self.paddle, self.last_action = self.balls, self.cells // 2, 1
        self._drop()
        return self._image(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        if self.np_random.random() < 0.25:
            action = self.last_action
        self.last_action = action
        self.paddle = int(np.clip(self.paddle + action - 1, 0, self.cells - 1))
        self.row += 1
        if self.np_random.random() < 0.2:
            self.ball = int(np.clip(self.ball + self.np_random.choice((-1, 1)), 0, self.cells - 1))
        reward = 0.0
        if self.row == self.cells - 1:
            reward = 1.0 if self.ball == self.paddle else -1.0
            self.left -= 1
            image = self._image()
            self._drop()
            return image, reward, self.left == 0, False, {}
        return self._image(), reward, False, False, {}

    def _drop(self) -> None:
        self.row, self.ball = 0, int(self.np_random.integers(self.cells))

    def _image(self) -> np.ndarray:
        board = np.zeros((self.cells, self.cells, 1), np.uint8)
        board[-1, self.paddle] = 128
        board[self.row, self.ball] = 255
        return board.repeat(self.pixels, axis=0).repeat(self.pixels, axis=1)


def base() -> dict[str, Any]:
    torso = {"normalization": "layer", "center_images": True, "hidden_size": 128}
    return dict(
        values="quantile", values_kwargs={"quantiles": 50}, bootstrap="double", n_steps=3, replay="prioritized",
        policy_kwargs={"head": "dueling", "features_extractor_kwargs": torso, "optimizer_kwargs": {"eps": 1.5e-4}},
        learning_rate=5e-4, learning_rate_steps=8000, learning_rate_final=1e-4, batch_size=32, buffer_size=20_000,
        learning_starts=500, target_update_interval=400, exploration_steps=2000, exploration_final_eps=0.01,
        replay_ratio=0.25, learner="fast", precision="bf16",
    )  # fmt: skip


def policy(**changes: Any) -> dict[str, Any]:
    return {"policy_kwargs": {**base()["policy_kwargs"], **changes}}


_NO_NORM = {"center_images": True, "hidden_size": 128}
_NO_CENTER = {"normalization": "layer", "hidden_size": 128}
_SUPPORT = {"atoms": 51, "v_min": -10, "v_max": 10}

#: Name in the table -> what differs from the base.
SWITCHES: dict[str, dict[str, Any]] = {
    "base (short profile)": {},
    "scalar values": {"values": "scalar", "values_kwargs": None},
    "categorical values": {"values": "categorical", "values_kwargs": _SUPPORT},
    "implicit quantiles": {"values": "implicit", "values_kwargs": {"predicted": 8, "targets": 8}},
    "greedy bootstrap": {"bootstrap": "greedy"},
    "MINTO": {"bootstrap": "minto"},
    "Munchausen": {"bootstrap": "munchausen"},
    "linear head": policy(head="linear"),
    "centered over actions and quantiles": policy(center="actions and outputs"),
    "noisy instead of epsilon": {**policy(noisy=True), "exploration": "none"},
    "noisy and epsilon": policy(noisy=True),
    "no layer norm": policy(features_extractor_kwargs=_NO_NORM),
    "images not centered": policy(features_extractor_kwargs=_NO_CENTER),
    "1-step returns": {"n_steps": 1},
    "uniform replay": {"replay": "uniform"},
    "soft target (tau 0.005)": {"target_update_interval": 4, "tau": 0.005},
    "constant learning rate": {"learning_rate_steps": None, "learning_rate_final": 0.0},
}


def learn(changes: dict[str, Any], seed: int, steps: int) -> dict[str, float]:
    """:return: scores of one run"""
    env = VecTransposeImage(VecFrameStack(make_vec_env(Balls, n_envs=4, seed=seed), 2))
    model = ClassicDQN("CnnPolicy", env, seed=seed, device="cpu", stats_window_size=10_000, **{**base(), **changes})
    began = time.perf_counter()
    model.learn(steps, log_interval=None)  # type: ignore[arg-type]
    returns = [episode["r"] for episode in model.ep_info_buffer or ()]
    last = returns[-max(len(returns) // 5, 1) :]
    return {"all": float(np.mean(returns)), "last": float(np.mean(last)), "seconds": time.perf_counter() - began}


def interval(scores: list[float]) -> list[float]:
    """:return: mean and its 95 % interval, percentiles of the means of resampled seeds"""
    means = np.random.default_rng(0).choice(scores, size=(10_000, len(scores))).mean(axis=1)
    return [float(np.mean(scores)), *(float(each) for each in np.percentile(means, [2.5, 97.5]))]


def table(result: dict[str, Any]) -> str:
    lines = ["| switch | all episodes | last fifth | s per run |", "| --- | --- | --- | --- |"]
    for name, row in result["switches"].items():
        cells = [f"{mean:.2f} ({low:.2f} to {high:.2f})" for mean, low, high in (row["all"], row["last"])]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['seconds']:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=12_000, help="environment steps per run")
    parser.add_argument("--only", nargs="+", choices=SWITCHES, default=list(SWITCHES), metavar="SWITCH")
    parser.add_argument("--runs", type=Path, default=Path("ablation_runs.jsonl"), help="one line per run")
    parser.add_argument("--out", help="file for the result, as JSON")
    parser.add_argument("--table", type=Path, metavar="RESULT", help="print a result as Markdown instead")
    args = parser.parse_args()
    if args.table:
        print(table(json.loads(args.table.read_text())))
        return
    torch.set_num_threads(1)
    done: dict[tuple[str, int, int], dict[str, float]] = {}
    for line in args.runs.read_text().splitlines() if args.runs.exists() else []:
        run = json.loads(line)
        done[run["switch"], run["seed"], run["steps"]] = run["scores"]
    for seed in range(args.seeds):  # seed by seed: an unfinished table compares equal numbers of seeds
        for name in args.only:
            if (name, seed, args.steps) in done:
                continue
            scores = done[name, seed, args.steps] = learn(SWITCHES[name], seed, args.steps)
            with args.runs.open("a") as file:
                file.write(json.dumps({"switch": name, "seed": seed, "steps": args.steps, "scores": scores}) + "\n")
            print(f"{name}, seed {seed}: {scores['all']:.2f}, last {scores['last']:.2f}, {scores['seconds']:.0f} s")
    switches: dict[str, dict[str, Any]] = {}
    for name in args.only:
        runs = [done[name, seed, args.steps] for seed in range(args.seeds)]
        switches[name] = {key: interval([run[key] for run in runs]) for key in ("all", "last")}
        switches[name]["seconds"] = float(np.median([run["seconds"] for run in runs]))
    about = circumstances("torch", "stable-baselines3")
    write({**about, "seeds": args.seeds, "steps": args.steps, "switches": switches}, args.out)


if __name__ == "__main__":
    main()
