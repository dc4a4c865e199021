"""Part 7: milliseconds of one update of dqn_dueling: eager, recorded, and recorded after torch.compile's max-autotune.

They take turns, one update at a time. The GPU is waited for after each: what the host could do meanwhile is not in it.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from gpu.results import Report, arguments
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.update import LearningRule
from sb3_atari_dqn.objectives.bootstrap import Double
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.policies import CnnPolicy
from sb3_atari_dqn.replay.prioritized import PrioritizedSamples

IMAGES, ACTIONS = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6)
RULE = LearningRule(Objective(bootstrap=Double()), max_grad_norm=10)
Update = Callable[[], Any]


def main() -> None:
    args = arguments(__doc__).parse_args()
    report = Report("update", args)
    sizes = (8,) if args.dry_run else (512, 32, 1024)
    rows: list[dict[str, Any]] = []
    for size in sizes:
        for name, update in candidates(size, args.device, args.dry_run).items():
            needed_s = 0 if args.dry_run else 30 if "compile" in name else 5
            if rows and report.seconds_left() < needed_s:
                continue
            rows.append({"batch_size": size, "update": name, **measured(update, args)})
            report.put(rows=rows)
    report.done(rows=rows)


def candidates(size: int, device: str, dry_run: bool) -> dict[str, Update]:
    """:return: updates by name; what is compiled compiles at its first call"""
    recorded = device == "cuda"
    updates = {
        "eager": of_learner(size, device, record=False),
        "recorded": of_learner(size, device, record=recorded),
        "torch.compile, recorded": of_learner(
            size, device, record=recorded, backend="eager" if dry_run else "inductor"
        ),
    }
    return updates if recorded else {name: update for name, update in updates.items() if name != "recorded"}


def of_learner(size: int, device: str, record: bool, backend: str | None = None) -> Update:
    torch.manual_seed(0)
    policy = CnnPolicy(IMAGES, ACTIONS, lambda _: 1e-4, head="dueling").to(device)
    learner = FastLearner(policy, "bf16" if device == "cuda" else "fp32", size)
    learner.captures = record
    if backend is not None:
        mode = "max-autotune-no-cudagraphs" if backend == "inductor" else None  # the graph is ours
        for copy in (learner.online, learner.target):
            network: Any = copy._network
            network.outputs_of_images = torch.compile(network.outputs_of_images, backend=backend, mode=mode)
    batch = random_batch(size, device)
    return lambda: learner.update(batch, RULE)


def random_batch(size: int, device: str) -> PrioritizedSamples:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, size, *IMAGES.shape), dtype=torch.uint8, generator=generator).to(device)
    rewards = torch.randn(size, 1, generator=generator).to(device)
    ones = torch.ones(size, 1, device=device)
    actions = torch.randint(0, int(ACTIONS.n), (size, 1), generator=generator).to(device)
    return PrioritizedSamples(images[0], actions, images[1], 0 * ones, rewards, 0.97 * ones, ones, np.arange(size))


def measured(update: Update, args: Any) -> dict[str, Any]:
    """:return: median and quartiles of its time, and how long the first call took; or why it does not run"""
    try:
        first = timed(update, args.device)
    except Exception as error:  # a compiler that is not there, say: the others still count
        return {"does_not_run": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    times = [timed(update, args.device) for _ in range(8 if args.dry_run else 60)][4:]
    low, median, high = statistics.quantiles(times, n=4)
    return {"first_call_s": first / 1000, "median_ms": median, "quartiles_ms": [low, high]}


def timed(update: Update, device: str) -> float:
    """:return: milliseconds"""
    begin = time.perf_counter()
    update()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
