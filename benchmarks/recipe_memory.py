"""Memory of a training process of a recipe with a full replay buffer.

    python benchmarks/recipe_memory.py --out benchmarks/results/recipe_memory.json

Records 20,000 random steps in the recipe's environment, adds them to the replay buffer repeatedly until it is full, and
trains for 1,000 more steps. Reports resident memory.
"""

import argparse
import sys
import zlib
from typing import Any, NamedTuple

import numpy as np
import psutil
from recipe_models import recipe_model
from report import circumstances, write
from tqdm import tqdm

from sb3_atari_dqn.recipes import NAMES, Recipe, find

LEARNED_STEPS = 1_000


class Step(NamedTuple):
    """One step; stacks are compressed, so that the recording itself takes little memory."""

    stack: bytes
    action: int
    next_stack: bytes
    reward: float
    done: bool


def record(model: Any, n_steps: int) -> list[Step]:
    """:return: steps of a random policy"""
    steps = []
    env, rng = model.env, np.random.default_rng(0)
    stack = env.reset()
    for _ in tqdm(range(n_steps), desc="playing", unit="step"):
        action = int(rng.integers(model.action_space.n))
        following, rewards, dones, infos = env.step(np.array([action]))
        reached = infos[0]["terminal_observation"] if dones[0] else following[0]
        packed = (zlib.compress(np.ascontiguousarray(picture).tobytes(), 1) for picture in (stack[0], reached))
        steps.append(Step(next(packed), action, next(packed), float(rewards[0]), bool(dones[0])))
        stack = following
    return steps


def fill(model: Any, steps: list[Step]) -> None:
    """Add the steps repeatedly, until the ring buffer has wrapped."""
    buffer = model.replay_buffer
    shape = (1, *model.observation_space.shape)

    def unpacked(packed: bytes) -> np.ndarray:
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)

    for i in tqdm(range(buffer.buffer_size + len(steps) // 2), desc="filling", unit="step"):
        step = steps[i % len(steps)]
        buffer.add(
            unpacked(step.stack),
            unpacked(step.next_stack),
            np.array([step.action]),
            np.array([step.reward]),
            np.array([step.done]),
            [{}],
        )


def measure(recipe: Recipe, played: int) -> dict[str, Any]:
    """:param played: number of recorded steps"""
    model = recipe_model(recipe)
    steps = record(model, played)
    before = resident_mb()
    fill(model, steps)
    filled = resident_mb()
    model.learning_starts = 0
    model.learn(LEARNED_STEPS, log_interval=None)
    assert model.replay_buffer.full
    return {
        "transitions_stored": model.replay_buffer.buffer_size,
        "steps_played": played,
        "updates": model._n_updates,
        "resident_mb_before_the_memory_is_filled": before,
        "resident_mb_filled": filled,
        "resident_mb_while_learning": resident_mb(),
        "peak_resident_mb": peak_mb(),
    }


def resident_mb() -> int:
    return round(psutil.Process().memory_info().rss / 1e6)


def peak_mb() -> int | None:
    """:return: None on platforms other than Linux"""
    if sys.platform != "linux":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=NAMES, default="pong_elu")
    parser.add_argument("--played", type=int, default=20_000, help="steps of real play that fill the memory")
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    result = measure(find(args.recipe), args.played)
    write({**circumstances("stable-baselines3", "torch", "ale-py"), "recipe": args.recipe, **result}, args.out)


if __name__ == "__main__":
    main()
