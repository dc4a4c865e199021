"""Environment steps per second while learning, ours beside SB3's DQN: same settings, same game, one run.

    python benchmarks/throughput.py

Every model plays real Pong past ``learning_starts`` and is then measured in windows that take turns, so that a
machine that slows down slows all of them. One gradient step per four transitions (``train_freq``), batch 32.
"""

import argparse
import time
from typing import Any

import ale_py
import gymnasium as gym
import torch as th
from report import circumstances, spread, write
from stable_baselines3 import DQN
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from sb3_atari_dqn import ClassicDQN, DoubleDQN, DuelingDQN, NatureAtari

gym.register_envs(ale_py)

MODELS: dict[str, tuple[type[DQN], type[gym.Wrapper]]] = {
    "sb3 dqn": (DQN, AtariWrapper),
    "dqn_classic": (ClassicDQN, NatureAtari),
    "dqn_double": (DoubleDQN, NatureAtari),
    "dqn_dueling": (DuelingDQN, NatureAtari),
}
SETTINGS: dict[str, Any] = {
    "buffer_size": 20_000,
    "learning_rate": 1e-4,
    "batch_size": 32,
    "learning_starts": 500,
    "target_update_interval": 1_000,
    "train_freq": 4,
    "gradient_steps": 1,
    # constant, so that every window acts by the network equally often
    "exploration_initial_eps": 0.05,
    "exploration_final_eps": 0.05,
}


def make_env(game: str, wrapper: type[gym.Wrapper]) -> VecEnv:
    return VecFrameStack(make_vec_env(game, n_envs=1, seed=0, wrapper_class=wrapper), n_stack=4)


def window(model: DQN, steps: int) -> float:
    """:return: environment steps per second over one window"""
    before = model.num_timesteps
    begin = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
    return (model.num_timesteps - before) / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1_000, help="environment steps per window")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()

    models = {}
    for name in args.models:
        algorithm, wrapper = MODELS[name]
        models[name] = algorithm("CnnPolicy", make_env(args.env, wrapper), seed=0, device=args.device, **SETTINGS)
        window(models[name], 2 * SETTINGS["learning_starts"])  # fill, and warm up the first updates
    speeds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(args.windows):
        for name, model in models.items():
            speeds[name].append(window(model, args.steps))

    figures = {name: spread(values) for name, values in speeds.items()}
    facts = circumstances("stable-baselines3", "torch", "ale-py", "gymnasium")
    write(
        {
            **facts,
            "env": args.env,
            "torch_threads": th.get_num_threads(),
            "settings": SETTINGS,
            "gradient_steps_per_transition": SETTINGS["gradient_steps"] / SETTINGS["train_freq"],
            "env_steps_per_second": figures,
        },
        args.out,
    )


if __name__ == "__main__":
    main()
