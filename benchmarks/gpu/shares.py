"""Time shares of a training: of the main thread on the host, and of the GPU."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from contestants import Stopwatch
from stable_baselines3 import DQN

from sb3_atari_dqn import ClassicDQN


class GpuClock:
    """GPU time of the work that methods launch, measured with CUDA events."""

    def __init__(self) -> None:
        self._stamps: dict[str, list[tuple[torch.cuda.Event, torch.cuda.Event]]] = defaultdict(list)

    def time(self, owner: Any, method: str, name: str) -> None:
        """Time what a method launches; timed methods must not call each other."""
        inner: Callable[..., Any] = getattr(owner, method)

        def stamped(*args: Any, **kwargs: Any) -> Any:
            before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            before.record()
            result = inner(*args, **kwargs)
            after.record()
            self._stamps[name].append((before, after))
            return result

        setattr(owner, method, stamped)

    def seconds(self) -> dict[str, float]:
        """:return: GPU seconds by name; synchronizes"""
        torch.cuda.synchronize()
        return {
            name: sum(before.elapsed_time(after) for before, after in stamps) / 1000
            for name, stamps in self._stamps.items()
        }


def shares(model: DQN, steps: int) -> dict[str, Any]:
    """
    :param model: do not measure it again, its methods stay instrumented
    :param steps: environment steps
    :return: fractions of the wall-clock time: of the main thread, and, on a GPU, of the GPU, including idle time
    """
    watch, clock = Stopwatch(), GpuClock()
    env: Any = model.env
    ours = isinstance(model, ClassicDQN) and model.learner == "fast"
    if ours:
        learner: Any = model._get_learner()  # type: ignore[attr-defined]
        acts, updates = (learner, "greedy_actions"), (learner, "update")
        for method in ("step_async", "step_wait"):
            watch.time(env, method, "environment")
    else:
        acts, updates = (model, "predict"), (model, "train")
        watch.time(env, "step", "environment")
    if model.device.type == "cuda":  # applied first: the stopwatch wraps these wrappers
        clock.time(*acts, "acting")
        clock.time(*updates, "update")
    watch.time(*acts, "acting")
    watch.time(*updates, "update")
    watch.time(model.replay_buffer, "sample", "sampling")
    watch.time(model.replay_buffer, "add", "storing")
    began, env_steps = time.perf_counter(), model.num_timesteps
    model.learn(steps, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
    watch._switch()
    busy = clock.seconds() if model.device.type == "cuda" else {}
    elapsed = time.perf_counter() - began
    result: dict[str, Any] = {
        "env_steps_per_second": (model.num_timesteps - env_steps) / elapsed,
        "main_thread": {name: seconds / elapsed for name, seconds in watch.seconds.items()},
    }
    if busy:
        result["gpu"] = {name: seconds / elapsed for name, seconds in busy.items()}
        result["gpu"]["idle"] = max(1 - sum(result["gpu"].values()), 0.0)
    return result
