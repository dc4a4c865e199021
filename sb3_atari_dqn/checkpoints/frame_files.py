"""Files of frames, each written once and shared by all checkpoints that need one of its frames.

F: numbers in a frame.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import zstandard

from sb3_atari_dqn.checkpoints import tensors
from sb3_atari_dqn.checkpoints.manifest import LARGEST_FRAMES, FramesEntry
from sb3_atari_dqn.checkpoints.storage import DamagedCheckpoint, read_checked, write_pieces
from sb3_atari_dqn.files import replacing

FOLDER = "frames"

_LEVEL = 1  # of zstd. Measured on Pong: see benchmarks/checkpoint.py
_FILE_BYTES = 16 << 20  # of raw frames: what one file holds, and what is taken at once
_KEY = re.compile(r"(\d{1,9})/(\d{1,9})/(\d{1,18})/(.*)", re.ASCII | re.DOTALL)


class Chunk(Protocol):
    """Some frames of one environment, one after the other: of a replay memory's `frames_since`."""

    @property
    def part(self) -> str:
        """Of the observations, by name."""

    @property
    def env(self) -> int:
        """Number of the environment."""

    @property
    def first_step(self) -> int:
        """Vector step of the first frame."""

    @property
    def frames(self) -> np.ndarray:
        """[any, F]"""


class LoadedFrames(NamedTuple):
    """A chunk that was read; see :class:`Chunk`."""

    part: str
    env: int
    first_step: int
    frames: np.ndarray


@dataclass(frozen=True)
class FrameSource:
    """
    The frames of a replay memory.

    :param since: gives the frames of a vector step and later, in the order in which they are to be loaded; frames
        before the step at which they were asked for the last time have not changed
    :param first: vector step of the oldest frame that is needed
    :param end: vector steps stored; the frame of this step may be among them already, and may change
    """

    since: Callable[[int], Iterable[Chunk]]
    first: int
    end: int


def write(folder: Path, chunks: Iterable[Chunk], written: list[FramesEntry]) -> None:
    """
    :param folder: for the files
    :param chunks: in the order of time
    :param written: gets an entry for each file, as soon as it is complete
    :raises OSError: if a file cannot be written
    """
    for group in _groups(chunks):
        written.append(_write_file(folder, group))


def read(folder: Path, entry: FramesEntry) -> Iterator[LoadedFrames]:
    """
    :param folder: with the files
    :param entry: of one
    :return: what it holds
    :raises DamagedCheckpoint: if it is not what was written; no more memory than the entry allows is taken
    """
    path = folder / entry.name
    arrays = _unpacked(path, read_checked(path, entry), entry.raw_size)
    chunks = {}
    for name, frames in arrays.items():
        key = _KEY.fullmatch(name)
        if key is None or frames.ndim != 2:
            raise DamagedCheckpoint(path, f"it holds {name!r:.100} of {frames.ndim} dimensions, which are not frames.")
        chunks[int(key[1])] = LoadedFrames(key[4], int(key[2]), int(key[3]), frames)
    yield from (chunks[index] for index in sorted(chunks))


def _unpacked(path: Path, data: bytes, raw_size: int) -> dict[str, np.ndarray]:
    try:
        # zstandard takes the memory that the first bytes ask for, whatever limit it is given.
        announced = zstandard.frame_content_size(data)
        if announced != raw_size:
            raise ValueError(f"it unpacks to {announced:,} bytes instead of {raw_size:,}")
        loaded = tensors.load(zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False))
        return {name: array.numpy() for name, array in loaded.items()}
    except (ValueError, TypeError, zstandard.ZstdError) as error:  # TypeError: numpy has no bfloat16
        raise DamagedCheckpoint(path, f"{error}.") from error


def _groups(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """:return: chunks of about `_FILE_BYTES` together"""
    group: list[Chunk] = []
    size = 0
    for chunk in _pieces(chunks):
        if group and size + chunk.frames.nbytes > _FILE_BYTES:
            yield group
            group, size = [], 0
        group.append(chunk)
        size += chunk.frames.nbytes
    if group:
        yield group


def _pieces(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """:return: the same frames in chunks of at most `_FILE_BYTES`, or of one frame"""
    for chunk in chunks:
        at_once = max(1, _FILE_BYTES // max(1, chunk.frames[:1].nbytes))
        for begin in range(0, len(chunk.frames), at_once):
            part = chunk.frames[begin : begin + at_once]
            yield LoadedFrames(chunk.part, chunk.env, chunk.first_step + begin, part)


def _write_file(folder: Path, group: list[Chunk]) -> FramesEntry:
    arrays: dict[str, tensors.Array] = {
        f"{index}/{chunk.env}/{chunk.first_step}/{chunk.part}": chunk.frames for index, chunk in enumerate(group)
    }
    raw = b"".join(tensors.pieces(arrays))
    if len(raw) > LARGEST_FRAMES:
        raise ValueError(f"A frame takes {len(raw):,} bytes; a checkpoint holds frames of {LARGEST_FRAMES:,}.")
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(raw)
    first = min(chunk.first_step for chunk in group)
    last = max(chunk.first_step + len(chunk.frames) - 1 for chunk in group)
    name = f"{first}-{last}-{_digest(packed)}.safetensors.zst"
    # A training that is continued twice from one checkpoint may write the same frames again: the same file.
    with replacing(folder / name) as file:
        entry = write_pieces(file, [packed])
    return FramesEntry(entry.size, entry.sha256, name, len(raw), first, last)


def _digest(data: bytes) -> str:
    """:return: makes the names of files of different content different"""
    return hashlib.sha256(data).hexdigest()[:16]
