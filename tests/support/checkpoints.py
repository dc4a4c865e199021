"""A training that writes checkpoints, without a training: frames that tell their step, states of all kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint
from sb3_atari_dqn.checkpoints.frame_files import FrameSource, LoadedFrames

FRAME_SIZE = 50


class Ring:
    """
    Frames of one environment, the last `size` of them.

    :param size: in vector steps
    """

    def __init__(self, size: int = 100) -> None:
        self.size, self.steps = size, 0
        self.asked_since: list[int] = []

    @property
    def first(self) -> int:
        return max(0, self.steps - self.size)

    def source(self) -> FrameSource:
        return FrameSource(self.frames_since, self.first, self.steps)

    def frames_since(self, step: int) -> Iterator[LoadedFrames]:
        self.asked_since.append(step)
        begin = max(step, self.first)
        yield LoadedFrames("", 0, begin, frames_at(np.arange(begin, self.steps + 1)))


def frames_at(steps: np.ndarray) -> np.ndarray:
    """:return: random frames, always the same of a step"""
    return np.stack([np.random.default_rng(int(step)).integers(256, size=FRAME_SIZE, dtype=np.uint8) for step in steps])


def states(step: int) -> dict[str, Any]:
    return {
        "model": {"weights": torch.full((3, 2), float(step)), "half": torch.ones(3, dtype=torch.bfloat16)},
        "counters": {"step": step, "best": -float("inf"), "history": [1, None, "a"], "seen": np.arange(4)},
    }


def write(folder: CheckpointFolder, ring: Ring, n_steps: int) -> Checkpoint:
    """:return: a checkpoint after some more steps"""
    ring.steps += n_steps
    return folder.write(ring.steps, states(ring.steps), {"algorithm": "dqn"}, ring.source())


def written(path: Path, pieces: tuple[int, ...] = (60, 30, 30), keep: int = 3) -> list[Checkpoint]:
    """:return: some checkpoints of a training that has ended"""
    ring = Ring()
    with CheckpointFolder(path, keep) as folder:
        return [write(folder, ring, n_steps) for n_steps in pieces]


def assert_whole(checkpoint: Checkpoint, ring_size: int = 100) -> None:
    """Everything in it is what the training had at its step."""
    checkpoint.verify()
    step = checkpoint.step
    expected = states(step)
    model, counters = checkpoint.state("model"), checkpoint.state("counters")
    assert torch.equal(model["weights"], expected["model"]["weights"])
    assert model["half"].dtype == torch.bfloat16
    assert counters.pop("seen").tolist() == [0, 1, 2, 3]
    assert counters == {"step": step, "best": -float("inf"), "history": [1, None, "a"]}
    frames: dict[int, np.ndarray] = {}
    for chunk in checkpoint.frames():
        frames |= {chunk.first_step + index: frame for index, frame in enumerate(chunk.frames)}
    needed = np.arange(max(0, step - ring_size), step + 1)
    assert np.array_equal(np.stack([frames[at] for at in needed.tolist()]), frames_at(needed))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
