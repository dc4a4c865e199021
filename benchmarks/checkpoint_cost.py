"""What checkpoints cost a training: pieces with and without them take turns in one run.

    python benchmarks/checkpoint_cost.py --out benchmarks/results/checkpoint_cost.json

The shipped Atari settings (dueling, 8 native games, prioritized 3-step replay, overlap, fast learner), with a replay
memory of half a million; each piece with checkpoints writes `--checkpoints` of them.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from report import circumstances, spread, write

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.atari import NativeAtariVecEnv
from sb3_atari_dqn.callbacks import SaveCheckpoints
from sb3_atari_dqn.checkpoints.frequency import Frequency

PERIOD = 300  # seconds between two checkpoints, by default


class Pieces(SaveCheckpoints):
    """
    The first two pieces, with the first checkpoint, are not counted.

    :param steps: environment steps of a piece
    :param checkpoints: in every second one
    """

    def __init__(self, steps: int, checkpoints: int, folder: Path) -> None:
        super().__init__(steps // checkpoints, folder=folder)
        self.often, self.steps = self.frequency, steps
        self.seconds: dict[str, list[float]] = {"with": [], "without": []}
        self.begun, self.number = time.perf_counter(), 0

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= (self.number + 1) * self.steps:
            now = time.perf_counter()
            if self.number >= 2:
                self.seconds["without" if self.number % 2 else "with"].append(now - self.begun)
            self.begun, self.number = now, self.number + 1
            self.frequency = Frequency(steps=10**9) if self.number % 2 else self.often
        super()._on_rollout_start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--steps", type=int, default=4000, help="environment steps of a piece")
    parser.add_argument("--pieces", type=int, default=5, help="of each kind")
    parser.add_argument("--checkpoints", type=int, default=4, help="in a piece")
    parser.add_argument("--storage", default="ram", choices=["ram", "compressed"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        settings: dict[str, Any] = {
            **{"buffer_size": 500_000, "learning_starts": 1000, "replay": "prioritized", "n_steps": 3, "seed": 1},
            **{"replay_ratio": 0.25, "overlap": True, "learner": "fast", "target_update_interval": 2000},
            "replay_buffer_kwargs": {"frame_storage": args.storage},
        }
        model = DuelingDQN("CnnPolicy", NativeAtariVecEnv(args.env, 8, seed=1), **settings)
        watch = Pieces(args.steps, args.checkpoints, Path(name))
        model.learn((2 + 2 * args.pieces) * args.steps + 8, callback=watch)
    seconds = watch.seconds
    extra = (statistics.median(seconds["with"]) - statistics.median(seconds["without"])) / args.checkpoints
    figures = {name: spread(values) for name, values in seconds.items()}
    result = {"figures": figures, "seconds_per_checkpoint": extra, "share_at_5min": extra / (PERIOD + extra)}
    write({**circumstances("torch", "numpy"), "threads": args.threads, **result}, args.out)


if __name__ == "__main__":
    main()
