"""Memory of whole training processes on Pong, ours and SB3's.

    python benchmarks/memory.py

Each training runs in its own process: random actions until 200,000 transitions are stored, then learning. Reports
resident memory before the replay buffer is allocated and during training.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import psutil
from report import circumstances, write
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import DuelingDQN, NativeAtariVecEnv

LEARNED_STEPS = 2_000
GAME = "PongNoFrameskip-v4"


def ours(slots: int, stored: int, frame_storage: str) -> BaseAlgorithm:
    return DuelingDQN(
        "CnnPolicy",
        NativeAtariVecEnv(GAME, 8, seed=0),
        buffer_size=slots,
        learning_starts=stored,
        replay="prioritized",
        replay_buffer_kwargs={"frame_storage": frame_storage},
        n_steps=3,
        replay_ratio=0.25,
        overlap=True,
        learner="fast",
        seed=0,
    )


def sb3(slots: int, stored: int) -> BaseAlgorithm:
    env = VecFrameStack(make_atari_env(GAME, 8, seed=0), n_stack=4)
    pace: dict[str, Any] = dict(train_freq=1, gradient_steps=2)
    return DQN("CnnPolicy", env, buffer_size=slots, learning_starts=stored, seed=0, **pace)


TRAININGS = {
    "dqn_dueling, prioritized, 1,000,000 slots": lambda stored: ours(1_000_000, stored, "ram"),
    "dqn_dueling, prioritized, 1,000,000 slots, compressed": lambda stored: ours(1_000_000, stored, "compressed"),
    "SB3 dqn, 200,000 slots": lambda stored: sb3(200_000, stored),
    "SB3 dqn, 1,000,000 slots": lambda stored: sb3(1_000_000, stored),
}


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


def measure(name: str, stored: int) -> dict[str, Any]:
    """:return: memory of this process, which must be a fresh one"""
    before = resident_mb()
    try:
        model = TRAININGS[name](stored)
    except MemoryError as error:
        return {"fails_with": str(error)}
    model.learn(stored + LEARNED_STEPS, log_interval=None)  # type: ignore[arg-type]
    return {
        "transitions_stored": model.replay_buffer.size() * model.n_envs,  # type: ignore[attr-defined]
        "updates": model._n_updates,
        "resident_mb_with_everything_imported": round(before),
        "resident_mb_while_learning": round(resident_mb()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, default=200_000, help="transitions before learning starts")
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--only", choices=list(TRAININGS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.only, args.stored)))
        return
    result = {}
    for name in TRAININGS:
        command = [sys.executable, __file__, "--only", name, "--stored", str(args.stored)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        last = answer.stdout.splitlines()[-1] if answer.stdout else ""
        result[name] = json.loads(last) if answer.returncode == 0 else {"fails_with": f"exit {answer.returncode}"}
    facts = circumstances("stable-baselines3", "torch", "ale-py")
    write({**facts, "ram_mb": round(psutil.virtual_memory().total / 1e6), "trainings": result}, args.out)


if __name__ == "__main__":
    main()
