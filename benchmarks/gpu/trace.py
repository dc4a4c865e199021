"""Part 4: torch profiler over 50 vector steps of dqn_dueling: the most expensive operations, and GPU idle time."""

import time
from typing import Any

import torch
from contestants import warm_up
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu.results import Report, arguments
from gpu.speed import GAME, ours, tiny

ROWS = 40


def main() -> None:
    args = arguments(__doc__).parse_args()
    report = Report("profile", args)
    contestant = tiny() if args.dry_run else ours(64, 512)
    vector_steps = 5 if args.dry_run else 50
    model = contestant.build(GAME, args.device)
    warm_up(model, contestant)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if args.device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        began = time.perf_counter()
        model.learn(vector_steps * contestant.n_envs, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
        if args.device == "cuda":
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - began
    busy = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or ()
        if event.device_type == DeviceType.CUDA
    ]
    report.done(
        n_envs=contestant.n_envs,
        batch_size=contestant.batch_size,
        vector_steps=vector_steps,
        milliseconds_per_vector_step=1000 * elapsed / vector_steps,
        gpu_idle=1 - union(busy) / (1e6 * elapsed) if busy else None,
        operations=operations(profiler),
    )


def operations(profiler: Any) -> list[dict[str, Any]]:
    """:return: most expensive operations, by self time on the GPU, then on the CPU"""
    rows = [
        {
            "name": average.key[:90],
            "calls": average.count,
            "gpu_us": round(getattr(average, "self_device_time_total", 0)),
            "cpu_us": round(average.self_cpu_time_total),
        }
        for average in profiler.key_averages()
    ]
    return sorted(rows, key=lambda row: (-row["gpu_us"], -row["cpu_us"]))[:ROWS]


def union(spans: list[tuple[float, float]]) -> float:
    """:return: total length of the union of the spans"""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(end - max(start, until), 0)
        until = max(until, end)
    return covered


if __name__ == "__main__":
    main()
