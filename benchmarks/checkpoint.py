"""Time and size of checkpoints of a full replay buffer: the first one, later ones with some new transitions, loading.

    python benchmarks/checkpoint.py --slots 100000 1000000 --out benchmarks/results/checkpoint.json

The game is recorded once and repeated until the buffer is full, as in `benchmarks/replay.py`; each buffer has a process
of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from recording import N_STACK, record, stream
from report import circumstances, spread, write

from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import newest
from sb3_atari_dqn.checkpoints.frame_files import FrameSource
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.state import FrameChunk

SPACE = spaces.Box(0, 255, (N_STACK, 84, 84), np.uint8)
STORAGES = ["ram", "compressed"]
LATER = 3  # checkpoints after the first one


def _source(buffer: FrameReplayBuffer) -> FrameSource:
    oldest = buffer.memory.oldest_frames(buffer.size())
    return FrameSource(buffer.frames_since, min(oldest.values()), buffer.memory.steps)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(storage: str, slots: int, new: int, recording_path: Path, parent: Path) -> dict[str, Any]:
    """:return: measurements of one buffer, in a process that does nothing else"""
    th.set_num_threads(1)
    recording = dict(np.load(recording_path))
    steps = stream(recording["frames"], recording["ends"])
    sizes = slots, SPACE, spaces.Discrete(int(recording["n_actions"])), "cpu", 1
    buffer, other = (PrioritizedFrameReplayBuffer(*sizes, n_stack=N_STACK, frame_storage=storage) for _ in range(2))
    action, reward = np.array([1]), np.array([1.0], np.float32)

    def add(count: int) -> None:
        for _ in range(count):
            obs, next_obs, over = next(steps)
            buffer.add(obs, next_obs, action, reward, over, [{}])

    seconds, written = [], []
    with tempfile.TemporaryDirectory(dir=parent) as name, CheckpointFolder(name, keep=LATER + 1) as folder:
        for count in (slots, *[new] * LATER):
            add(count)
            before, begin = _size(folder.folder), time.perf_counter()
            folder.write(buffer.memory.steps, {"replay": buffer.state_dict()}, frames=_source(buffer))
            seconds.append(time.perf_counter() - begin)
            written.append(_size(folder.folder) - before)
        begin = time.perf_counter()
        checkpoint = newest(name)
        verified = time.perf_counter()
        other.load_state_dict(checkpoint.state("replay"))
        for chunk in checkpoint.frames():
            other.load_frames(FrameChunk(*chunk))
        loaded = time.perf_counter()
    return {
        "raw_bytes": slots * 84 * 84,
        "first_s": seconds[0],
        "first_bytes": written[0],
        "new_transitions": new,
        "later_s": spread(seconds[1:]),
        "later_bytes": spread(written[1:]),
        "verify_s": verified - begin,
        "load_s": loaded - verified,
    }


def _in_own_process(arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def table(figures: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| replay buffer | first, s | MB | later, s | MB | verify, s | load, s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, one in figures.items():
        if "failed" in one:
            lines.append(f"| {name} | {one['failed']} | | | | | |")
            continue
        first = f"{one['first_s']:.1f} | {one['first_bytes'] / 1e6:.0f}"
        later = f"{one['later_s']['median']:.2f} | {one['later_bytes']['median'] / 1e6:.1f}"
        lines.append(f"| {name} | {first} | {later} | {one['verify_s']:.1f} | {one['load_s']:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--slots", type=int, nargs="+", default=[100_000])
    parser.add_argument("--new", type=int, default=10_000, help="transitions between two checkpoints")
    parser.add_argument("--storages", nargs="+", default=STORAGES, choices=STORAGES)
    parser.add_argument("--record-steps", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--recording", type=Path, help="of benchmarks/recording.py; without one: random play")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.storages[0], args.slots[0], args.new, args.recording, args.folder)))
        return

    figures = {}
    with tempfile.TemporaryDirectory() as name:
        path = args.recording
        if path is None:
            path = Path(name) / "recording.npz"
            record(args.env, args.record_steps, path)
        for slots in args.slots:
            for storage in args.storages:
                one = ["--one", "--storages", storage, "--slots", str(slots), "--new", str(args.new)]
                places = ["--recording", str(path), "--folder", str(args.folder)]
                figures[f"{storage}, {slots:,}"] = _in_own_process([*one, *places])
    versions = circumstances("torch", "numpy", "zstandard", "safetensors")
    write({**versions, "env": args.env, "figures": figures}, args.out)
    print(table(figures))


if __name__ == "__main__":
    main()
