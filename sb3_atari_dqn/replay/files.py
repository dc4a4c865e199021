"""Replay buffers on disk: only what is filled, streamed through zstd, checksummed, nothing that could be executed.

N: environments, K: frames in a stack.

    magic line | zstd frame: length of the header, header (JSON), arrays, parts of the observations | end mark
    part:        the observations expected next, the overflow frames, frames of environment 0, 1, ...

Everything is in chronological order, so that similar frames are adjacent.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import zstandard

from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.file_stream import END, MAGIC, DecompressedStream, check_end, is_ours
from sb3_atari_dqn.replay.observation_memory import PLAIN
from sb3_atari_dqn.replay.observation_parts import spaces_of
from sb3_atari_dqn.replay.sparse_rows import SparseRows
from sb3_atari_dqn.replay.stack_memory import StackMemory
from sb3_atari_dqn.replay.state import DEPTHS, FLAGS

_VERSION = 2
_ONE_PART = 1  # what version 1 could hold, with the same arrays in the same order
_LEVEL = 3
_WINDOW_LOG = 23  # 8 MB: about a thousand frames of 84x84
_FRAMES_AT_ONCE = 512
_MAX_HEADER_BYTES = 1 << 20

_DAMAGES = (zstandard.ZstdError, EOFError, struct.error, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError)


# --- what a buffer consists of


def _fixed(buffer: FrameReplayBuffer) -> dict[str, Any]:
    """:return: what a file and the buffer it goes into must have in common"""
    parts = buffer.memory.parts.items()
    return {
        "observation shape": {name: list(part.shape.obs_shape) for name, part in parts},
        "observation type": {name: str(part.dtype) for name, part in parts},
        "n_stack": {name: part.shape.n_stack for name, part in parts},
        "stack_axis": {name: part.shape.axis for name, part in parts},
        "number of environments": buffer.n_envs,
        "action space": str(buffer.action_space),
        "observation space": {name: str(space) for name, space in spaces_of(buffer.observation_space).items()},
    }


def _header(buffer: FrameReplayBuffer) -> dict[str, Any]:
    memory = buffer.memory
    return {
        "version": _VERSION,
        "fixed": _fixed(buffer),
        "n_steps": buffer.n_steps,  # for information: the same transitions serve every n
        "slots": buffer.buffer_size,
        "filled": buffer.size(),
        "steps": memory.steps,
        "first frame": memory.oldest_frames(buffer.size()),
        "finals": {name: len(part.final_frames) for name, part in memory.parts.items()},
        "heads": {name: len(part.prefixes) for name, part in memory.parts.items()},
        **buffer.sampling_header(),
    }


def _as_version_2(header: dict[str, Any]) -> dict[str, Any]:
    """:return: the header of a file of version 1, which says of the only part what version 2 says of each"""
    per_part = ("first frame", "finals", "heads")
    fixed = {
        what: {PLAIN: value} if what in ("observation shape", "observation type", "n_stack") else value
        for what, value in header["fixed"].items()
    }
    return {**header, **{what: {PLAIN: header[what]} for what in per_part}, "fixed": fixed}


def _filled_slots(steps: int, filled: int, n_slots: int) -> np.ndarray:
    """:return: oldest first"""
    return np.arange(steps - filled, steps) % n_slots


# --- writing


def write(buffer: FrameReplayBuffer, file: BinaryIO) -> None:
    """
    :param buffer: stays as it is; TD errors on their way stay there, and count in the priorities of the file
    :param file: open for writing; a few megabytes of memory are used, whatever the size of the buffer
    """
    file.write(MAGIC)
    settings = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW_LOG, write_checksum=1)
    with zstandard.ZstdCompressor(compression_params=settings).stream_writer(file, closefd=False) as stream:
        header = json.dumps(_header(buffer)).encode()
        stream.write(struct.pack("<I", len(header)) + header)
        for array in _arrays_of(buffer):
            stream.write(np.ascontiguousarray(array).tobytes())
    file.write(END)


def _arrays_of(buffer: FrameReplayBuffer) -> Iterator[np.ndarray]:
    memory, filled = buffer.memory, buffer.size()
    slots = _filled_slots(memory.steps, filled, buffer.buffer_size)
    if filled == 0:
        return
    for column in buffer.columns().values():
        yield column[slots]
    if (priorities := buffer.priorities()) is not None:
        yield priorities[slots]
    for part in memory.parts.values():
        yield from _arrays_of_part(part, filled)


def _arrays_of_part(part: StackMemory, filled: int) -> Iterator[np.ndarray]:
    yield part.expected  # type: ignore[misc]  # the last step left one
    for sparse in (part.final_frames, part.prefixes):
        yield sparse.keys - (part.steps - filled) * part.n_envs
        for rows in sparse.rows:
            yield part.store.frames_of(rows)
    for _, _, frames in part.frames_since(part.oldest_frame(filled)):
        yield frames


# --- reading


def read(buffer: FrameReplayBuffer, file: BinaryIO, name: str) -> None:
    """
    Fill a buffer. One that holds something is only touched once the whole file has been found intact.

    :param buffer: of the same observations, stack, actions and number of environments; it may be larger or smaller
        than the one saved as long as the transitions fit; priorities are taken over where there are any
    :param file: open for reading, seekable
    :param name: of the file, for messages
    :raises ValueError: if the file is damaged or does not fit; the buffer is then as it was, and empty if it was empty
    """
    file.seek(0)
    if not is_ours(file):
        raise ValueError(f"{name} is not a replay buffer that stores each frame once.")
    try:
        check_end(file)
        header = _read_header(DecompressedStream(file))
        _check_fits(header, buffer, name)
        _check_counts(header, buffer)
        if buffer.size():
            _read_into(None, buffer, DecompressedStream(file))
        _fill(buffer, DecompressedStream(file))
    except _DAMAGES as error:
        raise ValueError(
            f"The replay buffer {name} is damaged or cut short ({error or 'it ends too early'}); nothing was loaded. "
            "Leave it out, or save it again."
        ) from error


def _fill(buffer: FrameReplayBuffer, stream: DecompressedStream) -> None:
    buffer.reset()
    try:
        _read_into(buffer, buffer, stream)
    except BaseException:
        buffer.reset()
        raise


def _read_header(stream: DecompressedStream) -> dict[str, Any]:
    (length,) = struct.unpack("<I", stream.array((4,), np.uint8).tobytes())
    if length > _MAX_HEADER_BYTES:
        raise EOFError
    header = json.loads(stream.array((length,), np.uint8).tobytes().decode())
    return _as_version_2(header) if header["version"] == _ONE_PART else header


def _check_fits(header: dict[str, Any], buffer: FrameReplayBuffer, name: str) -> None:
    """:raises ValueError: naming the first thing in which the file differs"""
    if header["version"] not in (_ONE_PART, _VERSION):
        raise ValueError(f"{name} has format version {header['version']}, this program reads {_VERSION}.")
    for what, ours in _fixed(buffer).items():
        theirs = header["fixed"].get(what, ours)  # version 1 tells neither the axis nor the space
        if theirs != ours:
            raise ValueError(f"{name} was saved with {what} {_told(theirs)}, and this buffer has {_told(ours)}.")
    if header["filled"] > buffer.buffer_size:
        needed = header["filled"] * buffer.n_envs
        raise ValueError(
            f"{name} holds {needed} transitions, and this buffer has room for {buffer.buffer_size * buffer.n_envs}; "
            f"set buffer_size to {needed} or more."
        )


def _check_counts(header: dict[str, Any], buffer: FrameReplayBuffer) -> None:
    """
    Memory is reserved, and a stream read, only for as much as a buffer with these transitions can hold.

    :raises EOFError: if the header says more
    """
    filled, steps = header["filled"], header["steps"]
    counts = [filled, steps, header["slots"]]
    for name, part in buffer.memory.parts.items():
        most = 2 * (filled + part.shape.n_stack + 2)  # steps, with those before the oldest transition
        rows = header["finals"][name], header["heads"][name]
        counts += [*rows, most * buffer.n_envs - max(rows), most - (steps - header["first frame"][name])]
    if not all(type(count) is int and count >= 0 for count in counts) or filled > steps:
        raise EOFError("its header holds impossible numbers")


def _told(value: Any) -> Any:
    """:return: for a message: what is said of each part, of an only part by itself"""
    return value[PLAIN] if isinstance(value, dict) and value.keys() == {PLAIN} else value


def _read_into(target: FrameReplayBuffer | None, like: FrameReplayBuffer, stream: DecompressedStream) -> None:
    """
    :param target: empty; None: read the file to its end and keep nothing
    :param like: a buffer of the same shapes
    """
    header = _read_header(stream)
    filled = header["filled"]
    # In a buffer of the same size every transition keeps its slot. Else they begin at slot 0, late enough to leave
    # steps for the frames before them.
    same_size = header["slots"] == like.buffer_size
    longest = max(part.shape.n_stack for part in like.memory.parts.values())
    steps = header["steps"] if same_size else filled + like.buffer_size * longest
    first_frames = {name: first + steps - header["steps"] for name, first in header["first frame"].items()}
    if filled:
        parts = {name: like.memory.parts[name] for name in header["finals"]}  # two equal spaces may differ in order
        slots = _filled_slots(steps, filled, like.buffer_size)
        _read_transitions(target, like, stream, slots, list(parts), header["sampler"])
        for name, part in parts.items():
            expected = stream.array((like.n_envs, *part.shape.obs_shape), part.dtype)
            if target is not None:
                part.expected = expected
            for sparse, count in ((part.final_frames, header["finals"][name]), (part.prefixes, header["heads"][name])):
                _read_sparse_rows(target, part, stream, sparse, count, steps - filled)
            _read_frames(target, part, stream, first_frames[name], steps + 1)
    stream.end()
    if target is not None and filled:
        target.set_position(steps, filled, first_frames)
    if target is not None:
        target.load_sampling_header(header)


def _read_transitions(
    target: FrameReplayBuffer | None,
    like: FrameReplayBuffer,
    stream: DecompressedStream,
    slots: np.ndarray,
    parts: list[str],
    has_priorities: bool,
) -> None:
    """
    :param slots: where they go, oldest first
    :param parts: of the observations, by name, in the order of the file
    """
    columns = like.columns()
    names = ["rewards", "actions", *(f"{column}{part}" for part in parts for column in (DEPTHS, FLAGS))]
    read = {name: stream.array((len(slots), *columns[name].shape[1:]), columns[name].dtype) for name in names}
    priorities = stream.array((len(slots), like.n_envs), np.float64) if has_priorities else None
    if target is None:
        return
    for name, values in read.items():
        columns[name][slots] = values
    target.set_priorities(slots, priorities)


def _read_sparse_rows(
    target: FrameReplayBuffer | None,
    part: StackMemory,
    stream: DecompressedStream,
    sparse: SparseRows,
    count: int,
    first: int,
) -> None:
    """
    :param part: of the target's memory
    :param sparse: of that part
    :param count: its entries in the file
    :param first: step of the oldest transition
    """
    keys = stream.array((count,), np.int64) + first * part.n_envs
    for key in keys:
        frames = stream.array((sparse.rows_per_entry, part.layout.frame_size), part.dtype)
        if target is not None:
            sparse.add(int(key), part.store.write_overflow(frames))


def _read_frames(
    target: FrameReplayBuffer | None, part: StackMemory, stream: DecompressedStream, first: int, end: int
) -> None:
    """:param first: step of the oldest frame; :param end: after the step of the newest"""
    for env in range(part.n_envs):
        for begin in range(first, end, _FRAMES_AT_ONCE):
            steps = np.arange(begin, min(begin + _FRAMES_AT_ONCE, end))
            frames = stream.array((len(steps), part.layout.frame_size), part.dtype)
            if target is not None:
                part.store.write(steps, env, frames)
