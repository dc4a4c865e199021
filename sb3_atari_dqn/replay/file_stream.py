"""The bytes of a replay file: first line, zstd frame, end mark."""

from typing import BinaryIO, cast

import numpy as np
import zstandard

MAGIC = b"sb3_atari_dqn replay buffer\n"
END = b"\nend\n"


def is_ours(file: BinaryIO) -> bool:
    """:return: whether a file begins like one of these; it is left at its beginning"""
    begin = file.read(len(MAGIC))
    file.seek(0)
    return begin == MAGIC


def check_end(file: BinaryIO) -> None:
    """:raises EOFError: if the end mark is missing: writing, or copying, was interrupted"""
    file.seek(-len(END), 2)
    if file.read() != END:
        raise EOFError


class _Body:
    """What stands between the first line and the end mark: zstd stumbles over anything behind its own end."""

    def __init__(self, file: BinaryIO) -> None:
        self._end = file.seek(-len(END), 2)
        self._file = file
        file.seek(len(MAGIC))

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._end - self._file.tell()))


class DecompressedStream:
    """Decompressed bytes, exactly as many as asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._reader = zstandard.ZstdDecompressor().stream_reader(cast(BinaryIO, _Body(file)), closefd=False)

    def array(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """:raises EOFError: if the data ends before"""
        array = np.empty(shape, dtype)
        into, done = array.reshape(-1).view(np.uint8).data, 0
        while done < len(into):
            got = self._reader.readinto(into[done:])
            if not got:
                raise EOFError
            done += got
        return array

    def end(self) -> None:
        """:raises EOFError: if there is more; zstd compares the checksum here"""
        if self._reader.read(1):
            raise EOFError
