"""Actors: what they cost, what they bring, and how far they would carry.

    python benchmarks/ray_actors.py

Measures in one run, on Pong: the learner's ingest from prepared blocks; training steps/s where the environments are
the bound (few updates), in this process, with one actor and with two, on all cores and on one core each; bytes per
step; how long the learner waits. From these it computes the number of actors that one learner can take, by its ingest
and by a network of 1 Gbit/s.
"""

import argparse
import os
import time
from typing import Any, cast

import numpy as np
from report import circumstances, write
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn import ActorVecEnv, DoubleDQN

GAME = "PongNoFrameskip-v4"
GIGABIT_BYTES = 1e9 / 8
BACKENDS: dict[str, dict[str, Any]] = {
    "in process": {"address": "in-process"},
    "1 actor": {"address": "local", "actors": 1},
    "2 actors": {"address": "local", "actors": 2},
    "1 actor on one core": {"address": "local", "actors": 1},
    "2 actors on one core each": {"address": "local", "actors": 2},
    "2 actors, free-running": {"address": "local", "actors": 2, "mode": "free-running"},
    "2 actors, compressed": {"address": "local", "actors": 2, "compress": True},
}


class Clock(BaseCallback):
    """Notes when a warm-up is over."""

    def __init__(self, warm_up: int, pins: bool) -> None:
        super().__init__()
        self._warm_up, self._pins, self.start, self.first = warm_up, pins, 0.0, 0

    def _on_training_start(self) -> None:
        """With pins, each actor stands for a node of one core."""
        actors = cast(Any, self.training_env)._rounds.actors
        for core, actor in enumerate(actors.processes() if self._pins else ()):
            for thread in os.listdir(f"/proc/{actor['pid']}/task"):
                os.sched_setaffinity(int(thread), {core})

    def _on_step(self) -> bool:
        if not self.start and self.num_timesteps >= self._warm_up:
            self.start, self.first = time.perf_counter(), self.num_timesteps
            self.training_env.statistics()  # type: ignore[attr-defined]
        return True


def model_in(env: Any, steps: int) -> DoubleDQN:
    """Few updates: the environments are the bound."""
    pace = dict(learning_starts=1, replay_ratio=0.002, exploration_fraction=0.0, exploration_final_eps=0.05)
    return DoubleDQN("CnnPolicy", env, buffer_size=2 * steps, n_steps=3, learner="fast", seed=0, **pace)  # type: ignore[arg-type]


def training(settings: dict[str, Any], n_envs: int, steps: int, pins: bool) -> dict[str, float]:
    env = ActorVecEnv(GAME, n_envs, 0, ray=settings)
    clock = Clock(steps // 4, pins)
    try:
        model_in(env, steps).learn(steps, callback=clock)
        seconds, learned = time.perf_counter() - clock.start, steps - clock.first
        waited = env.statistics()
    finally:
        env.close()
    found = {"steps_per_s": learned / seconds}
    if "actor_wait_s" in waited:
        found["max_staleness"] = waited["max_staleness"]
        found["learner_waits_share"] = waited["actor_wait_s"] / seconds
        found["bytes_per_step"] = waited["received_mb"] * 1e6 / learned
    return found


def ingest(n_envs: int, n_blocks: int) -> float:
    """:return: steps/s of the learner from blocks that are there already, without updates"""
    env = ActorVecEnv(GAME, n_envs, 0, ray={"address": "in-process", "blocks_ahead": n_blocks - 1})
    steps = n_blocks * n_envs * env.settings.block_steps
    model = model_in(env, steps)
    model.learning_starts = 10 * steps
    model.learn(n_envs)  # all blocks are ordered
    env.state_dict()  # waits for them
    done, rounds = model.num_timesteps, cast(Any, env._rounds)
    rounds._order = lambda behaviour: None
    start = time.perf_counter()
    model.learn(steps - done, reset_num_timesteps=False)
    speed = (steps - done) / (time.perf_counter() - start)
    env.close()
    return speed


def growth(ingested: float, by_actor: float, bytes_per_step: float) -> dict[str, Any]:
    """:return: on paper: steps/s of 1 to 64 actors, and what bounds them"""
    network = GIGABIT_BYTES / bytes_per_step
    rows = {}
    for actors in (1, 2, 4, 8, 16, 32, 64):
        bounds = {"actors": actors * by_actor, "learner's ingest": ingested, "1 Gbit/s": network}
        bound = min(bounds, key=lambda name: bounds[name])
        rows[str(actors)] = {"steps_per_s": round(bounds[bound]), "bound": bound}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps per training")
    parser.add_argument("--n-envs", type=int, default=32)
    parser.add_argument("--out", help="JSON file")
    arguments = parser.parse_args()
    result: dict[str, Any] = circumstances("ray", "torch", "numpy", "ale-py")
    result["load_before"] = os.getloadavg()[0]
    result["ingest_steps_per_s"] = ingest(arguments.n_envs, 8)
    result["training"] = {
        name: training(settings, arguments.n_envs, arguments.steps, "one core" in name)
        for name, settings in BACKENDS.items()
    }
    one = result["training"]["1 actor on one core"]
    result["growth_on_paper"] = growth(
        result["ingest_steps_per_s"], one["steps_per_s"], float(np.ceil(one["bytes_per_step"]))
    )
    write(result, arguments.out)


if __name__ == "__main__":
    main()
