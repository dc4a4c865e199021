"""Replay memories through the files of a checkpoint: another one goes on from them as the first one does."""

import io
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import SaveCheckpoints
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, newest
from sb3_atari_dqn.checkpoints.frame_files import FrameSource
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.state import FrameChunk
from tests.support.games import countdowns
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


def loaded_from_a_file(model, other) -> None:
    file = io.BytesIO()
    other.save_replay_buffer(file)
    file.seek(0)
    model.load_replay_buffer(file)


def reset(model, other) -> None:
    model.replay_buffer.reset()


def exchanged(model, other) -> None:
    model.replay_buffer = other.replay_buffer


def left_alone(model, other) -> None:
    pass


def build(seed: int) -> ClassicDQN:
    pace = {"buffer_size": 200, "learning_starts": 1000, "device": "cpu"}
    kept = {"replay_buffer_kwargs": {"n_stack": 1}, "optimize_memory_usage": True}
    return ClassicDQN("MlpPolicy", countdowns(7), seed=seed, **pace, **kept)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [loaded_from_a_file, reset, exchanged, left_alone])
def test_a_memory_that_was_replaced_between_two_trainings_is_written_as_a_whole(tmp_path, change):
    """Else the checkpoint would show the frames that the old one held at these steps."""

    callback, other = SaveCheckpoints("1h", folder=tmp_path), build(2).learn(100)
    model = build(1).learn(60, callback=callback)
    files = [newest(tmp_path / "checkpoints").manifest.frames]
    change(model, other)
    model.learn(40, callback=callback, reset_num_timesteps=False)
    files.append(newest(tmp_path / "checkpoints").manifest.frames)
    original = cast(FrameReplayBuffer, model.replay_buffer)
    again = load(tmp_path / "checkpoints", cast(FrameReplayBuffer, build(3).replay_buffer))
    slots = np.arange(original.size())
    assert_equal_batches(*(each.samples_at(slots, np.zeros_like(slots)) for each in (original, again)))
    assert (set(files[0]) <= set(files[1])) == (change is left_alone), "frames that did not change are written once"


def test_a_continued_training_writes_only_its_own_frames(tmp_path):
    build(1).learn(60, callback=SaveCheckpoints("1h", folder=tmp_path))
    before = newest(tmp_path / "checkpoints").manifest.frames
    ClassicDQN.resume(tmp_path, countdowns(7), SaveCheckpoints("1h", folder=tmp_path), 100, device="cpu")
    assert set(before) < set(newest(tmp_path / "checkpoints").manifest.frames)
