"""Memory and speed of replay buffers, SB3's and ours, on the same frames of Pong.

    python benchmarks/replay.py --out benchmarks/results/replay.json --picture docs/images/replay.png
    python benchmarks/replay.py --games PongNoFrameskip-v4 BreakoutNoFrameskip-v4 MsPacmanNoFrameskip-v4

Each buffer runs in its own process, one after the other, and is filled completely before resident memory is read. The
game is recorded once and repeated until the buffers are full. With `--games`, only the compressed buffer is measured,
on each of these games.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch as th
from gymnasium import spaces
from recording import N_STACK, record, stream
from replay_figure import draw
from report import circumstances, spread, write
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_atari_dqn.replay import files
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.compressed_store import CompressedFrameStore
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer

N_STEPS, BATCH = 3, 32
SPACE = spaces.Box(0, 255, (N_STACK, 84, 84), np.uint8)


def _sb3_optimized(slots: int, *spaces_and_device: Any) -> ReplayBuffer:
    observations, actions, device, n_envs = spaces_and_device
    return ReplayBuffer(slots, observations, actions, device, n_envs, True, False)


def _extra_buffers(method: str) -> Callable[..., ReplayBuffer]:
    def build(*sizes: Any) -> ReplayBuffer:
        from sb3_extra_buffers.compressed import CompressedReplayBuffer  # not among our dependencies

        dtypes = dict(elem_type=np.uint8, runs_type=np.uint16)
        return CompressedReplayBuffer(*sizes, dtypes=dtypes, compression_method=method)

    return build


def _on_gpu(slots: int, *spaces_device_and_envs: Any) -> ReplayBuffer:
    observations, actions, _, n_envs = spaces_device_and_envs
    sizes = slots, observations, actions, "cuda", n_envs
    return FrameReplayBuffer(*sizes, n_stack=N_STACK, n_steps=N_STEPS, frame_storage="device")


COMPRESSED = f"ours, compressed, n={N_STEPS}"
BUFFERS: dict[str, Callable[..., ReplayBuffer]] = {
    "SB3 ReplayBuffer": ReplayBuffer,
    "SB3 optimize_memory_usage": _sb3_optimized,
    f"SB3 NStepReplayBuffer, n={N_STEPS}": lambda *sizes: NStepReplayBuffer(*sizes, n_steps=N_STEPS),
    "sb3-extra-buffers, zstd-3": _extra_buffers("zstd-3"),
    "sb3-extra-buffers, gzip1": _extra_buffers("gzip1"),
    "ours, n=1": lambda *sizes: FrameReplayBuffer(*sizes, n_stack=N_STACK),
    f"ours, n={N_STEPS}": lambda *sizes: FrameReplayBuffer(*sizes, n_stack=N_STACK, n_steps=N_STEPS),
    f"ours, prioritized, n={N_STEPS}": lambda *sizes: PrioritizedFrameReplayBuffer(
        *sizes, n_stack=N_STACK, n_steps=N_STEPS
    ),
    COMPRESSED: lambda *sizes: FrameReplayBuffer(*sizes, n_stack=N_STACK, n_steps=N_STEPS, frame_storage="compressed"),
}
if th.cuda.is_available():
    BUFFERS[f"ours, on the GPU, n={N_STEPS}"] = _on_gpu


def _microseconds(seconds: list[float]) -> dict[str, Any]:
    lower, upper = np.percentile(seconds, [25, 75])
    return {**spread([1e6 * second for second in seconds]), "quartiles": [1e6 * lower, 1e6 * upper]}


def _timed(work: Callable[[], Any], repeats: int) -> dict[str, Any]:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return _microseconds(seconds)


def measure(name: str, slots: int, path: Path, with_file: bool) -> dict[str, Any]:
    """:return: measurements of one buffer, in a process that does nothing else"""
    th.set_num_threads(1)
    recording = dict(np.load(path))
    steps = stream(recording["frames"], recording["ends"])
    resident = _resident()
    buffer = BUFFERS[name](slots, SPACE, spaces.Discrete(int(recording["n_actions"])), "cpu", 1)
    action, reward = np.array([1]), np.array([1.0], np.float32)
    add_seconds = []
    for number in range(slots + 2_000):  # time the last ones, when all memory is resident
        obs, next_obs, over = next(steps)
        begin = time.perf_counter()
        buffer.add(obs, next_obs, action, reward, over, [{}])
        if number >= slots:
            add_seconds.append(time.perf_counter() - begin)
    gc.collect()
    figures = {
        "bytes_per_transition": (_resident() - resident) / slots,
        "add_us": _microseconds(add_seconds),
        "sample_us": _timed(lambda: _sample(buffer), 2_000),
    }
    if isinstance(buffer, FrameReplayBuffer) and isinstance(buffer.memory.plain.store, CompressedFrameStore):
        figures["part_of_raw_frames"] = buffer.memory.plain.store.nbytes / buffer.memory.plain.layout.nbytes
    if isinstance(buffer, PrioritizedFrameReplayBuffer):
        figures["update_us"] = _timed(lambda: _update(buffer), 2_000)
    if with_file and isinstance(buffer, FrameReplayBuffer):
        figures |= _on_disk(buffer)
    return figures


def _resident() -> int:
    """:return: resident bytes, plus allocated GPU memory if there is a GPU"""
    on_gpu = th.cuda.memory_allocated() if th.cuda.is_available() else 0
    return psutil.Process().memory_info().rss + on_gpu


def _sample(buffer: ReplayBuffer) -> None:
    buffer.sample(BATCH)
    if buffer.device.type == "cuda":
        th.cuda.synchronize()


def _update(buffer: PrioritizedFrameReplayBuffer) -> None:
    indices = np.random.randint(buffer.buffer_size, size=BATCH)
    buffer.update_priorities(indices, th.rand(BATCH))


def _on_disk(buffer: FrameReplayBuffer) -> dict[str, Any]:
    """:return: cost of saving and loading; loading verifies the whole file first, because the buffer is not empty"""
    with tempfile.TemporaryFile() as file:
        resident = psutil.Process().memory_info().rss
        begin = time.perf_counter()
        files.write(buffer, file)
        saved = time.perf_counter()
        size, extra = file.tell(), psutil.Process().memory_info().rss - resident
        files.read(buffer, file, "file")
        loaded = time.perf_counter()
    return {
        "file_bytes": size,
        "file_part_of_memory": size / buffer.full_nbytes(),
        "save_s": saved - begin,
        "save_extra_bytes": extra,
        "load_s": loaded - saved,
    }


def _in_own_process(name: str, slots: int, path: Path, with_file: bool) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, "--slots", str(slots), "--recording", str(path)]
    done = subprocess.run(command + ["--files"] * with_file, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def table(figures: dict[str, dict[str, Any]]) -> str:
    lines = ["| buffer | bytes per transition | add, us | sample of 32, us |", "| --- | ---: | ---: | ---: |"]
    for name, one in figures.items():
        if "failed" in one:
            lines.append(f"| {name} | {one['failed']} | | |")
            continue
        cells = [f"{one['bytes_per_transition']:,.0f}"]
        for key in ("add_us", "sample_us"):
            lower, upper = one[key]["quartiles"]
            cells.append(f"{one[key]['median']:.0f} ({lower:.0f} to {upper:.0f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _games(names: list[str], n_steps: int, slots: int, folder: Path) -> dict[str, dict[str, Any]]:
    figures = {}
    for name in names:
        path = folder / f"{name}.npz"
        record(name, n_steps, path)
        figures[name] = _in_own_process(COMPRESSED, slots, path, False)
    return figures


def games_table(figures: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| game | bytes per transition | compressed frames, of their size | sample of 32, us |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, one in figures.items():
        lower, upper = one["sample_us"]["quartiles"]
        time_us = f"{one['sample_us']['median']:,.0f} ({lower:,.0f} to {upper:,.0f})"
        lines.append(f"| {name} | {one['bytes_per_transition']:,.0f} | {one['part_of_raw_frames']:.1%} | {time_us} |")
    return "\n".join(lines)


def _buffers(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "recording.npz"
    record(args.env, args.record_steps, path)
    figures = {f"{name}, {args.slots:,}": _in_own_process(name, args.slots, path, False) for name in args.buffers}
    if args.large_slots:
        for name in (name for name in args.buffers if name.startswith("ours")):
            with_file = name == "ours, n=1"
            source = args.stream if with_file and args.stream else path
            figures[f"{name}, {args.large_slots:,}"] = _in_own_process(name, args.large_slots, source, with_file)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--slots", type=int, default=100_000)
    parser.add_argument("--large-slots", type=int, default=1_000_000, help="for ours only; 0: leave out")
    parser.add_argument("--record-steps", type=int, default=10_000)
    parser.add_argument(
        "--stream",
        type=Path,
        help="of benchmarks/recording.py, for the size on disk: frames of a playing agent",
    )
    parser.add_argument("--games", nargs="+", metavar="ENV", help="only the compressed buffer, with each of these")
    parser.add_argument("--picture", type=Path, help="file for the picture, PNG")
    parser.add_argument("--buffers", nargs="+", default=list(BUFFERS), choices=list(BUFFERS))
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--recording", help=argparse.SUPPRESS)
    parser.add_argument("--files", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.slots, Path(args.recording), args.files)))
        return

    with tempfile.TemporaryDirectory() as folder:
        if args.games:
            figures = _games(args.games, args.record_steps, args.slots, Path(folder))
        else:
            figures = _buffers(args, Path(folder))
    versions = circumstances("stable-baselines3", "torch", "numpy", "zstandard")
    result = {**versions, "env": args.env, "figures": figures}
    write(result, args.out)
    print(games_table(figures) if args.games else table(figures))
    if args.picture and not args.games:
        draw(result, args.picture)


if __name__ == "__main__":
    main()
