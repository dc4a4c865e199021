"""Parts 5 to 7: time to a mean score of 18 on Pong, with `-conf large_batch` at the fastest size of the sweep, with
`-conf short`, and with PQN as shipped.

The clock starts when training starts; the time to load the games is reported separately. Scores are raw scores of full
training episodes, at epsilon 0.01 once exploration has decayed.
"""

import argparse
import json
import time
from collections import deque
from pathlib import Path
from typing import Any

import ale_py
import gymnasium as gym
import yaml
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule

from gpu.results import Report, arguments
from gpu.setup import ROOT
from gpu.speed import GAME, SPEED
from sb3_atari_dqn import NativeAtariVecEnv
from sb3_atari_dqn.catalogue import ALGORITHMS

GOAL = 18.0
PROFILES = ROOT / "hyperparams/profiles"
LARGE_BATCH = "large_batch"
ON_POLICY, ON_POLICY_SETTINGS = "dqn_pqn", ROOT / "hyperparams/dqn_pqn.yml"
TOTAL_STEPS = 3_000_000  # over which the learning rate decays
SMALL = {
    **{"n_envs": 2, "batch_size": 8, "replay_ratio": 0.25, "precision": "fp32"},
    **{"buffer_size": 2_000, "learning_starts": 160},
}
SMALL_ON_POLICY = {"n_envs": 2, "n_steps": 8, "batch_size": 8, "precision": "fp32"}


class Clock(BaseCallback):
    """
    Stops training at the goal or at the time limit; writes the learning curve during training.

    :param report: receives the learning curve
    :param reserve_s: seconds to keep in reserve
    """

    def __init__(self, report: Report, reserve_s: float) -> None:
        super().__init__()
        self._report, self._reserve_s = report, reserve_s
        self._scores: deque[float] = deque(maxlen=100)
        self._reached: dict[str, Any] = {"last_10": None, "last_100": None}
        self._curve: list[dict[str, float]] = []
        self._games = 0

    def _on_training_start(self) -> None:
        self._began = self._written = time.monotonic()

    def _on_step(self) -> bool:
        new = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self._games += len(new)
        self._scores.extend(new)
        now = time.monotonic()
        if new:
            self._look(now - self._began)
        over = self._reached["last_100"] is not None or self._report.seconds_left() < self._reserve_s
        if over or now - self._written > 2:
            self._written = now
            self._put(now - self._began)
        return not over

    def _look(self, seconds: float) -> None:
        for name, count in (("last_10", 10), ("last_100", 100)):
            if self._reached[name] is None and self._games >= count and self._mean(count) >= GOAL:
                self._reached[name] = {"seconds": round(seconds, 1), "env_steps": self.num_timesteps}

    def _put(self, seconds: float) -> None:
        if self._scores:
            point = {"seconds": round(seconds, 1), "env_steps": self.num_timesteps, "mean_of_last_100": self._mean(100)}
            self._curve.append(point)
        self._report.put(
            trained_seconds=round(seconds, 1),
            env_steps=self.num_timesteps,
            env_steps_per_second=self.num_timesteps / max(seconds, 1e-9),
            games=self._games,
            reached_18=self._reached,
            best_mean_of_last_100=max((point["mean_of_last_100"] for point in self._curve), default=None),
            curve=self._curve,
        )

    def _mean(self, count: int) -> float:
        last = list(self._scores)[-count:]
        return round(sum(last) / len(last), 2)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--algo", choices=list(ALGORITHMS), default="dqn_dueling")
    parser.add_argument("--profile", choices=[LARGE_BATCH, "short"], default=LARGE_BATCH, help="not for PQN")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    report = Report(args.out.stem.removeprefix("gpu_"), args)
    settings = configuration(args)
    n_envs = settings.pop("n_envs")
    gym.register_envs(ale_py)
    began = time.monotonic()
    env = NativeAtariVecEnv(GAME, n_envs, seed=args.seed)
    loading_s = round(time.monotonic() - began, 1)
    algorithm = ALGORITHMS[args.algo].import_class()
    report.put(algo=args.algo, n_envs=n_envs, settings=_readable(settings), loading_games_seconds=loading_s)
    model = algorithm("CnnPolicy", env, seed=args.seed, device=args.device, **settings)
    model.learn(200 if args.dry_run else TOTAL_STEPS, callback=Clock(report, reserve_s=1), log_interval=None)
    report.done(updates=model._n_updates)


def configuration(args: argparse.Namespace) -> dict[str, Any]:
    """:return: arguments of the algorithm and number of environments, from the profile and the sweep"""
    is_on_policy = args.algo == ON_POLICY
    path = ON_POLICY_SETTINGS if is_on_policy else PROFILES / f"{args.profile}.yml"
    settings = yaml.safe_load(path.read_text())["atari"]
    for of_the_zoo in ("env_wrapper", "frame_stack", "policy", "n_timesteps"):
        del settings[of_the_zoo]
    if is_on_policy:
        return {**settings, **SMALL_ON_POLICY} if args.dry_run else {**settings, "precision": "bf16"}
    if isinstance(rate := settings["learning_rate"], str):
        settings["learning_rate"] = LinearSchedule(float(rate.removeprefix("lin_")), 0.0, 1.0)
    settings["replay_buffer_kwargs"] = {"frame_storage": "device"}
    if args.dry_run:
        return {**settings, **SMALL}
    fastest = quickest(args.out.with_name("gpu_sweep.json")) if args.profile == LARGE_BATCH else {"precision": "bf16"}
    return {**settings, **fastest}


def quickest(sweep: Path) -> dict[str, Any]:
    """:return: fastest sizes at the profile's samples per step, batch size at most 512; {} without a sweep"""
    found = json.loads(sweep.read_text()) if sweep.exists() else {}
    measured = found["rows"] if found.get("on_gpu") and not found["dry_run"] else []
    rows = [row for row in measured if row["samples_per_step"] == 8 and 256 <= row["batch_size"] <= 512]
    if not rows:
        return {}
    best = max(rows, key=lambda row: row[SPEED])
    sizes = {name: best[name] for name in ("n_envs", "batch_size")}
    eps = 0.005 / best["batch_size"]  # as in the profile
    optimizer = {"policy_kwargs": {"optimizer_kwargs": {"eps": eps}}}
    return {**sizes, "replay_ratio": best["samples_per_step"] / best["batch_size"], **optimizer}


def _readable(settings: dict[str, Any]) -> dict[str, Any]:
    rate = settings["learning_rate"]
    if not isinstance(rate, LinearSchedule):
        return settings
    return {**settings, "learning_rate": f"lin_{rate(1.0):g} over {TOTAL_STEPS:,} steps"}


if __name__ == "__main__":
    main()
