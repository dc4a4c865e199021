"""Kill trainings with SIGKILL at random moments, continue them, and compare them with one that was left alone.

    python benchmarks/kill_and_continue.py --kills 100 --out benchmarks/results/kill_and_continue.json

Half of the kills hit Pong with native environments, prioritized 3-step replay, overlap and the fast learner, half
ordinary environments, uniform replay and the reference learner. The real commands run: `train` of the zoo, then
`resume` until the run is complete. What is compared: the last checkpoint (parameters, optimizer, replay memory with its
frames, generators, environments, callbacks), monitor rows and episodes.csv; all but clocks. To save the imports, each
process is forked from one that has them.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rl_zoo3.train
import torch
from report import circumstances, write

import sb3_atari_dqn.__main__ as program
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, newest
from sb3_atari_dqn.checkpoints.state import split

ENV = "PongNoFrameskip-v4"
ALGO = "dqn_dueling"
COMMON = ["learning_starts:400", "checkpoint_freq:250", "buffer_size:4000", "exploration_steps:2000"]
CALLBACK = "callback:['sb3_atari_dqn.callbacks.LogEpisodes']"
PATHS = {
    "native, prioritized, n=3, overlap, fast": ["precision:'bf16'"],
    "ordinary, uniform, reference": [
        *("native_envs:False", "replay:'uniform'", "n_steps:1", "overlap:False", "learner:'reference'", "n_envs:2"),
    ],
}
#: Clocks, and where a process began to count.
CLOCKS = (
    "t",
    "t_start",
    "start",
    "seconds",
    "_num_timesteps_at_start",
    "episode_times",
    "run",
    "relative",
    "folder",
    "events",
    "files",
)
assert rl_zoo3.train  # imported before any process is forked


def start(arguments: list[str], log: Path) -> int:
    """:return: number of a process that runs `python -m sb3_atari_dqn ARGUMENTS`"""
    child = os.fork()
    if child:
        return child
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["sb3_atari_dqn", *arguments]
    status = 1
    try:
        program.main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def train(folder: Path, settings: list[str], steps: int) -> list[str]:
    params = ["-params", *COMMON, CALLBACK, *settings]
    options = ["-n", str(steps), "--seed", "1", "-f", str(folder), "--eval-freq", "-1", "--num-threads", "1"]
    return ["train", "--algo", ALGO, "--env", ENV, *options, *params]


def run_folder(folder: Path) -> Path:
    return folder / ALGO / f"{ENV}_1"


def is_resumable(folder: Path) -> bool:
    return any((run_folder(folder) / "checkpoints").glob("*-step*[0-9]"))


def ended(child: int, after: float) -> int | None:
    """:return: exit status of a process, None if it still runs after so many seconds"""
    limit = time.monotonic() + after
    while time.monotonic() < limit:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def disturbed(folder: Path, settings: list[str], steps: int, longest: float, kills: int, rng: random.Random) -> int:
    """:return: how often a run was killed until it was complete"""
    killed = 0
    while True:
        if not is_resumable(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        line = ["resume", str(run_folder(folder))] if is_resumable(folder) else train(folder, settings, steps)
        child = start(line, folder.with_suffix(".log"))
        status = ended(child, rng.uniform(0.1, longest) if killed < kills else float("inf"))
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
        elif status == 0:
            return killed
        else:
            raise RuntimeError(f"{line} ended with {status}: see {folder.with_suffix('.log')}")


def differences(one: Path, other: Path) -> list[str]:
    """:return: what differs between two complete runs"""
    found = [
        f"checkpoint: {name}"
        for name in _differing(dict(_parts(newest(one / "checkpoints"))), dict(_parts(newest(other / "checkpoints"))))
    ]
    for path in sorted(one.glob("*.csv")):
        if _rows(path) != _rows(other / path.name):
            found.append(path.name)
    return found


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]


def _parts(checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    for name in checkpoint.manifest.parts:
        values, arrays = split(_without_clocks(checkpoint.state(name)))
        yield f"{name} (values)", json.dumps(values, sort_keys=True)
        for number, array in enumerate(arrays.values()):
            if name != "files":
                tensor = torch.as_tensor(array).clone(memory_format=torch.contiguous_format)
                yield f"{name} (array {number})", tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    frames: dict[tuple[str, int, int], bytes] = {}
    for chunk in checkpoint.frames():
        frames |= {
            (chunk.part, chunk.env, chunk.first_step + index): np.asarray(frame).tobytes()
            for index, frame in enumerate(chunk.frames)
        }
    last = max((step for _, _, step in frames), default=0)
    kept = {
        key: frame for key, frame in frames.items() if key[2] > last - 400
    }  # files reach further back than the ring
    yield "frames", kept


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_clocks(each) for name, each in value.items() if name not in CLOCKS}
    return [_without_clocks(each) for each in value] if isinstance(value, list) else value


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if not row[0].startswith("#")]
    clock = [index for index, name in enumerate(rows[0]) if name in ("t", "seconds")]
    return [[value for index, value in enumerate(row) if index not in clock] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--steps", type=int, default=6000, help="environment steps of a run")
    parser.add_argument("--longest", type=float, default=12.0, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for number, (path, settings) in enumerate(PATHS.items()):
            reference = Path(name) / f"reference{number}"
            reference.mkdir()
            if ended(start(train(reference, settings, args.steps), reference.with_suffix(".log")), float("inf")):
                raise SystemExit(reference.with_suffix(".log").read_text())
            wanted = args.kills // len(PATHS)
            figures[path] = {"kills": 0, "runs": 0, "differences": []}
            while figures[path]["kills"] < wanted:
                folder = Path(name) / "disturbed"
                killed = disturbed(folder, settings, args.steps, args.longest, wanted - figures[path]["kills"], rng)
                figures[path]["kills"] += killed
                figures[path]["runs"] += 1
                figures[path]["differences"] += differences(run_folder(reference), run_folder(folder))
                print(path, figures[path], flush=True)
                shutil.rmtree(folder)
    write({**circumstances("torch", "numpy", "ale-py"), "steps": args.steps, "figures": figures}, args.out)
    if any(each["differences"] for each in figures.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
