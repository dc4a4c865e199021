"""Frames of a real game, recorded once and played again as often as a measurement needs them.

python benchmarks/recording.py --env PongNoFrameskip-v4 --steps 20000 --model MODEL.zip --algo dqn_dueling FILE.npz
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import NatureAtari
from sb3_atari_dqn.catalogue import ALGORITHMS

N_STACK = 4
PLAYING_EPSILON = 0.01


def randomly(env: Any) -> Callable[[np.ndarray], np.ndarray]:
    generator = np.random.default_rng(0)
    return lambda observation: generator.integers(env.action_space.n, size=1)


def playing(model_path: Path, algorithm: str) -> Callable[[np.ndarray], np.ndarray]:
    """:return: a saved model of ours, which explores a little"""
    model = ALGORITHMS[algorithm].import_class().load(model_path, device="cpu")
    model.exploration_rate = PLAYING_EPSILON
    return lambda observation: model.predict(observation)[0]


def record(game: str, n_steps: int, path: Path, act: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
    """
    Frames, and where an episode ended.

    :param act: chooses actions; None: at random
    """
    gym.register_envs(ale_py)
    env: Any = VecFrameStack(make_vec_env(game, n_envs=1, seed=0, wrapper_class=NatureAtari), N_STACK)
    act = act or randomly(env)
    observation = env.reset()
    frames, ends = [], []
    for _ in range(n_steps):
        frames.append(observation[0, :, :, -1].copy())
        observation, _, dones, _ = env.step(act(observation))
        ends.append(dones[0])
    np.savez(path, frames=np.stack(frames), ends=np.array(ends), n_actions=env.action_space.n)


def stream(frames: np.ndarray, ends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """:return: observation, next observation and end, as VecFrameStack and VecTransposeImage lay them in memory"""
    stack, place = np.zeros((1, 84, 84, N_STACK), np.uint8), 0
    stack[..., -1] = frames[0]
    while True:
        over, place = ends[place], (place + 1) % len(frames)
        following = np.roll(stack, -1, axis=-1)
        following[..., -1] = frames[place]
        yield stack.transpose(0, 3, 1, 2), following.transpose(0, 3, 1, 2), np.array([over])
        stack = following
        if over:
            stack = np.zeros_like(following)
            stack[..., -1] = frames[place]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="to write")
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--model", type=Path, help=f"plays with epsilon {PLAYING_EPSILON}; without one: random play")
    parser.add_argument("--algo", default="dqn_dueling", choices=list(ALGORITHMS), help="of the model")
    args = parser.parse_args()
    record(args.env, args.steps, args.file, playing(args.model, args.algo) if args.model else None)


if __name__ == "__main__":
    main()
