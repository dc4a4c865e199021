"""Environment steps per second of PQN beside SB3's PPO and DQN while they learn: one game, one run.

    GOMP_SPINCOUNT=10000 python benchmarks/pqn.py --out benchmarks/results/pqn.json

Each contestant has its own process, and their windows alternate. All have the Nature network; PQN and PPO have the
number of updates of their papers' settings, DQN one per four transitions; `--cleanrl` adds CleanRL's PQN with our
settings. The bounds: the environment alone, and the
matrix products of acting and learning alone. A last instrumented window says what PQN's main thread does.
"""

import argparse
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ale_py
import cleanrl
import gymnasium as gym
import numpy as np
import torch
from contestants import CONTESTANTS, Stopwatch
from report import circumstances, spread, write
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack
from throughput import Worker, matrix_rate, update_flops

from sb3_atari_dqn import PQN
from sb3_atari_dqn.algorithms.growing_rollout import GrowingRollout
from sb3_atari_dqn.atari import NativeAtariVecEnv

#: Those of the paper; epsilon is constant, so that all windows are alike.
SETTINGS: dict[str, Any] = dict(n_steps=32, batch_size=128, n_epochs=2, learning_rate=2.5e-4, learner="fast")
SETTINGS |= dict(exploration_initial_eps=0.01, exploration_final_eps=0.01)
#: SB3's PPO as the zoo trains it on Atari games.
PPO_SETTINGS: dict[str, Any] = dict(n_steps=128, batch_size=256, n_epochs=4, learning_rate=2.5e-4, ent_coef=0.01)


@dataclass(frozen=True)
class Parallel:
    """
    PQN with many native games on one thread of torch's own, or PPO as it is.

    :param n_envs: number of games
    :param rollouts: per window
    :param options: further arguments of the constructor
    """

    n_envs: int
    rollouts: int
    ppo: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def warm_up_steps(self) -> int:
        """Two rollouts: with overlap the first one has no updates."""
        return 2 * self._rollout

    @property
    def window_steps(self) -> int:
        """Environment steps of a window"""
        return self.rollouts * self._rollout

    @property
    def _rollout(self) -> int:
        return self.n_envs * (PPO_SETTINGS if self.ppo else {**SETTINGS, **self.options})["n_steps"]

    def build(self, game: str, device: str) -> Any:
        gym.register_envs(ale_py)
        if self.ppo:
            env = make_vec_env(game, self.n_envs, seed=0, wrapper_class=AtariWrapper)
            return PPO("CnnPolicy", VecFrameStack(env, 4), seed=0, device=device, **PPO_SETTINGS)
        torch.set_num_threads(1)
        native = NativeAtariVecEnv(game, self.n_envs, seed=0)
        return PQN("CnnPolicy", native, seed=0, device=device, **{**SETTINGS, **self.options})


PARALLEL = {
    "dqn_pqn, bf16, overlap": Parallel(128, 2, options={"precision": "bf16", "overlap": True}),
    "dqn_pqn, bf16": Parallel(128, 2, options={"precision": "bf16"}),
    "dqn_pqn, fp32, overlap": Parallel(128, 1, options={"precision": "fp32", "overlap": True}),
    "dqn_pqn, quantile, bf16, overlap": Parallel(
        128, 2, options={"precision": "bf16", "overlap": True, "values": "quantile"}
    ),
    "SB3 ppo": Parallel(8, 1, ppo=True),
}
PEER, DQN_STEPS = "SB3 dqn", 400
MAIN = "dqn_pqn, bf16, overlap"


def broken_down(model: PQN, steps: int) -> dict[str, float]:
    """:return: microseconds per environment step in each part of the main thread; the model is then instrumented"""
    watch, learner, env, before = Stopwatch(), model._get_learner(), model.env, model.num_timesteps
    watch.time(env, "step_async", "games (waited for)")
    watch.time(env, "step_wait", "games (waited for)")
    watch.time(learner, "greedy_choice", "acting")
    watch.time(learner, "update", "updates")
    watch.time(model.rollout_buffer, "minibatch", "minibatches")
    watch.time(model.rollout_buffer, "add", "storing")
    watch.time(GrowingRollout, "targets", "lambda-returns")
    model.learn(steps, reset_num_timesteps=False, log_interval=None)
    watch._switch()
    return {name: 1e6 * seconds / (model.num_timesteps - before) for name, seconds in watch.seconds.items()}


def environment_alone(game: str, n_envs: int, vector_steps: int = 60) -> float:
    """:return: steps per second with random actions"""
    env, rng = NativeAtariVecEnv(game, n_envs, seed=0), np.random.default_rng(0)
    env.reset()
    actions = [rng.integers(env.action_space.n, size=n_envs) for _ in range(vector_steps)]  # type: ignore[attr-defined]
    begin = time.perf_counter()
    for each in actions:
        env.step(each)
    speed = vector_steps * n_envs / (time.perf_counter() - begin)
    env.close()
    return speed


def matrix_bound() -> float:
    """:return: steps per second if only the matrix products took time, in bf16, on all threads"""
    of_forward = update_flops() / 32 / 4  # two forward passes and a backward one, which counts twice
    return matrix_rate(torch.bfloat16, "cpu") / of_forward / (1 + 3 * SETTINGS["n_epochs"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(PARALLEL), default=list(PARALLEL))
    parser.add_argument("--cleanrl", type=Path, help="checkout of CleanRL as a further peer, see benchmarks/cleanrl.py")
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    game = args.env.replace("NoFrameskip-v4", "-v5")  # its name in envpool
    try:
        peer = cleanrl.pqn(args.cleanrl, game, 128, SETTINGS) if args.cleanrl else None
    except FileNotFoundError as error:
        parser.error(str(error))
    gym.register_envs(ale_py)
    bounds = {"environment": environment_alone(args.env, 128), "matrix products": matrix_bound()}
    contestants: dict[str, Any] = {PEER: CONTESTANTS[PEER], **{name: PARALLEL[name] for name in args.only}}
    workers: dict[str, Any] = {name: Worker(contestant, args.env, "cpu") for name, contestant in contestants.items()}
    steps = {name: getattr(each, "window_steps", DQN_STEPS) for name, each in contestants.items()}
    if peer is not None:
        workers[cleanrl.PQN] = peer.start()
        steps[cleanrl.PQN] = 128 * SETTINGS["n_steps"]
    rounds = [{name: worker.window(steps[name]) for name, worker in workers.items()} for _ in range(args.windows)]
    result: dict[str, Any] = {}
    for name in workers:
        mine = [each[name] for each in rounds]
        speeds = [each["env_steps_per_second"] for each in mine]
        ratios = [each[name]["env_steps_per_second"] / each[PEER]["env_steps_per_second"] for each in rounds]
        result[name] = {"env_steps_per_second": spread(speeds), "ratio_to_sb3_dqn": spread(ratios)}
        result[name]["peak_memory_mb"] = mine[-1]["peak_memory_mb"]
    if MAIN in workers:
        result[MAIN]["microseconds_per_step"] = workers[MAIN].ask(broken_down, steps[MAIN])
    for worker in workers.values():
        worker.close()
    settings = {"PQN": {name: str(value) for name, value in SETTINGS.items()}, "PPO": PPO_SETTINGS}
    surroundings = circumstances("stable-baselines3", "torch", "ale-py")
    spin = os.environ.get("GOMP_SPINCOUNT")
    write({**surroundings, "GOMP_SPINCOUNT": spin, "settings": settings, "bounds": bounds, "speeds": result}, args.out)


if __name__ == "__main__":
    main()
