"""The cost of the checks for NaN and infinity: microseconds per check, and their share of the training time.

    GOMP_SPINCOUNT=10000 python benchmarks/finite_checks.py

Trains dqn_dueling on native Pong (8 environments, fast learner, one update per 4 transitions, as shipped) and on
CartPole with 8 environments, whose float observations have to be checked. Times every call of the checks during
training, and the training as a whole.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest import mock

from report import circumstances, spread, write
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_dqn import DuelingDQN, NativeAtariVecEnv, finite
from sb3_atari_dqn.algorithms import replay_memory
from sb3_atari_dqn.learners import fast

PACE: dict[str, Any] = dict(replay_ratio=0.25, overlap=True, learner="fast")


def pong() -> DuelingDQN:
    return DuelingDQN("CnnPolicy", NativeAtariVecEnv("PongNoFrameskip-v4", 8), **SIZES, **PACE)


def cartpole() -> DuelingDQN:
    return DuelingDQN("MlpPolicy", make_vec_env("CartPole-v1", 8), **SIZES, **PACE)


SIZES: dict[str, Any] = dict(buffer_size=20_000, learning_starts=500, device="cpu", seed=0)
GAMES: dict[str, Callable[[], DuelingDQN]] = {"Pong, native": pong, "CartPole": cartpole}


class Stopwatch:
    """Accumulates the time of function calls, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def watching(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watched(*args: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds[name] += time.perf_counter() - started
                self.calls[name] += 1

        return watched


def measure(make: Callable[[], DuelingDQN], env_steps: int) -> dict[str, Any]:
    """:return: share of the training time, and microseconds per call of each check"""
    model, watch = make(), Stopwatch()
    model.learn(1_000)  # builds the learner and fills part of the replay buffer
    with (
        mock.patch.object(fast, "check_update", watch.watching(fast.check_update, "update")),
        mock.patch.object(finite, "check_values", watch.watching(finite.check_values, "acting")),
        mock.patch.object(replay_memory, "extent", watch.watching(replay_memory.extent, "largest reward")),
        mock.patch.object(
            replay_memory, "check_transition", watch.watching(replay_memory.check_transition, "vector step")
        ),
    ):
        started = time.perf_counter()
        model.learn(env_steps, reset_num_timesteps=False)
        whole = time.perf_counter() - started
    model.env.close()  # type: ignore[union-attr]
    return {
        "share": sum(watch.seconds.values()) / whole,
        "microseconds": {name: 1e6 * watch.seconds[name] / watch.calls[name] for name in watch.seconds},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4_000, help="environment steps of a window")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--out", help="write the figures to this file, too")
    args = parser.parse_args()
    figures = {}
    for name, make in GAMES.items():
        windows = [measure(make, args.steps) for _ in range(args.windows)]
        checks = windows[0]["microseconds"]
        figures[name] = {
            "percent_of_training": spread([100 * window["share"] for window in windows]),
            "microseconds": {check: spread([each["microseconds"][check] for each in windows]) for check in checks},
        }
    write({**circumstances("torch", "numpy"), "figures": figures}, args.out)


if __name__ == "__main__":
    main()
