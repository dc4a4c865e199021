"""Replay memories through the files of a checkpoint: another one goes on from them as the first one does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, newest
from sb3_atari_dqn.checkpoints.frame_files import FrameSource
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.state import FrameChunk
from tests.support.streams import Stream

KINDS = [FrameReplayBuffer, PrioritizedFrameReplayBuffer]
SLOTS, N_ENVS = 60, 2


def make(stream: Stream, kind: type[FrameReplayBuffer], storage: str) -> FrameReplayBuffer:
    sizes = SLOTS * N_ENVS, stream.observation_space, stream.action_space, "cpu", N_ENVS
    return kind(*sizes, n_stack=stream.n_stack, n_steps=3, frame_storage=storage)


def source(buffer: FrameReplayBuffer) -> FrameSource:
    oldest = buffer.memory.oldest_frames(buffer.size())
    return FrameSource(buffer.frames_since, min(oldest.values()), buffer.memory.steps)


def use(buffer: FrameReplayBuffer, steps) -> list:
    """Add, sample, and give TD errors back, as a training does."""
    batches = []
    for number, step in enumerate(steps):
        buffer.add(*step)
        batches.append(buffer.sample(8))
        buffer.learned_from(batches[-1], torch.linspace(-1, number, 8))
    return batches


def save(folder: CheckpointFolder, buffer: FrameReplayBuffer) -> Checkpoint:
    return folder.write(buffer.memory.steps, {"replay": buffer.state_dict()}, frames=source(buffer))


def load(path: Path, buffer: FrameReplayBuffer) -> FrameReplayBuffer:
    checkpoint = newest(path)
    buffer.load_state_dict(checkpoint.state("replay"))
    for chunk in checkpoint.frames():
        buffer.load_frames(FrameChunk(*chunk))
    return buffer


def assert_equal_batches(one, other) -> None:
    for left, right in zip(one, other, strict=True):
        same = np.array_equal if isinstance(left, np.ndarray) else torch.equal
        assert (left is None and right is None) or same(left, right)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", ["ram", "compressed", "device"])
@pytest.mark.parametrize("pieces", [(0,), (1,), (25, 20), (50, 30, 30), (70, 0, 130)])
def test_a_memory_from_a_checkpoint_goes_on_as_the_one_that_was_written(tmp_path, kind, storage, pieces):
    stream = Stream(n_envs=N_ENVS, seed=sum(pieces))
    original = make(stream, kind, storage)
    with CheckpointFolder(tmp_path, keep=2) as folder:
        for n_steps in pieces:
            use(original, stream.steps(n_steps))
            checkpoint = save(folder, original)
    again = load(tmp_path, make(stream, kind, storage))
    later = list(stream.steps(10))
    for one, other in zip(use(original, later), use(again, later), strict=True):
        assert_equal_batches(one, other)
    with CheckpointFolder(tmp_path, after=checkpoint) as folder:  # and it is written as the other one would be
        save(folder, again)
    third = load(tmp_path, make(stream, kind, storage))
    later = list(stream.steps(10))
    for one, other in zip(use(original, later), use(third, later), strict=True):
        assert_equal_batches(one, other)
